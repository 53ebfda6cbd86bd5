"""Which attempt follows which failures."""

from uuid import uuid4

import pytest

from apps.routing.contracts import Candidate, FallbackKind, PriceVersion
from apps.routing.errors import (
    ConnectFailed,
    ContentFiltered,
    ContextExceeded,
    FirstTokenTimeout,
    GapTimeout,
    ProviderAuthFailed,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    StreamCut,
    TotalTimeout,
)
from apps.routing.repeating import Failure, Step, next_step

AFTER = {
    "": None,
    "*": FallbackKind.ANY,
    "<": FallbackKind.CONTEXT,
    "!": FallbackKind.OVERLOADED,
    "?": FallbackKind.CONTENT_FILTER,
}


def _candidate(model: str) -> Candidate:
    price = PriceVersion(uuid4(), 1, 1, 1, 1, 1, False)
    return Candidate(uuid4(), "p", "P", "openai_compatible", model[0], "up", True, price, 1, 1, after=AFTER[model[1:]])


def _after(models: str, *failed: tuple[int, ProviderFailed], now: float = 100.0) -> Step | None:
    """The step after failures at time 100; the back-off is its longest."""
    failures = [Failure(index, error, 100.0) for index, error in failed]
    return next_step([_candidate(model) for model in models], failures, now=now, jitter=lambda limit: limit)


OVERLOADED = ProviderOverloaded("")
SILENT = FirstTokenTimeout("")
GAP = GapTimeout("")


@pytest.mark.parametrize(
    ("models", "failed", "step"),
    [
        ("aa", [], Step(0, 0.0)),
        ("aa", [(0, OVERLOADED)], Step(1, 0.0)),
        ("aa", [(0, SILENT)], Step(1, 0.0)),
        ("aa", [(0, ContextExceeded(""))], Step(1, 0.0)),
        ("aa", [(0, ProviderAuthFailed(""))], Step(1, 0.0)),
        ("aa", [(0, ProviderRejected(""))], None),
        ("ab", [(0, ProviderRejected(""))], Step(1, 0.0)),
        ("aba", [(0, ProviderRejected(""))], Step(1, 0.0)),
        ("aa", [(0, TotalTimeout(""))], None),
        # Nothing untried is left: the one tried least comes again, after a growing pause.
        ("a", [(0, OVERLOADED)], Step(0, 0.2)),
        ("a", [(0, OVERLOADED), (0, StreamCut(""))], Step(0, 0.4)),
        ("a", [(0, OVERLOADED)] * 3, Step(0, 0.8)),
        ("a", [(0, OVERLOADED)] * 4, None),
        ("aa", [(0, OVERLOADED), (1, ConnectFailed(""))], Step(0, 0.2)),
        ("aa", [(0, OVERLOADED), (1, OVERLOADED), (0, OVERLOADED)], Step(1, 0.2)),
        ("aa", [(0, OVERLOADED), (1, ProviderAuthFailed(""))], Step(0, 0.2)),
        ("a", [(0, ContextExceeded(""))], None),
        # A route that did not begin to answer is not tried again: it would cost another whole deadline.
        ("a", [(0, SILENT)], None),
        ("aa", [(0, SILENT), (1, OVERLOADED)], Step(1, 0.2)),
        ("aa", [(0, SILENT), (1, OVERLOADED), (1, OVERLOADED)], Step(1, 0.4)),
        ("aa", [(0, SILENT), (1, SILENT)], None),
        # One that fell silent in the middle is, where there is no other.
        ("a", [(0, GAP)], Step(0, 0.2)),
        ("aa", [(0, GAP), (1, OVERLOADED)], Step(1, 0.2)),
        ("aa", [(0, GAP), (1, SILENT)], Step(0, 0.2)),
        ("aa", [(0, GAP), (1, ProviderAuthFailed(""))], Step(0, 0.2)),
        # Retry-After is honoured up to ten seconds.
        ("a", [(0, ProviderRateLimited("", retry_after_seconds=3))], Step(0, 3.0)),
        ("a", [(0, ProviderRateLimited("", retry_after_seconds=0.1))], Step(0, 0.2)),
        ("a", [(0, ProviderRateLimited("", retry_after_seconds=10))], Step(0, 10.0)),
        ("a", [(0, ProviderRateLimited("", retry_after_seconds=10.5))], None),
        ("aa", [(0, ProviderRateLimited("", retry_after_seconds=60)), (1, OVERLOADED)], Step(1, 0.2)),
        # Of two that were tried as often, the one that asks for less patience.
        ("aa", [(0, ProviderRateLimited("", retry_after_seconds=8)), (1, OVERLOADED)], Step(1, 0.2)),
    ],
)
def test_the_step_after(models: str, failed: list[tuple[int, ProviderFailed]], step: Step | None) -> None:
    assert _after(models, *failed) == step


FILTERED = ContentFiltered("")
TOO_LONG = ContextExceeded("")


@pytest.mark.parametrize(
    ("models", "failed", "index"),
    [
        ("a b*", [], 0),
        ("a b* c<", [(0, TOO_LONG)], 2),
        ("a b! c<", [(0, TOO_LONG)], 2),
        ("a b<", [(0, OVERLOADED)], 0),
        ("a b! c<", [(0, OVERLOADED)], 1),
        ("a a b*", [(0, OVERLOADED)], 1),
        ("a b*", [(0, ProviderRejected(""))], 1),
        ("a b!", [(0, ProviderRejected(""))], None),
        # What one provider's content rules refuse goes to another only where that was declared.
        ("a a", [(0, FILTERED)], None),
        ("a b", [(0, FILTERED)], None),
        ("a b* c!", [(0, FILTERED)], None),
        ("a b* c?", [(0, FILTERED)], 2),
        ("a c?", [(0, OVERLOADED)], 0),
        ("a b! c?", [(0, OVERLOADED), (1, FILTERED)], 2),
    ],
)
def test_a_fallback_waits_for_what_it_is_meant_for(
    models: str, failed: list[tuple[int, ProviderFailed]], index: int | None
) -> None:
    failures = [Failure(place, error, 100.0) for place, error in failed]
    candidates = [_candidate(model) for model in models.split()]
    step = next_step(candidates, failures, now=100.0, jitter=lambda limit: limit)
    assert (step.index if step else None) == index


def test_first_choices_that_cannot_be_asked_count_as_overloaded() -> None:
    candidates = [_candidate(model) for model in ("a", "a", "b<", "c!")]
    assert next_step(candidates, [], now=0, jitter=lambda limit: limit, unavailable={0}) == Step(1, 0.0)
    assert next_step(candidates, [], now=0, jitter=lambda limit: limit, unavailable={0, 1}) == Step(3, 0.0)


def test_time_that_passed_counts_towards_retry_after() -> None:
    assert _after("a", (0, ProviderRateLimited("", retry_after_seconds=3)), now=102.0) == Step(0, 1.0)


def test_no_wait_is_begun_that_the_call_cannot_outlast_where_another_can_be_asked() -> None:
    candidates = [_candidate("a"), _candidate("a")]
    failures = [
        Failure(0, ProviderRateLimited("", retry_after_seconds=8), 100.0),
        Failure(1, OVERLOADED, 100.0),
        Failure(1, OVERLOADED, 100.0),
    ]

    def step(left_seconds: float) -> Step | None:
        return next_step(candidates, failures, now=100.0, jitter=lambda limit: limit, left_seconds=left_seconds)

    assert step(20) == Step(0, 8.0)
    assert step(5) == Step(1, 0.4)


def test_an_unavailable_candidate_is_passed_over() -> None:
    candidates = [_candidate("a"), _candidate("a")]
    assert next_step(candidates, [], now=0, jitter=lambda limit: limit, unavailable={0}) == Step(1, 0.0)
    assert next_step(candidates, [], now=0, jitter=lambda limit: limit, unavailable={0, 1}) is None


@pytest.mark.parametrize(
    ("windows", "order"),
    [
        ([1_000, 1_000, 2_000], [0, 2]),  # a larger one first, and after that a smaller one is no use
        ([2_000, 1_000], [0]),
        ([1_000, 1_000], [0, 1]),  # the catalogue may be wrong about one of two
    ],
)
def test_what_was_too_long_goes_to_a_larger_window(windows: list[int], order: list[int]) -> None:
    candidates = [_candidate("m")._replace(context_tokens=tokens) for tokens in windows]
    failures: list[Failure] = []
    while step := next_step(candidates, failures, now=100.0, jitter=lambda limit: limit):
        failures.append(Failure(step.index, TOO_LONG, 100.0))
    assert [failure.index for failure in failures] == order
