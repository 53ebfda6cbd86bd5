"""From a plan to an answer: one attempt after the other until one finishes. Read `stream` top to bottom.

No attempt without the gate's leave, and each one that began is told to the gate exactly once, however it ended.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

import structlog

from apps.billing.contracts import Admission
from apps.observability import metrics
from apps.problems import Problem
from apps.routing import selectors, tokens
from apps.routing.contracts import (
    AttemptEnd,
    AttemptState,
    Candidate,
    Chunk,
    Deadlines,
    Finished,
    Gate,
    Plan,
    Prompt,
    ProviderAccess,
    Restarted,
    Usage,
)
from apps.routing.errors import AllAttemptsFailed, NoCandidates, ProviderFailed, TotalTimeout
from apps.routing.providers.base import Adapter, Progress, Request
from apps.routing.providers.openai_compatible import OpenAICompatible
from apps.routing.repeating import Failure, next_step
from apps.tenants.scope import DATABASE_AWAY, database_step
from apps.vault import VaultError

ADAPTERS: Mapping[str, Adapter] = {"openai_compatible": OpenAICompatible()}

DATABASE_RETRY_SECONDS = 0.25

log = structlog.get_logger(__name__)


async def stream(
    plan: Plan, admission: Admission, gate: Gate, prompt: Prompt, deadlines: Deadlines
) -> AsyncGenerator[Chunk, None]:
    """See `services.stream`."""
    total_at = time.monotonic() + deadlines.total_seconds
    prompt_bytes = tokens.prompt_bytes(prompt.messages, prompt.parameters.get("tools") or ())
    candidates = _affordable(plan, admission)
    unavailable: set[int] = set()
    failures: list[Failure] = []
    shown = False
    while True:
        now = time.monotonic()
        step = next_step(candidates, failures, now=now, jitter=_jitter, unavailable=unavailable)
        if step is None or now + step.delay_seconds >= total_at:
            raise _outcome(plan, failures, late=now >= total_at)
        candidate = candidates[step.index]
        access = await _access(admission.tenant_id, candidate, total_at)
        if access is None:
            unavailable.add(step.index)
            continue
        await asyncio.sleep(step.delay_seconds)
        attempt = _Attempt(await gate.begin(candidate, len(failures) + 1), candidate, len(failures) + 1, prompt_bytes)
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
                    yield delta
        except ProviderFailed as failed:
            error = failed
            failures.append(Failure(step.index, failed, time.monotonic()))
        except (asyncio.CancelledError, GeneratorExit):
            gate.ended(attempt.end(AttemptState.CANCELLED))
            raise
        except BaseException:
            gate.ended(attempt.end(AttemptState.FAILED, "internal_error"))
            raise
        if error is not None:
            gate.ended(attempt.end(AttemptState.FAILED, error.code))
            continue
        gate.ended(attempt.end(AttemptState.WON))
        yield Finished(attempt.progress.finish_reason or "stop", attempt.usage(), attempt.attempt_id, candidate)
        return


class _Attempt:
    """One attempt that has the gate's leave."""

    def __init__(self, attempt_id: UUID, candidate: Candidate, number: int, prompt_bytes: int) -> None:
        self.attempt_id = attempt_id
        self.progress = Progress()
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
            duration_seconds=time.monotonic() - self._began_at,
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


def _outcome(plan: Plan, failures: Sequence[Failure], *, late: bool) -> Problem:
    """The error of the whole call. Where trying later cannot help, it is the failure itself."""
    if not failures and late:
        return TotalTimeout("The answer could not begin before its deadline. Send it again.")
    if not failures:
        return NoCandidates(f"{plan.model_name} was switched off, or cannot be reached. Choose another model.")
    last = failures[-1].error
    if isinstance(last, TotalTimeout) or not last.retryable:
        return last
    return AllAttemptsFailed(last, len(failures))


def _jitter(limit_seconds: float) -> float:
    return random.uniform(0, limit_seconds)  # noqa: S311 - it spreads load and keeps no secret


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
