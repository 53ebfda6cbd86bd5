"""One generation from claim to end. Read it top to bottom.

A claimed row becomes prompt, log and provider stream; what comes is appended to the log; the end is one transaction.
The row belongs to this worker only under its fence: if the fence is lost, the run stops and writes nothing.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

import structlog
from django.db import DatabaseError

from apps.billing import services as billing
from apps.billing.contracts import Admission
from apps.conversations.contracts import GenerationState
from apps.conversations.errors import CancelAsked, Fenced
from apps.conversations.generation.claim import Claimed
from apps.conversations.generation.finish import Answer, Ended, finish
from apps.conversations.generation.gate import ChatGate
from apps.conversations.generation.ports import Ports
from apps.conversations.generation.prompt import Work, load
from apps.observability import metrics
from apps.problems import Problem
from apps.routing import services as routing
from apps.routing.contracts import (
    Chunk,
    Deadlines,
    Finished,
    Plan,
    ReasoningDelta,
    Restarted,
    Screened,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
)
from apps.streaming.errors import Fenced as LogFenced
from apps.streaming.errors import LogOverflow, StreamingError
from apps.streaming.writer import LogHandle
from apps.tenants.scope import DATABASE_AWAY, database_step

# How long a finished stream stays readable from Redis; afterwards PostgreSQL answers.
CLOSED_LOG_TTL_SECONDS = 600
CLOSE_PATIENCE_SECONDS = 20.0
DATABASE_RETRY_SECONDS = 0.25

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Run:
    """A generation at work here. `cancel_asked`, `abandoned` and `handing_back` say why it was interrupted.

    A task that is cancelled before its first step never runs, not even its `finally`: until `begun` the word suffices.
    """

    claimed: Claimed
    task: "asyncio.Task[None] | None" = None
    answer: Answer = field(default_factory=Answer)
    cancel_asked: bool = False
    abandoned: bool = False
    handing_back: bool = False
    begun: bool = False
    finishing: bool = False

    def cancel(self) -> None:
        """A person asked to stop: the upstream call is closed and what came is kept."""
        self.cancel_asked = True
        self._interrupt()

    def abandon(self) -> None:
        """The generation is no longer ours: stop at once and write nothing."""
        self.abandoned = True
        if self.task is not None and self.begun:
            self.task.cancel()

    def hand_back(self) -> None:
        """The worker leaves: stop the provider call; the row goes back to the queue."""
        self.handing_back = True
        self._interrupt()

    def _interrupt(self) -> None:
        # Once the end is being written it is written: cancelling it would only lose an answer that is complete.
        if self.task is not None and self.begun and not self.finishing:
            self.task.cancel()

    @property
    def interrupted(self) -> bool:
        return self.cancel_asked or self.abandoned or self.handing_back


async def answer_generation(run: Run, ports: Ports) -> None:
    """Answer one claimed generation and write its one terminal state, unless it is taken from us or handed back."""
    claimed, answer = run.claimed, run.answer
    work: Work | None = None
    handle: LogHandle | None = None
    run.begun = True
    try:
        if run.interrupted:
            raise asyncio.CancelledError
        work = await _patiently(load, claimed)
        answer.prompt = work.shown.in_short()
        # Not awaited: the row decides whether a provider may be called, and the log's verdict comes in its own time.
        handle = ports.writer.begin(claimed.generation_id, claimed.fence, _started(work))
        await _receive(claimed, work, answer, ports, handle)
    except asyncio.CancelledError:
        if run.abandoned or run.handing_back or not run.cancel_asked:
            _forget(ports, handle)
            raise
        answer.state = GenerationState.CANCELLED
    except (Fenced, LogFenced):
        log.warning("generation.fenced", generation_id=str(claimed.generation_id), fence=claimed.fence)
        _forget(ports, handle)
        return
    except Exception:
        log.exception("generation.crashed", generation_id=str(claimed.generation_id))
        _end_badly(answer, "internal_error", "The fault is ours, and it is noted. Try again.", True)
    run.finishing = True
    await _finish(claimed, work.plan if work is not None else None, answer, ports, handle)


async def _patiently(step: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """A database step that is tried again while the database is away. Whoever takes over ends it by `abandon`."""
    while True:
        try:
            return await database_step(step, *args, **kwargs)
        except DATABASE_AWAY as error:
            log.warning("generation.step_retried", step=getattr(step, "__name__", "?"), error=type(error).__name__)
            await asyncio.sleep(DATABASE_RETRY_SECONDS)


def _started(work: Work) -> dict[str, object]:
    identity = work.identity
    return {
        "model": identity.model,
        "message_id": str(identity.message_id),
        "model_name": identity.model_name,
        "hue": identity.hue,
        "fence": identity.fence,
        "keep": 0,
    }


def _forget(ports: Ports, handle: LogHandle | None) -> None:
    if handle is not None:
        ports.writer.discard(handle)


async def _receive(claimed: Claimed, work: Work, answer: Answer, ports: Ports, handle: LogHandle) -> None:
    """Stream the answer into the log and decide the state it ended in."""
    gate = ChatGate(claimed, answer, lease_is_fresh=ports.lease_is_fresh)
    admission = Admission(
        call_id=claimed.generation_id,
        tenant_id=claimed.tenant_id,
        user_id=work.user_id,
        api_key_id=work.api_key_id,
        amount_nanousd=work.plan.amount_bound_nanousd,
        admitted_at=datetime.now(UTC),
    )
    deadlines = Deadlines(
        connect_seconds=ports.limits.connect_seconds,
        first_token_seconds=ports.limits.first_token_seconds,
        gap_seconds=ports.limits.gap_seconds,
        total_seconds=claimed.seconds_left,
    )
    try:
        async with (
            asyncio.timeout(claimed.seconds_left),
            aclosing(routing.stream(work.plan, admission, gate, work.prompt, deadlines)) as chunks,
        ):
            async for chunk in chunks:
                if answer.first_token_seconds is None and not isinstance(chunk, Restarted | Screened | Finished):
                    answer.first_token_seconds = time.monotonic() - claimed.claimed_at
                    metrics.first_token(answer.first_token_seconds)
                _append(chunk, answer, handle)
                if answer.text_bytes > ports.limits.answer_max_bytes:
                    answer.state, answer.finish_reason = GenerationState.PARTIAL, "size_limit"
                    return
    except CancelAsked:
        answer.state = GenerationState.CANCELLED
    except TimeoutError:
        _end_badly(answer, "deadline_exceeded", "The answer took longer than allowed. Try again.", True)
    except LogOverflow:
        answer.state, answer.finish_reason = GenerationState.PARTIAL, "size_limit"
    except Problem as problem:
        _end_badly(answer, problem.code, problem.detail, problem.retryable)
    else:
        if answer.finish_reason is None:
            _end_badly(answer, "stream_cut", "The provider ended the answer without finishing it. Try again.", True)


def _append(chunk: Chunk, answer: Answer, handle: LogHandle) -> None:
    """Put one chunk into the log and then into the answer, so that what the log refuses is not kept either.

    PostgreSQL holds no NUL in text, so none is shown.
    """
    match chunk:
        case TextDelta(text):
            if "\x00" in text:
                text = text.replace("\x00", "")
            handle.text("token.delta", text)
            answer.text.append(text)
            answer.text_bytes += len(text.encode())
        case ReasoningDelta(text):
            text = text.replace("\x00", "")
            handle.text("reasoning.delta", text)
            answer.reasoning.append(text)
            answer.text_bytes += len(text.encode())
        case ToolCallStarted(call_id, name):
            handle.append("tool.call.started", {"call_id": _storable(call_id), "name": _storable(name)})
        case ToolCallCompleted(call_id, name, arguments):
            told = {"call_id": call_id, "name": name, "arguments": arguments}
            call = {field: _storable(value) for field, value in told.items()}
            handle.append("tool.call.completed", call)
            answer.tool_calls.append(call)
        case Restarted(reason):
            handle.append("message.restarted", {"reason": reason, "keep": 0})
            answer.forget()
        case Screened(verdicts):
            answer.verdicts.extend(verdicts)
        case Finished(finish_reason, passed_over=passed_over, cache=hit):
            answer.state = GenerationState.PARTIAL if answer.was_blocked else GenerationState.COMPLETED
            answer.finish_reason = finish_reason
            answer.passed_over = passed_over
            answer.served = chunk if hit is not None else None


def _storable(text: str) -> str:
    return text.replace("\x00", "")


def _end_badly(answer: Answer, code: str, message: str, retryable: bool) -> None:
    """Keep what was shown as a partial answer; where nothing was, the generation failed."""
    answer.error_code, answer.error_message, answer.error_retryable = code, message, retryable
    answer.state = GenerationState.PARTIAL if answer.shown else GenerationState.FAILED
    if answer.shown:
        answer.finish_reason = "interrupted"


async def _finish(claimed: Claimed, plan: Plan | None, answer: Answer, ports: Ports, handle: LogHandle | None) -> None:
    """Commit the end, then tell it: the log is closed only once the row is final."""
    last_event_id = str(handle.next_id()) if handle is not None else f"{claimed.fence}-1"
    try:
        try:
            end = await _patiently(finish, claimed, plan, answer, last_event_id)
        except DatabaseError:
            # The database answers and refuses this answer. Better a failed one than one that never ends.
            log.exception("generation.unwritable", generation_id=str(claimed.generation_id))
            answer.forget()
            answer.finish_reason = None
            _end_badly(answer, "internal_error", "The answer could not be stored. Try again.", True)
            end = await _patiently(finish, claimed, plan, answer, last_event_id)
    except Fenced:
        log.warning("generation.fenced", generation_id=str(claimed.generation_id), fence=claimed.fence)
        _forget(ports, handle)
        return
    except BaseException:
        _forget(ports, handle)
        raise
    metrics.generation_finished(answer.state.value)
    log.info(
        "generation.finished",
        generation_id=str(claimed.generation_id),
        tenant_id=str(claimed.tenant_id),
        fence=claimed.fence,
        state=answer.state.value,
        attempts=len(answer.ends),
    )
    settling = asyncio.create_task(
        # Redis alone: where it is away, database steps must not wait behind it.
        asyncio.to_thread(
            billing.settle_counters,
            claimed.tenant_id,
            end.user_id,
            [claimed.generation_id],
            end.cost_nanousd,
            end.tokens,
        )
    )
    if handle is not None:
        await _close_log(claimed, end, handle)
    await ports.announce(claimed.tenant_id, end.user_id, end.conversation_id)
    await settling


async def _close_log(claimed: Claimed, end: Ended, handle: LogHandle) -> None:
    try:
        async with asyncio.timeout(CLOSE_PATIENCE_SECONDS):
            await handle.close(end.event_type, end.event_body, CLOSED_LOG_TTL_SECONDS)
    except (TimeoutError, StreamingError):
        # Readers find the end in the row. The writer goes on trying by itself.
        log.warning("generation.log_not_closed", generation_id=str(claimed.generation_id))
