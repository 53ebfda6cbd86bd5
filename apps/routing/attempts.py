"""From a plan to an answer: one attempt after the other until one finishes. Read `stream` top to bottom.

No attempt without the gate's leave, and each one that began is told to the gate exactly once, however it ended.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

from apps.billing.contracts import Admission
from apps.observability import metrics
from apps.routing import fleet, queues, tokens
from apps.routing.breaker import Ticket
from apps.routing.contracts import (
    AttemptEnd,
    AttemptState,
    Candidate,
    Chunk,
    Deadlines,
    Excluded,
    Finished,
    Gate,
    Plan,
    Prompt,
    ProviderAccess,
    Restarted,
    Usage,
)
from apps.routing.errors import ProviderFailed
from apps.routing.providers.anthropic import Anthropic
from apps.routing.providers.base import Adapter, Progress, Request
from apps.routing.providers.litellm import LiteLLM
from apps.routing.providers.openai_compatible import OpenAICompatible
from apps.routing.rescue import Anew, Continuation, Part, Rescue
from apps.routing.search import Search

ADAPTERS: Mapping[str, Adapter] = {
    "anthropic": Anthropic(),
    "openai_compatible": OpenAICompatible(),
    queues.LITELLM: LiteLLM(),
}


async def stream(
    plan: Plan,
    admission: Admission,
    gate: Gate,
    prompt: Prompt,
    deadlines: Deadlines,
    rescue: Rescue = Rescue.RESTART,
) -> AsyncGenerator[Chunk, None]:
    """See `services.stream`."""
    total_at = time.monotonic() + deadlines.total_seconds
    search = Search(plan, admission, total_at)
    failures = search.failures
    told = _reader(prompt, plan, admission, rescue)
    shown = False
    while True:
        leave = await search.next()
        candidate, ticket = leave.candidate, leave.ticket
        try:
            part = told.begin(candidate)
            attempt = _Attempt(await gate.begin(candidate), candidate, len(failures) + 1, prompt)
        except BaseException:
            leave.give_back()
            raise
        error: ProviderFailed | None = None
        try:
            if shown and told.may_restart:
                # Only now, when another attempt has leave to begin: until then what was shown may still be kept.
                shown = False
                yield Restarted(failures[-1].error.code)
            request = attempt.request(leave.access, part, _left(deadlines, total_at))
            async with aclosing(ADAPTERS[candidate.adapter].answer(request, attempt.progress)) as deltas:
                async for delta in deltas:
                    shown = True
                    if ticket.probing:
                        ticket.flowed()
                    for new in told.joined(delta):
                        yield new
            told.ended()
            attempt.complete = True
        except ProviderFailed as failed:
            error = failed
            search.failed(failed)
        except (asyncio.CancelledError, GeneratorExit):
            gate.ended(attempt.end(AttemptState.CANCELLED))
            raise
        except BaseException:
            gate.ended(attempt.end(AttemptState.FAILED, "internal_error"))
            raise
        finally:
            _judge(ticket, attempt, error)
            leave.done()
        if error is not None:
            gate.ended(attempt.end(AttemptState.FAILED, error.code))
            told.broke_off(attempt.attempt_id)
            continue
        gate.ended(attempt.end(AttemptState.WON))
        yield attempt.finished(search.passed_over, told.parts)
        return


def _left(deadlines: Deadlines, total_at: float) -> Deadlines:
    left_seconds = total_at - time.monotonic()
    return Deadlines(deadlines.connect_seconds, deadlines.first_token_seconds, deadlines.gap_seconds, left_seconds)


def _reader(prompt: Prompt, plan: Plan, admission: Admission, rescue: Rescue) -> Anew:
    """What becomes of text that was shown when its attempt dies."""
    if rescue is Rescue.CONTINUE:
        return Continuation(prompt, admission.amount_nanousd - plan.side_bound_nanousd)
    return Anew(prompt)


def _judge(ticket: Ticket, attempt: "_Attempt", error: ProviderFailed | None) -> None:
    """Tell the breaker how it went."""
    if error is not None:
        ticket.failed(error)
    elif attempt.complete:
        ticket.won(attempt.progress.first_token_seconds, attempt.usage().output_tokens, attempt.seconds)
    else:
        ticket.left()


class _Attempt:
    """One attempt that has the gate's leave."""

    def __init__(self, attempt_id: UUID, candidate: Candidate, number: int, prompt: Prompt) -> None:
        self.attempt_id = attempt_id
        self.progress = Progress()
        self.complete = False
        self._candidate = candidate
        self._number = number
        self._prompt = prompt
        self._began_at = time.monotonic()

    def request(self, access: ProviderAccess, part: Part, deadlines: Deadlines) -> Request:
        candidate = self._candidate
        return Request(
            attempt_id=self.attempt_id,
            access=access,
            provider_name=candidate.provider_name,
            upstream_model=candidate.upstream_model,
            prompt=part.prompt,
            output_tokens_bound=part.output_tokens_bound,
            deadlines=deadlines,
        )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began_at

    def usage(self) -> Usage:
        """The provider's count, where it covers all that came and can be so; nothing, where nothing was asked or it
        refused; else an estimate: not below what was shown, not above what was reserved."""
        candidate = self._candidate
        progress, told = self.progress, self.progress.usage
        if told is not None:
            told = tokens.believed(told, candidate.input_tokens_bound, candidate.output_tokens_bound)
            if progress.usage_is_final:
                return told
        if told is None and (progress.refused or not progress.sent):
            return Usage(0, 0)
        likely_output = tokens.likely_output(progress.received_bytes, progress.deltas, candidate.output_tokens_bound)
        if told is not None:
            return replace(told, output_tokens=max(told.output_tokens, likely_output), estimated=True)
        prompt_bytes = tokens.prompt_bytes(self._prompt.messages, self._prompt.parameters.get("tools") or ())
        likely_input = min(tokens.likely_input(prompt_bytes), candidate.input_tokens_bound)
        if self._prompt.whole and not progress.deltas and candidate.adapter != queues.LITELLM:
            # It was being written all the same, although nothing of it came.
            pace = fleet.current().record(candidate.deployment_id).tokens_per_second
            likely_output = tokens.unheard_output(self.seconds, pace, candidate.output_tokens_bound)
        return Usage(likely_input, likely_output, estimated=True)

    def finished(self, passed_over: tuple[Excluded, ...], parts: tuple[UUID, ...]) -> Finished:
        """The last chunk of the answer that it gave."""
        progress = self.progress
        return Finished(
            progress.finish_reason or "stop",
            self.usage(),
            self.attempt_id,
            self._candidate,
            passed_over,
            parts,
            stop_sequence=progress.stop_sequence,
        )

    def end(self, state: AttemptState, error_code: str | None = None) -> AttemptEnd:
        """How it ended."""
        progress, usage = self.progress, self.usage()
        metrics.tokens_used(usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens)
        return AttemptEnd(
            attempt_id=self.attempt_id,
            candidate=self._candidate,
            number=self._number,
            state=state,
            usage=usage,
            error_code=error_code,
            first_token_seconds=progress.first_token_seconds,
            duration_seconds=self.seconds,
            skipped_events=progress.skipped_events,
        )
