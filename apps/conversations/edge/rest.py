"""REST under /api/v1/: conversations and their messages."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.billing import services as billing
from apps.conversations import ceilings, selectors, services
from apps.conversations.contracts import Ceilings, ConversationRow, ConversationSummary, Sent
from apps.conversations.edge.cursors import conversation_cursor, parse_conversation_cursor
from apps.conversations.edge.replies import turn_json
from apps.conversations.errors import InvalidMessage
from apps.tenants import instructions
from apps.tenants.contracts import DOLLARS, LONGEST_FIRST_TOKEN_MS, Principal
from apps.tenants.policy import Action

PAGE = 30
_CHANGES = {"instructions", "max_cost_usd", "max_first_token_ms"}
_SEQ = {"type": "integer", "minimum": 0, "maximum": 999_999_999}


class ConversationOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    title = serializers.CharField()
    last_activity_at = serializers.DateTimeField()
    running = serializers.BooleanField(required=False)
    models = serializers.ListField(child=serializers.CharField(), required=False)
    instructions = serializers.CharField(
        required=False, help_text="What models are told before each question; after the workspace's and one's own."
    )
    max_cost_usd = serializers.CharField(
        required=False, allow_null=True, help_text="Models whose answer is likely to cost more are left out."
    )
    max_first_token_ms = serializers.IntegerField(
        required=False, allow_null=True, help_text="A policy's models measured slower than this come last."
    )


class ConversationPage(serializers.Serializer[Any]):
    items = ConversationOut(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page.")


class ConversationChange(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=services.MAX_TITLE, required=False)
    instructions = serializers.CharField(max_length=instructions.MAX_CHARACTERS, required=False, allow_blank=True)
    max_cost_usd = serializers.RegexField(
        DOLLARS, required=False, allow_null=True, help_text="Null: no ceiling of its own."
    )
    max_first_token_ms = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=LONGEST_FIRST_TOKEN_MS
    )


class AnswerOut(serializers.Serializer[Any]):
    generation_id = serializers.UUIDField()
    message_id = serializers.UUIDField()
    lane = serializers.IntegerField()
    model = serializers.CharField()
    state = serializers.CharField()
    text = serializers.CharField()
    reasoning = serializers.CharField(allow_null=True)
    finish_reason = serializers.CharField(allow_null=True)
    usage = serializers.DictField(allow_null=True)
    cost = serializers.DictField(allow_null=True)
    timings = serializers.DictField()
    route = serializers.DictField(allow_null=True)
    error = serializers.DictField(allow_null=True)


class TurnOut(serializers.Serializer[Any]):
    conversation_id = serializers.UUIDField()
    turn_id = serializers.UUIDField()
    message = serializers.CharField()
    answers = AnswerOut(many=True)


class TurnPage(serializers.Serializer[Any]):
    items = TurnOut(many=True)
    next = serializers.IntegerField(allow_null=True, help_text="Pass as `before` to read earlier turns.")


def _principal(request: Request) -> Principal:
    principal = request.user
    assert isinstance(principal, Principal)  # noqa: S101 - the permission class let nobody else in
    return principal


class Conversations(APIView):
    """The caller's own chats."""

    actions = {"GET": Action.CHAT_READ}

    @extend_schema(
        operation_id="conversations_list",
        parameters=[OpenApiParameter("before", str, description="Cursor from `next`.")],
        responses=ConversationPage,
    )
    def get(self, request: Request) -> Response:
        before = parse_conversation_cursor(request.query_params.get("before", ""))
        rows = selectors.conversation_list(_principal(request), before=before, limit=PAGE + 1)
        page = rows[:PAGE]
        return Response(
            {
                "items": [_summary(row) for row in page],
                "next": conversation_cursor(page[-1]) if len(rows) > PAGE else None,
            }
        )


class OneConversation(APIView):
    """One chat: read its head, rename it, tell its models something, delete it."""

    actions = {"GET": Action.CHAT_READ, "PATCH": Action.CHAT_KEEP, "DELETE": Action.CHAT_KEEP}

    @extend_schema(operation_id="conversations_read", responses=ConversationOut)
    def get(self, request: Request, conversation_id: UUID) -> Response:
        return Response(_head(selectors.conversation(_principal(request), conversation_id)))

    @extend_schema(operation_id="conversations_rename", request=ConversationChange, responses=ConversationOut)
    def patch(self, request: Request, conversation_id: UUID) -> Response:
        given = request.data if isinstance(request.data, dict) else {}
        title = given.get("title")
        if not isinstance(title, str) and ("title" in given or not _CHANGES & given.keys()):
            raise InvalidMessage("title: Send the new title as text.", fields={"title": ["Send a text."]})
        told = instructions.checked(given["instructions"]) if "instructions" in given else None
        limits = _ceilings(_principal(request), conversation_id, given)
        if isinstance(title, str):
            services.rename(_principal(request), conversation_id, title)
        if told is not None:
            services.instruct(_principal(request), conversation_id, told)
        if limits is not None:
            services.limit(_principal(request), conversation_id, limits)
        return Response(_head(selectors.conversation(_principal(request), conversation_id)))

    @extend_schema(operation_id="conversations_delete", responses={204: None})
    def delete(self, request: Request, conversation_id: UUID) -> Response:
        services.delete(_principal(request), conversation_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RestoredConversation(APIView):
    """Bring a deleted chat back."""

    actions = {"POST": Action.CHAT_KEEP}

    @extend_schema(operation_id="conversations_restore", request=None, responses=ConversationOut)
    def post(self, request: Request, conversation_id: UUID) -> Response:
        services.restore(_principal(request), conversation_id)
        return Response(_head(selectors.conversation(_principal(request), conversation_id)))


class Messages(APIView):
    """A chat's turns, oldest first; each with the answers of its lanes."""

    actions = {"GET": Action.CHAT_READ}

    @extend_schema(
        operation_id="conversations_messages",
        parameters=[OpenApiParameter("before", _SEQ, description="Turns before this number.")],
        responses=TurnPage,
    )
    def get(self, request: Request, conversation_id: UUID) -> Response:
        timeline = selectors.timeline(_principal(request), conversation_id, before_seq=_before(request))
        return Response(
            {
                "items": [turn_json(conversation_id, turn) for turn in timeline.turns],
                "next": timeline.turns[0].seq if timeline.older else None,
            }
        )


class PromptMessageOut(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=["system", "user", "assistant"])
    content = serializers.CharField()


class PromptOut(serializers.Serializer[Any]):
    generation_id = serializers.UUIDField()
    conversation_id = serializers.UUIDField()
    messages = PromptMessageOut(many=True)
    sha256 = serializers.CharField(help_text="Of `messages` as compact JSON in UTF-8.")
    is_as_sent = serializers.BooleanField(allow_null=True, help_text="Null where nothing was sent; `sent` says why.")
    sent = serializers.ChoiceField(
        choices=[(one.value, one.name) for one in Sent],
        help_text="`as_shown`: exactly these messages. `replaced`: safety rules put placeholders in the place of some "
        "passages. `erased`: something was erased since. `from_cache`: no model was asked. `not_yet`: still waiting.",
    )
    turns = serializers.IntegerField(help_text="Earlier turns among the messages.")
    turns_left_out = serializers.IntegerField(source="left_out", help_text="Those before them, which did not fit.")
    turns_summarised = serializers.IntegerField(source="summarised", help_text="How many of those a summary tells of.")
    max_output_tokens = serializers.IntegerField(allow_null=True, help_text="As the caller asked for.")


class GenerationPrompt(APIView):
    """What the model behind an answer was shown, word for word."""

    actions = {"GET": Action.CHAT_READ}

    @extend_schema(operation_id="generations_prompt", responses=PromptOut)
    def get(self, request: Request, generation_id: UUID) -> Response:
        return Response(PromptOut(selectors.prompt(_principal(request), generation_id)).data)


def _before(request: Request) -> int | None:
    raw = request.query_params.get("before")
    if raw is None:
        return None
    if not raw.isascii() or not raw.isdigit() or len(raw) > 9:
        raise InvalidMessage("before: Send the number of a turn.", fields={"before": ["Not a number."]})
    return int(raw)


def _summary(row: ConversationSummary) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "title": row.title,
        "last_activity_at": _time(row.last_activity_at),
        "running": row.running,
    }


def _ceilings(principal: Principal, conversation_id: UUID, given: dict[str, Any]) -> Ceilings | None:
    """The chat's ceilings with what was named changed; None where nothing was. Raises `InvalidMessage`, `NotFound`."""
    named = {"max_cost_usd": "max_cost_nanousd", "max_first_token_ms": "max_first_token_ms"}
    problems: dict[str, list[str]] = {}
    told = ceilings.read(given, problems)
    if problems:
        detail = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in problems.items())
        raise InvalidMessage(detail, fields=problems)
    changes = {kept: getattr(told, kept) for name, kept in named.items() if name in given}
    return replace(selectors.conversation(principal, conversation_id).ceilings, **changes) if changes else None


def _head(row: ConversationRow) -> dict[str, Any]:
    cost = row.ceilings.max_cost_nanousd
    return {
        "id": str(row.id),
        "title": row.title,
        "last_activity_at": _time(row.last_activity_at),
        "models": list(row.models),
        "instructions": row.instructions,
        "max_cost_usd": None if cost is None else billing.usd(cost),
        "max_first_token_ms": row.ceilings.max_first_token_ms,
    }


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
