"""Every prompt and every answer passes here: what a workspace does not want leaves neither way. Read `stream` first.

Our own rules are asked about the prompt before anything is called. The answer is let go as soon as nothing that may
still come can make a finding of it. A moderation model is asked about the prompt while the answer begins, and nothing
of the answer is shown before its verdict.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

import structlog

from apps.billing.contracts import Admission
from apps.observability import metrics
from apps.problems import Problem
from apps.routing import access
from apps.routing.answer_screen import AnswerScreen, Blocked
from apps.routing.contracts import (
    AttemptEnd,
    Candidate,
    Chunk,
    Deadlines,
    Finished,
    Gate,
    Plan,
    Prompt,
    Restarted,
    SafetySettings,
    Screened,
    Usage,
    Verdict,
)
from apps.routing.errors import PromptBlocked
from apps.routing.moderation import Moderator, newest_text
from apps.routing.prompt_screen import NEW, screen_prompt, told
from apps.safety import Action, Direction, Placeholders

CONTENT_FILTER = "content_filter"
# Longer prompts are screened beside the event loop.
_LONG_CHARACTERS = 8_000

Inner = Callable[[Plan, Admission, Gate, Prompt, Deadlines], AsyncGenerator[Chunk, None]]

log = structlog.get_logger(__name__)


async def stream(
    plan: Plan, admission: Admission, gate: Gate, prompt: Prompt, deadlines: Deadlines, inner: Inner
) -> AsyncGenerator[Chunk, None]:
    """`inner`'s stream, screened. `Screened` tells what was found. Raises `PromptBlocked`, `ModerationUnreachable`."""
    settings = (await access.known(admission.tenant_id, time.monotonic() + deadlines.total_seconds)).safety
    if settings.is_off:
        async with aclosing(inner(plan, admission, gate, prompt, deadlines)) as chunks:
            async for chunk in chunks:
                yield chunk
        return
    placeholders = Placeholders()
    if settings.screens(Direction.PROMPT):
        try:
            prompt, found = await _screened(prompt, settings, placeholders)
        except PromptBlocked as blocked:
            yield note(blocked.verdicts)
            raise
        if found:
            yield note(found)
    watched = _Watched(gate)
    moderator = None
    if settings.moderation is not None:
        moderator = Moderator(settings.moderation, plan, admission, watched)
    answer = AnswerScreen(settings, placeholders, moderator)
    blocked_answer = False
    async with (
        _opinion(settings, moderator, prompt) as opinion,
        aclosing(inner(plan, admission, watched, prompt, deadlines)) as chunks,
    ):
        try:
            async for chunk in chunks:
                if found := await opinion.given():
                    yield note(found)
                for allowed in await _allowed(chunk, answer):
                    yield allowed
                if isinstance(chunk, Finished) and answer.is_altered:
                    break  # what was replaced in it must not be kept anywhere
        except Blocked:
            blocked_answer = True
        except PromptBlocked as blocked:
            yield note(blocked.verdicts)
            raise
        except Problem:
            # What was held back is not shown: nobody knows what it would have become.
            if answer.verdicts:
                yield note(answer.verdicts)
            raise
    if blocked_answer:
        for kept in answer.cut():
            yield kept
        yield note(answer.verdicts)
        yield watched.finished(plan, admission)


async def _allowed(chunk: Chunk, answer: AnswerScreen) -> Sequence[Chunk]:
    """What may be shown now that this chunk has come. Raises `Blocked` where the answer must end."""
    if isinstance(chunk, Restarted):
        answer.restart()
        return [chunk]
    if isinstance(chunk, Finished):
        last = await answer.finish()
        return [*last, *([note(answer.verdicts)] if answer.verdicts else []), chunk]
    return await answer.feed(chunk)


async def _screened(
    prompt: Prompt, settings: SafetySettings, placeholders: Placeholders
) -> tuple[Prompt, tuple[Verdict, ...]]:
    size = sum(len(str(message.get("content", ""))) for message in prompt.messages)
    size += sum(len(str(value)) for value in prompt.parameters.values())
    if size < _LONG_CHARACTERS:
        return screen_prompt(prompt, settings, placeholders)
    return await asyncio.to_thread(screen_prompt, prompt, settings, placeholders)


def note(verdicts: tuple[Verdict, ...]) -> Screened:
    """Count and log what was found; the chunk that tells it."""
    for one in verdicts:
        metrics.screened(one.direction.value, one.category, one.action.value)
        log.info(
            "screened",
            direction=one.direction.value,
            category=one.category,
            rule=one.rule,
            action=one.action.value,
            score=one.score,
            threshold=one.threshold,
            count=one.count,
        )
    return Screened(verdicts)


class _Opinion:
    """The moderation model's verdict on the prompt, which is waited for once, before anything is shown."""

    def __init__(self, asking: "asyncio.Task[tuple[Verdict, ...]] | None") -> None:
        self._asking = asking

    async def given(self) -> tuple[Verdict, ...]:
        """The verdicts, the first time. Raises `PromptBlocked` or `ModerationUnreachable`."""
        if self._asking is None:
            return ()
        asking, self._asking = self._asking, None
        verdicts = await asking
        blocked = next((one for one in verdicts if one.action is Action.BLOCK), None)
        if blocked is not None:
            raise PromptBlocked(told(blocked, NEW), verdicts)
        return verdicts


@asynccontextmanager
async def _opinion(settings: SafetySettings, moderator: Moderator | None, prompt: Prompt) -> AsyncIterator[_Opinion]:
    """Ask about the prompt in the meantime. Whatever becomes of the answer, no call is left behind."""
    if moderator is None or not settings.moderates(Direction.PROMPT):
        yield _Opinion(None)
        return
    asking = asyncio.create_task(moderator.verdicts(Direction.PROMPT, newest_text(prompt)))
    try:
        yield _Opinion(asking)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


class _Watched:
    """The caller's gate, and who answered last, for an answer that is ended here."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._begun: tuple[UUID, Candidate] | None = None
        self._usage: Usage | None = None

    async def begin(self, candidate: Candidate) -> UUID:
        attempt_id = await self._gate.begin(candidate)
        if not candidate.on_the_side:
            self._begun, self._usage = (attempt_id, candidate), None
        return attempt_id

    def ended(self, end: AttemptEnd) -> None:
        if self._begun is not None and end.attempt_id == self._begun[0]:
            self._usage = end.usage
        self._gate.ended(end)

    def finished(self, plan: Plan, admission: Admission) -> Finished:
        """The end of an answer that was cut; one without an attempt came from a cache."""
        attempt_id, candidate = self._begun or (admission.call_id, plan.candidates[0])
        return Finished(CONTENT_FILTER, self._usage or Usage(0, 0), attempt_id, candidate)
