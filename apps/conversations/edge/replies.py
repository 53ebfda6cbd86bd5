"""What the HTTP doors answer with: JSON forms of turns, answers and accepted generations."""

from typing import Any
from uuid import UUID

import orjson
from django.http import HttpResponse

from apps.billing import services as billing
from apps.conversations.contracts import AnswerRow, GenerationAccepted, TurnAccepted, TurnRow


def json_response(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), status=status, content_type="application/json", headers=headers)


def stream_url(stream_id: UUID) -> str:
    return f"/v1/chat/streams/{stream_id}"


def generation_json(generation: GenerationAccepted) -> dict[str, Any]:
    """An accepted lane, with where to follow it."""
    return {
        "generation_id": str(generation.generation_id),
        "message_id": str(generation.message_id),
        "lane": generation.lane,
        "model": generation.model,
        "model_name": generation.model_name,
        "hue": generation.hue,
        "stream_url": stream_url(generation.generation_id),
    }


def accepted_json(turn: TurnAccepted) -> dict[str, Any]:
    """An accepted turn: what was promised, and where each part can be followed."""
    return {
        "conversation_id": str(turn.conversation_id),
        "turn_id": str(turn.turn_id),
        "title": turn.title,
        "created": turn.created,
        "stream_url": stream_url(turn.turn_id),
        "generations": [generation_json(generation) for generation in turn.generations],
    }


def turn_json(conversation_id: UUID, turn: TurnRow) -> dict[str, Any]:
    """A turn with its answers, finished or not."""
    return {
        "conversation_id": str(conversation_id),
        "turn_id": str(turn.id),
        "message": turn.question.text,
        "answers": [answer_json(answer) for answer in turn.answers],
    }


def answer_json(answer: AnswerRow) -> dict[str, Any]:
    """One lane's answer as programs read it."""
    failed = answer.error_code is not None
    return {
        "generation_id": str(answer.generation_id),
        "message_id": str(answer.message_id),
        "lane": answer.lane,
        "model": answer.model_slug,
        "state": answer.state.value,
        "text": answer.text,
        "reasoning": answer.reasoning or None,
        "finish_reason": answer.finish_reason,
        "usage": answer.usage or None,
        "cost": None
        if answer.cost_nanousd is None
        else {"nanousd": answer.cost_nanousd, "usd": billing.usd(answer.cost_nanousd)},
        "timings": {
            "queued_ms": answer.queued_ms,
            "first_token_ms": answer.first_token_ms,
            "total_ms": answer.total_ms,
        },
        "route": answer.route or None,
        "error": {
            "code": answer.error_code,
            "message": answer.error_message,
            "retryable": answer.error_retryable,
        }
        if failed
        else None,
    }
