"""Which candidate of a plan is called next, and the leave to call it."""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from apps.billing.contracts import Admission
from apps.problems import Problem
from apps.routing import breaker, chance, fleet, pools, queues
from apps.routing.access import access_to
from apps.routing.breaker import Ticket
from apps.routing.contracts import Candidate, Excluded, Plan, ProviderAccess
from apps.routing.errors import (
    AllAttemptsFailed,
    BreakersOpen,
    NoCandidates,
    PoolsFull,
    ProviderFailed,
    StreamBroken,
    TotalTimeout,
)
from apps.routing.pools import Place
from apps.routing.providers import litellm
from apps.routing.repeating import Failure, Step, next_step

# Why a candidate was passed over.
BREAKER_OPEN = "breaker_open"
POOL_FULL = "pool_full"
NO_ADAPTER = "no_adapter"  # this process did not load what it takes to call it


@dataclass(frozen=True, slots=True)
class Leave:
    """The leave to call a candidate once. `place` is its room, where the candidate is a pool with a limit."""

    candidate: Candidate
    access: ProviderAccess
    ticket: Ticket
    place: Place | None = None

    def give_back(self) -> None:
        """The call was not made after all. Harmless after another word."""
        self.ticket.left()
        self.done()

    def done(self) -> None:
        """The call is over, however it ended."""
        if self.place is not None:
            self.place.leave()


class Search:
    """One call's way through its plan."""

    def __init__(self, plan: Plan, admission: Admission, total_at: float) -> None:
        self.failures: list[Failure] = []
        self._plan = plan
        self._tenant_id = admission.tenant_id
        self._total_at = total_at
        self._candidates = _affordable(plan, admission)
        self._passed_over: dict[int, str] = dict.fromkeys(_uncallable(self._candidates), NO_ADAPTER)
        self._unavailable: set[int] = set(self._passed_over)
        self._current = 0
        self._fleet = fleet.current()

    @property
    def passed_over(self) -> tuple[Excluded, ...]:
        """Candidates that were not asked because their breakers were open, their pools full, or this process cannot."""
        return tuple(
            Excluded(one.provider_name, one.upstream_model, self._passed_over[index], one.model)
            for index, one in enumerate(self._candidates)
            if index in self._passed_over
        )

    def failed(self, error: ProviderFailed) -> None:
        """The candidate that was given last failed."""
        self.failures.append(Failure(self._current, error, time.monotonic()))

    async def next(self) -> Leave:
        """The leave to call the next candidate, after its back-off. Raises the error of the whole call.

        One whose breaker is open is passed over, and one whose pool is full. Where only the former are left, the call
        asks for the leave to probe one.
        """
        refused: set[int] = set()
        full: set[int] = set()
        while True:
            now = time.monotonic()
            resting = breaker.resting(self._fleet, self._candidates) - self._unavailable
            step = self._step(now, self._unavailable | full | resting | refused)
            lone = step is None
            if step is None:
                step = self._step(now, self._unavailable | full | refused)
            if step is None or now + step.delay_seconds >= self._total_at:
                raise self._outcome(now, resting | refused, full)
            candidate = self._candidates[step.index]
            access = await access_to(self._tenant_id, candidate, self._total_at)
            if access is None:
                self._unavailable.add(step.index)
                continue
            if step.delay_seconds:
                await asyncio.sleep(step.delay_seconds)
            if access.trusted:
                self._fleet.record(candidate.deployment_id).name = _label(candidate)
            ticket = await breaker.enter(self._fleet, candidate, self._tenant_id, lone=lone)
            if ticket is None:
                refused.add(step.index)
                continue
            place = await self._place(candidate, ticket)
            if candidate.max_parallel is not None and place is None:
                full.add(step.index)
                continue
            self._current = step.index
            self._passed_over |= dict.fromkeys(resting | refused, BREAKER_OPEN) | dict.fromkeys(full, POOL_FULL)
            self._passed_over.pop(step.index, None)
            return Leave(candidate, access, ticket, place)

    async def _place(self, candidate: Candidate, ticket: Ticket) -> Place | None:
        """Room in the candidate's pool; None where it has no limit, or no room. The ticket goes back without room."""
        if candidate.max_parallel is None:
            return None
        place = None
        try:
            place = await pools.current().enter(candidate, self._total_at - time.monotonic())
        finally:
            if place is None:
                ticket.left()
        return place

    def _step(self, now: float, passed: set[int]) -> Step | None:
        left_seconds = self._total_at - now
        return next_step(
            self._candidates, self.failures, now=now, jitter=_jitter, unavailable=passed, left_seconds=left_seconds
        )

    def _outcome(self, now: float, resting: Collection[int], full: Collection[int]) -> Problem:
        """The error of the whole call. Where trying later cannot help, it is the failure itself."""
        if not self.failures:
            if now >= self._total_at:
                return TotalTimeout("The answer could not begin before its deadline. Send it again.")
            if full:
                return PoolsFull(self._plan.model_name)
            if resting:
                open_ones = [self._candidates[index] for index in resting]
                return BreakersOpen(self._plan.model_name, breaker.retry_after_seconds(self._fleet, open_ones))
            return NoCandidates(
                f"{self._plan.model_name} was switched off, or cannot be reached. Choose another model."
            )
        last = self.failures[-1].error
        if isinstance(last, TotalTimeout | StreamBroken) or not last.retryable:
            return last
        return AllAttemptsFailed(last, len(self.failures))


def _uncallable(candidates: Sequence[Candidate]) -> list[int]:
    """Those whose adapter this process did not load at its start."""
    return [index for index, one in enumerate(candidates) if one.adapter == queues.LITELLM and not litellm.loaded()]


def _affordable(plan: Plan, admission: Admission) -> Sequence[Candidate]:
    """Candidates whose bound the admission covers, so that no attempt can cost more than was set aside."""
    set_aside_nanousd = admission.amount_nanousd - plan.side_bound_nanousd
    candidates = [one for one in plan.candidates if one.amount_bound_nanousd <= set_aside_nanousd]
    if not candidates:
        raise NoCandidates(f"{plan.model_name} could cost more than what was set aside for this answer. Send it again.")
    return candidates


def _label(candidate: Candidate) -> str:
    return f"{candidate.provider}/{candidate.model}/{candidate.upstream_model}"


def _jitter(limit_seconds: float) -> float:
    return chance.between(0, limit_seconds)
