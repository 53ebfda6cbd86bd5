"""Which attempt comes after a failed one, and when. No clock and no dice of its own."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from apps.routing.contracts import Candidate, FallbackKind
from apps.routing.errors import ContentFiltered, ContextExceeded, ProviderFailed, ProviderRejected, Repeat

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
    if not failures:
        # The common case first: nothing has gone wrong yet.
        first = (index for index, one in enumerate(candidates) if one.after is None and index not in unavailable)
        if (index := next(first, None)) is not None:
            return Step(index, 0.0)
    if len(failures) >= MAX_ATTEMPTS or any(failure.error.repeat is Repeat.NOWHERE for failure in failures):
        return None
    left = [index for index in range(len(candidates)) if index not in unavailable]
    left = [index for index in left if not _is_ruled_out(index, candidates, failures)]
    wrong = _gone_wrong(candidates, failures, unavailable)
    left = [index for index in left if _is_open_to(candidates[index], wrong)]
    tried = {failure.index: failure for failure in failures}
    if untried := [index for index in left if index not in tried]:
        too_small = _too_small(candidates, failures)

        def rank(index: int) -> tuple[bool, bool, int]:
            """A larger window where the prompt was too long, and what is meant for just this before what is meant for
            anything."""
            one = candidates[index]
            return one.context_tokens <= too_small, one.after is FallbackKind.ANY, index

        return Step(min(untried, key=rank), 0.0)
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


def _gone_wrong(
    candidates: Sequence[Candidate], failures: Sequence[Failure], unavailable: Collection[int]
) -> set[FallbackKind]:
    """What went wrong so far, as fallbacks are declared for it. First choices that cannot be asked are overloaded."""
    wrong = {_kind(failure.error) for failure in failures}
    if all(index in unavailable for index, one in enumerate(candidates) if one.after is None):
        wrong |= {FallbackKind.OVERLOADED}
    return wrong


def _kind(error: ProviderFailed) -> FallbackKind:
    if isinstance(error, ContentFiltered):
        return FallbackKind.CONTENT_FILTER
    if isinstance(error, ContextExceeded):
        return FallbackKind.CONTEXT
    return FallbackKind.ANY if isinstance(error, ProviderRejected) else FallbackKind.OVERLOADED


def _is_open_to(candidate: Candidate, wrong: set[FallbackKind]) -> bool:
    """Whether the candidate may be asked after what went wrong. What one provider's content rules refuse goes to
    another only where somebody declared that it should."""
    if FallbackKind.CONTENT_FILTER in wrong:
        return candidate.after is FallbackKind.CONTENT_FILTER
    if candidate.after is FallbackKind.ANY:
        return bool(wrong)
    return candidate.after is None or candidate.after in wrong


def _too_small(candidates: Sequence[Candidate], failures: Sequence[Failure]) -> int:
    """The largest window that the prompt did not fit into, in tokens; -1 where it fits so far."""
    return max(
        (candidates[one.index].context_tokens for one in failures if isinstance(one.error, ContextExceeded)),
        default=-1,
    )


def _is_ruled_out(index: int, candidates: Sequence[Candidate], failures: Sequence[Failure]) -> bool:
    """Whether what failed would fail there in the same way."""
    return any(_repeats(index, candidates[index], failure, candidates[failure.index]) for failure in failures)


def _repeats(index: int, candidate: Candidate, failure: Failure, failed: Candidate) -> bool:
    if isinstance(failure.error, ContextExceeded):
        return index == failure.index or candidate.context_tokens < failed.context_tokens
    if failure.error.repeat is Repeat.ELSEWHERE_ONLY:
        return index == failure.index
    return failure.error.repeat is Repeat.OTHER_MODEL_ONLY and failed.model == candidate.model
