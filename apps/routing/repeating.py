"""Which attempt comes after a failed one, and when. No clock and no dice of its own."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from apps.routing.contracts import Candidate
from apps.routing.errors import ProviderFailed, Repeat

MAX_ATTEMPTS = 4
BACK_OFF_BASE_SECONDS = 0.2
# A provider that asks for more patience is not waited for.
LONGEST_RETRY_AFTER_SECONDS = 10.0


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
    tried = {failure.index: failure for failure in failures}
    for index in left:
        if index not in tried:
            return Step(index, 0.0)
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
    return any(
        failure.index == index
        if failure.error.repeat is Repeat.ELSEWHERE_ONLY
        else candidates[failure.index].model == candidates[index].model
        for failure in failures
        if failure.error.repeat in (Repeat.ELSEWHERE_ONLY, Repeat.OTHER_MODEL_ONLY)
    )
