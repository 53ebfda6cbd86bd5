"""From a plan to an answer: one attempt after the other until one finishes. Read `stream` top to bottom.

No attempt without the gate's leave, and each one that began is told to the gate exactly once, however it ended.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

import structlog

from apps.billing.contracts import Admission
from apps.observability import metrics
from apps.problems import Problem
from apps.routing import breaker, chance, fleet, selectors, tokens
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
from apps.routing.errors import AllAttemptsFailed, BreakersOpen, NoCandidates, ProviderFailed, TotalTimeout
from apps.routing.providers.anthropic import Anthropic
from apps.routing.providers.base import Adapter, Progress, Request
from apps.routing.providers.openai_compatible import OpenAICompatible
from apps.routing.repeating import Failure, Step, next_step
from apps.tenants.scope import DATABASE_AWAY, database_step
from apps.vault import VaultError

ADAPTERS: Mapping[str, Adapter] = {"anthropic": Anthropic(), "openai_compatible": OpenAICompatible()}

DATABASE_RETRY_SECONDS = 0.25
# Why a candidate was passed over.
BREAKER_OPEN = "breaker_open"

log = structlog.get_logger(__name__)


async def stream(
    plan: Plan, admission: Admission, gate: Gate, prompt: Prompt, deadlines: Deadlines
) -> AsyncGenerator[Chunk, None]:
    """See `services.stream`."""
    total_at = time.monotonic() + deadlines.total_seconds
    prompt_bytes = tokens.prompt_bytes(prompt.messages, prompt.parameters.get("tools") or ())
    search = _Search(plan, admission, total_at)
    failures = search.failures
    shown = False
    while True:
        candidate, access, ticket = await search.next()
        try:
            number = len(failures) + 1
            attempt = _Attempt(await gate.begin(candidate, number), candidate, number, prompt_bytes)
        except BaseException:
            ticket.left()
            raise
        error: ProviderFailed | None = None
        try:
            if shown:
                # Only now, when another attempt has leave to begin: until then what was shown may still be kept.
                shown = False
                yield Restarted(failures[-1].error.code)
            left = replace(deadlines, total_seconds=total_at - time.monotonic())
            request = attempt.request(access, prompt, left)
            async with aclosing(ADAPTERS[candidate.adapter].answer(request, attempt.progress)) as deltas:
                async for delta in deltas:
                    shown = True
                    if ticket.probing:
                        ticket.flowed()
                    yield delta
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
        if error is not None:
            gate.ended(attempt.end(AttemptState.FAILED, error.code))
            continue
        gate.ended(attempt.end(AttemptState.WON))
        reason = attempt.progress.finish_reason or "stop"
        yield Finished(reason, attempt.usage(), attempt.attempt_id, candidate, search.passed_over)
        return


class _Search:
    """Which candidate is next, and the leave to call it."""

    def __init__(self, plan: Plan, admission: Admission, total_at: float) -> None:
        self.failures: list[Failure] = []
        self._plan = plan
        self._tenant_id = admission.tenant_id
        self._total_at = total_at
        self._candidates = _affordable(plan, admission)
        self._unavailable: set[int] = set()
        self._passed_over: set[int] = set()
        self._current = 0
        self._fleet = fleet.current()

    @property
    def passed_over(self) -> tuple[Excluded, ...]:
        """Candidates that were not asked because their breakers were open."""
        return tuple(
            Excluded(one.provider_name, one.upstream_model, BREAKER_OPEN, one.model)
            for index, one in enumerate(self._candidates)
            if index in self._passed_over
        )

    def failed(self, error: ProviderFailed) -> None:
        """The candidate that was given last failed."""
        self.failures.append(Failure(self._current, error, time.monotonic()))

    async def next(self) -> tuple[Candidate, ProviderAccess, Ticket]:
        """The next candidate, after its back-off, with its breaker's leave. Raises the error of the whole call.

        One whose breaker is open is passed over. Where only such are left, the call asks for the leave to probe one.
        """
        refused: set[int] = set()
        while True:
            now = time.monotonic()
            resting = breaker.resting(self._fleet, self._candidates) - self._unavailable
            step = self._step(now, self._unavailable | resting | refused)
            lone = step is None
            if step is None:
                step = self._step(now, self._unavailable | refused)
            if step is None or now + step.delay_seconds >= self._total_at:
                raise self._outcome(now, resting | refused)
            candidate = self._candidates[step.index]
            access = await _access(self._tenant_id, candidate, self._total_at)
            if access is None:
                self._unavailable.add(step.index)
                continue
            await asyncio.sleep(step.delay_seconds)
            if access.trusted:
                self._fleet.record(candidate.deployment_id).name = _label(candidate)
            ticket = await breaker.enter(self._fleet, candidate, self._tenant_id, lone=lone)
            if ticket is not None:
                self._current = step.index
                self._passed_over = (self._passed_over | resting | refused) - {step.index}
                return candidate, access, ticket
            refused.add(step.index)

    def _step(self, now: float, passed: set[int]) -> Step | None:
        left_seconds = self._total_at - now
        return next_step(
            self._candidates, self.failures, now=now, jitter=_jitter, unavailable=passed, left_seconds=left_seconds
        )

    def _outcome(self, now: float, resting: set[int]) -> Problem:
        """The error of the whole call. Where trying later cannot help, it is the failure itself."""
        if not self.failures:
            if now >= self._total_at:
                return TotalTimeout("The answer could not begin before its deadline. Send it again.")
            if resting:
                open_ones = [self._candidates[index] for index in resting]
                return BreakersOpen(self._plan.model_name, breaker.retry_after_seconds(self._fleet, open_ones))
            return NoCandidates(
                f"{self._plan.model_name} was switched off, or cannot be reached. Choose another model."
            )
        last = self.failures[-1].error
        if isinstance(last, TotalTimeout) or not last.retryable:
            return last
        return AllAttemptsFailed(last, len(self.failures))


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

    def __init__(self, attempt_id: UUID, candidate: Candidate, number: int, prompt_bytes: int) -> None:
        self.attempt_id = attempt_id
        self.progress = Progress()
        self.complete = False
        self._candidate = candidate
        self._number = number
        self._prompt_bytes = prompt_bytes
        self._began_at = time.monotonic()

    def request(self, access: ProviderAccess, prompt: Prompt, deadlines: Deadlines) -> Request:
        candidate = self._candidate
        return Request(
            attempt_id=self.attempt_id,
            access=access,
            provider_name=candidate.provider_name,
            upstream_model=candidate.upstream_model,
            prompt=prompt,
            output_tokens_bound=candidate.output_tokens_bound,
            deadlines=deadlines,
        )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began_at

    def usage(self) -> Usage:
        """The provider's count, where it covers all that came; nothing, where nothing was asked or it refused; else an
        estimate: not below what was shown, not above what was reserved."""
        progress, told = self.progress, self.progress.usage
        if told is not None and progress.usage_is_final:
            return told
        if told is None and (progress.refused or not progress.sent):
            return Usage(0, 0)
        candidate = self._candidate
        likely_output = tokens.likely_output(progress.received_bytes, progress.deltas, candidate.output_tokens_bound)
        if told is not None:
            return replace(told, output_tokens=max(told.output_tokens, likely_output), estimated=True)
        likely_input = min(tokens.likely_input(self._prompt_bytes), candidate.input_tokens_bound)
        return Usage(likely_input, likely_output, estimated=True)

    def end(self, state: AttemptState, error_code: str | None = None) -> AttemptEnd:
        """How it ended, said once in the log too."""
        progress, usage = self.progress, self.usage()
        end = AttemptEnd(
            attempt_id=self.attempt_id,
            candidate=self._candidate,
            number=self._number,
            state=state,
            usage=usage,
            error_code=error_code,
            first_token_seconds=progress.first_token_seconds,
            duration_seconds=self.seconds,
        )
        metrics.tokens("input", usage.input_tokens)
        metrics.tokens("cached", usage.cached_tokens)
        metrics.tokens("output", usage.output_tokens)
        metrics.tokens("reasoning", usage.reasoning_tokens)
        log.info(
            "attempt.ended",
            attempt_id=str(end.attempt_id),
            number=end.number,
            provider=self._candidate.provider,
            model=self._candidate.model,
            upstream_model=self._candidate.upstream_model,
            state=state.value,
            error_code=error_code,
            first_token_ms=_ms(end.first_token_seconds),
            duration_ms=_ms(end.duration_seconds),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            estimated=usage.estimated,
            skipped_events=progress.skipped_events,
        )
        return end


def _affordable(plan: Plan, admission: Admission) -> Sequence[Candidate]:
    """Candidates whose bound the admission covers, so that no attempt can cost more than was set aside."""
    candidates = [one for one in plan.candidates if one.amount_bound_nanousd <= admission.amount_nanousd]
    if not candidates:
        raise NoCandidates(f"{plan.model_name} could cost more than what was set aside for this answer. Send it again.")
    return candidates


async def _access(tenant_id: UUID, candidate: Candidate, total_at: float) -> ProviderAccess | None:
    """How to reach the candidate now; None where it was switched off since, or its key cannot be opened.

    A database that is away is waited for until `total_at` (monotonic seconds).
    """
    try:
        while (known := selectors.snapshot_in_memory(tenant_id)) is None:
            try:
                known = await database_step(selectors.snapshot, tenant_id)
                break
            except DATABASE_AWAY as error:
                if time.monotonic() >= total_at:
                    raise
                log.warning("access.retried", error=type(error).__name__)
                await asyncio.sleep(DATABASE_RETRY_SECONDS)
        return known.access(candidate.deployment_id)
    except VaultError as error:
        log.error("provider.key_unreadable", provider=candidate.provider, error=type(error).__name__)
        return None


def _label(candidate: Candidate) -> str:
    return f"{candidate.provider}/{candidate.model}/{candidate.upstream_model}"


def _jitter(limit_seconds: float) -> float:
    return chance.between(0, limit_seconds)


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
