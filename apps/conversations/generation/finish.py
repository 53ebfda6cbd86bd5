"""The end of a generation: one fenced transaction for state, message, usage and ledger."""

import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from django.db import connections

from apps.billing import services as billing
from apps.billing.contracts import LedgerLine, LineKind
from apps.conversations.contracts import GenerationState
from apps.conversations.errors import Fenced
from apps.conversations.generation import attempts
from apps.conversations.generation.claim import Claimed
from apps.conversations.generation.route import routed
from apps.routing import services as routing
from apps.routing.contracts import AttemptEnd, AttemptState, Excluded, Finished, Plan, Usage, Verdict
from apps.safety import Action, Direction
from apps.tenants.scope import tenant_scope

_FINISH = """
UPDATE conversations_generation
SET state = %(state)s, finished_at = clock_timestamp(), owner = NULL,
    first_token_at = started_at + make_interval(secs => %(first_token_seconds)s),
    last_event_id = %(last_event_id)s, text_sha256 = %(sha256)s, finish_reason = %(finish_reason)s,
    error_code = %(error_code)s, error_message = %(error_message)s, error_retryable = %(error_retryable)s,
    usage = %(usage)s::jsonb, cost_nanousd = %(cost)s, route = %(route)s::jsonb
WHERE id = %(id)s AND state = 'running' AND fence = %(fence)s AND owner = %(worker)s
RETURNING user_id, api_key_id, conversation_id, message_id,
          round(extract(epoch FROM started_at - queued_at) * 1000)::int,
          round(extract(epoch FROM first_token_at - queued_at) * 1000)::int,
          round(extract(epoch FROM finished_at - queued_at) * 1000)::int
"""
_MESSAGE = """
UPDATE conversations_message
SET status = %(status)s, text = %(text)s, content = %(content)s::jsonb,
    input_tokens = %(input)s, output_tokens = %(output)s
WHERE id = %(id)s
"""


@dataclass(slots=True)
class Answer:
    """What has been received so far, and how it ended.

    `ends` are all attempts under this fence; of the first `void_ends` of them nothing is kept. `passed_over` was left
    alone because its breaker was open; `prompt` tells in short what the model was shown; `served` is the end of an
    answer that came from a cache. `verdicts` are what screening found in the prompt and in what is kept.
    """

    text: list[str] = field(default_factory=list)
    text_bytes: int = 0
    reasoning: list[str] = field(default_factory=list)
    tool_calls: list[dict[str, str]] = field(default_factory=list)
    ends: list[AttemptEnd] = field(default_factory=list)
    void_ends: int = 0
    passed_over: tuple[Excluded, ...] = ()
    prompt: dict[str, Any] | None = None
    served: Finished | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    first_token_seconds: float | None = None
    state: GenerationState = GenerationState.FAILED
    finish_reason: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    error_retryable: bool = False

    def forget(self) -> None:
        """The provider died: what was received is void."""
        self.text.clear()
        self.text_bytes = 0
        self.reasoning.clear()
        self.tool_calls.clear()
        self.verdicts = [one for one in self.verdicts if one.direction is Direction.PROMPT]
        self.void_ends = len(self.ends)

    @property
    def shown(self) -> bool:
        """Whether a reader has seen anything: text, reasoning or a tool call."""
        return bool(self.text or self.reasoning or self.tool_calls)

    @property
    def was_blocked(self) -> bool:
        """Whether the workspace's rules ended the answer."""
        return any(one.direction is Direction.ANSWER and one.action is Action.BLOCK for one in self.verdicts)

    @property
    def whole_text(self) -> str:
        return "".join(self.text)

    @property
    def content(self) -> list[dict[str, Any]]:
        """The structured form of the answer, in the order a reader meets it."""
        parts: list[dict[str, Any]] = []
        if self.reasoning:
            parts.append({"type": "reasoning", "text": "".join(self.reasoning)})
        if self.text:
            parts.append({"type": "text", "text": self.whole_text})
        return parts + [{"type": "tool_call", **call} for call in self.tool_calls]


def lines(answer: Answer) -> list[LedgerLine]:
    """One ledger line per attempt.

    The tenant pays for the attempt whose text it keeps: the one that won, or the last one that showed any where a
    person stopped it or a partial answer was kept. A call that a person stopped before its first token is paid for
    too: otherwise large prompts would be free to whoever cancels in time. It pays for what its settings have asked on
    the side. Every other attempt is absorbed.
    """
    kept = _kept(answer)
    return [
        routing.ledger_line(end, LineKind.CHARGE if end is kept or end.candidate.on_the_side else LineKind.ABSORBED)
        for end in answer.ends
    ]


def _kept(answer: Answer) -> AttemptEnd | None:
    """The attempt that the tenant pays for."""
    held = [] if answer.state is GenerationState.FAILED else answer.ends[answer.void_ends :]
    held = [end for end in held if not end.candidate.on_the_side]
    kept = next((end for end in reversed(held) if _shown(end)), None)
    if kept is None and answer.state is GenerationState.CANCELLED:
        kept = next((end for end in reversed(held) if end.usage.input_tokens), None)
    return kept


def _shown(end: AttemptEnd) -> bool:
    return end.state is AttemptState.WON or end.first_token_seconds is not None


@dataclass(frozen=True, slots=True)
class Ended:
    """What the transaction wrote, as far as those who tell it need to know."""

    user_id: UUID
    conversation_id: UUID
    cost_nanousd: int
    tokens: int
    event_type: str
    event_body: dict[str, Any]


def finish(claimed: Claimed, plan: Plan | None, answer: Answer, last_event_id: str) -> Ended:
    """Write the end in one transaction. Raises `Fenced` if the generation is not ours any more, or final already."""
    text = answer.whole_text
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    ledger = lines(answer)
    kept = _kept(answer)
    used = Usage(0, 0) if kept is None else kept.usage
    usage = _usage_document(used)
    cost = sum(line.amount_nanousd for line in ledger if line.kind is LineKind.CHARGE)
    tokens = sum(line.input_tokens + line.output_tokens for line in ledger if line.kind is LineKind.CHARGE)
    route = _route(plan, answer, kept, used)
    with tenant_scope(claimed.tenant_id), connections["default"].cursor() as cursor:
        cursor.execute(_FINISH, _final(claimed, answer, last_event_id, sha256, usage, cost, route))
        row = cursor.fetchone()
        if row is None:
            raise Fenced
        user_id, api_key_id, conversation_id, message_id, queued_ms, first_token_ms, total_ms = row
        cursor.execute(
            _MESSAGE,
            {
                "id": message_id,
                "status": answer.state.value,
                "text": text,
                "content": orjson.dumps(answer.content).decode(),
                "input": usage["input_tokens"],
                "output": usage["output_tokens"],
            },
        )
        for end in answer.ends:
            attempts.close(end)
        billing.append_lines(
            tenant_id=claimed.tenant_id,
            user_id=user_id,
            api_key_id=api_key_id,
            call_id=claimed.generation_id,
            lines=ledger + attempts.close_unmade(claimed.generation_id),
        )
        billing.settle_reservations([claimed.generation_id], using="default")
        if answer.verdicts:
            routing.record_verdicts(claimed.tenant_id, user_id, claimed.generation_id, answer.verdicts)
    if answer.state is GenerationState.FAILED:
        return Ended(user_id, conversation_id, cost, tokens, "message.error", _error_body(answer))
    body = completed_body(
        state=answer.state,
        finish_reason=answer.finish_reason,
        text_sha256=sha256,
        usage=usage,
        cost_nanousd=cost,
        queued_ms=queued_ms,
        first_token_ms=first_token_ms,
        total_ms=total_ms,
        route=route,
    )
    return Ended(user_id, conversation_id, cost, tokens, "message.completed", body)


def _route(plan: Plan | None, answer: Answer, kept: AttemptEnd | None, used: Usage) -> dict[str, Any]:
    """Why the answer came from where it came; without a plan nobody knows."""
    route: dict[str, Any] = {}
    if plan is not None:
        route = routed(plan, answer.ends, kept, used, answer.passed_over, answer.served, answer.verdicts)
    if answer.prompt is not None:
        route["prompt"] = answer.prompt
    return route


def _error_body(answer: Answer) -> dict[str, Any]:
    return {
        "code": answer.error_code,
        "message": answer.error_message,
        "retryable": answer.error_retryable,
        "state": answer.state.value,
    }


def completed_body(
    *,
    state: GenerationState,
    finish_reason: str | None,
    text_sha256: str | None,
    usage: dict[str, Any],
    cost_nanousd: int,
    queued_ms: int,
    first_token_ms: int | None,
    total_ms: int | None,
    route: dict[str, Any],
) -> dict[str, Any]:
    """The body of `message.completed`, the same whether it is told live or read from the row later."""
    return {
        "state": state.value,
        "finish_reason": finish_reason,
        "text_sha256": text_sha256,
        "usage": usage,
        "cost": {"nanousd": cost_nanousd, "usd": billing.usd(cost_nanousd)},
        "timings": {"queued_ms": queued_ms, "first_token_ms": first_token_ms, "total_ms": total_ms},
        "route": route,
    }


def _final(
    claimed: Claimed,
    answer: Answer,
    last_event_id: str,
    sha256: str,
    usage: dict[str, Any],
    cost: int,
    route: dict[str, Any],
) -> dict[str, Any]:
    """What `_FINISH` writes."""
    return {
        "id": claimed.generation_id,
        "fence": claimed.fence,
        "worker": claimed.worker_id,
        "state": answer.state.value,
        "first_token_seconds": answer.first_token_seconds,
        "last_event_id": last_event_id,
        "sha256": sha256,
        "finish_reason": answer.finish_reason,
        "error_code": answer.error_code,
        "error_message": answer.error_message,
        "error_retryable": answer.error_retryable,
        "usage": orjson.dumps(usage).decode(),
        "cost": cost,
        "route": orjson.dumps(route).decode(),
    }


def _usage_document(total: Usage) -> dict[str, Any]:
    return {
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "reasoning_tokens": total.reasoning_tokens,
        "cached_tokens": total.cached_tokens,
        "cache_write_tokens": total.cache_write_tokens,
        "estimated": total.estimated,
    }
