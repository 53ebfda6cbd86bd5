"""Which attempt comes after a failed one, and when. No clock and no dice of its own."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from apps.routing.contracts import Candidate, FallbackKind
from apps.routing.errors import (
    ConnectFailed,
    ContentFiltered,
    ContextExceeded,
    FirstTokenTimeout,
    GapTimeout,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRateLimited,
    Repeat,
    StreamCut,
)

MAX_ATTEMPTS = 4
BACK_OFF_BASE_SECONDS = 0.2
# A provider that asks for more patience is not waited for.
LONGEST_RETRY_AFTER_SECONDS = 10.0
# What a place does that has more to do than it can.
_OVERLOADED = (ConnectFailed, FirstTokenTimeout, GapTimeout, ProviderOverloaded, ProviderRateLimited, StreamCut)


@dataclass(frozen=True, slots=True)
class Failure:
    """Candidate `index` failed at `at` (seconds, any clock)."""

    index: int
    error: ProviderFailed
    at: float


@dataclass(frozen=True, slots=True)
class Step:
    """Try candidate `index` after `delay_seconds`."""

    index: int
    delay_seconds: float


def next_step(
    candidates: Sequence[Candidate],
    failures: Sequence[Failure],
    *,
    now: float,
    jitter: Callable[[float], float],
    unavailable: Collection[int] = (),
    left_seconds: float = math.inf,
) -> Step | None:
    """The first candidate not tried yet, at once; else one that may be repeated, after a back-off with full jitter.

    `jitter(x)` gives a number between 0 and x. `left_seconds` are left of the whole call, so that no wait is begun that
    it cannot outlast while another candidate could be asked sooner. None: nothing is left to try.
    """
    if len(failures) >= MAX_ATTEMPTS or any(failure.error.repeat is Repeat.NOWHERE for failure in failures):
        return None
    left = [index for index in range(len(candidates)) if index not in unavailable]
    left = [index for index in left if not _is_ruled_out(index, candidates, failures)]
    left = [index for index in left if _is_its_turn(index, candidates, failures, unavailable)]
    tried = {failure.index: failure for failure in failures}
    untried = [index for index in left if index not in tried]
    if untried:
        too_small = max(
            (candidates[one.index].context_tokens for one in failures if isinstance(one.error, ContextExceeded)),
            default=-1,
        )
        # Where the prompt was too long, a larger window comes before another one of that size.
        return Step(min(untried, key=lambda index: candidates[index].context_tokens <= too_small), 0.0)
    # One that fell silent costs a whole deadline each time: it is tried again only where there is no other.
    talking = [index for index in left if tried[index].error.repeat is not Repeat.ELSEWHERE_FIRST]
    asked = {index: max(0.0, _retry_after(tried[index]) - (now - tried[index].at)) for index in talking or left}
    patient = [index for index in asked if _retry_after(tried[index]) <= LONGEST_RETRY_AFTER_SECONDS]
    if not patient:
        return None
    in_time = [index for index in patient if asked[index] < left_seconds] or patient
    tries = {index: sum(failure.index == index for failure in failures) for index in in_time}
    index = min(in_time, key=lambda index: (tries[index], asked[index], index))
    return Step(index, max(asked[index], jitter(BACK_OFF_BASE_SECONDS * 2 ** (tries[index] - 1))))


def _retry_after(failure: Failure) -> float:
    return failure.error.retry_after_seconds or 0.0


def _is_ruled_out(index: int, candidates: Sequence[Candidate], failures: Sequence[Failure]) -> bool:
    """Whether what failed would fail there in the same way."""
    return any(_repeats(candidates[index], index, failure, candidates[failure.index]) for failure in failures)


def _repeats(candidate: Candidate, index: int, failure: Failure, failed: Candidate) -> bool:
    if isinstance(failure.error, ContextExceeded) and candidate.context_tokens and failed.context_tokens:
        return index == failure.index or candidate.context_tokens < failed.context_tokens
    if failure.error.repeat is Repeat.ELSEWHERE_ONLY:
        return failure.index == index
    return failure.error.repeat is Repeat.OTHER_MODEL_ONLY and failed.model == candidate.model


def _is_its_turn(
    index: int, candidates: Sequence[Candidate], failures: Sequence[Failure], unavailable: Collection[int]
) -> bool:
    """Whether what a fallback waits for has happened. What a provider's content rules refuse goes back to the caller,
    unless a fallback was set for just that."""
    kind = candidates[index].after
    errors = [failure.error for failure in failures]
    if any(isinstance(error, ContentFiltered) for error in errors):
        return kind is FallbackKind.CONTENT_FILTER
    if kind is None:
        return True
    firsts_away = all(place in unavailable for place, one in enumerate(candidates) if one.after is None)
    match kind:
        case FallbackKind.ANY:
            return bool(errors) or firsts_away
        case FallbackKind.OVERLOADED:
            return firsts_away or any(isinstance(error, _OVERLOADED) for error in errors)
        case FallbackKind.CONTEXT:
            return any(isinstance(error, ContextExceeded) for error in errors)
        case FallbackKind.CONTENT_FILTER:
            return False
