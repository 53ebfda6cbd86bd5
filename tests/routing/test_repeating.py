"""Which attempt follows which failures."""

from dataclasses import replace
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
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    StreamCut,
    TotalTimeout,
)
from apps.routing.repeating import Failure, Step, next_step


def _candidate(model: str) -> Candidate:
    price = PriceVersion(uuid4(), 1, 1, 1, 1, 1, False)
    return Candidate(uuid4(), "p", "P", "openai_compatible", model, "up", True, price, 1, 1)


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


def _fallback(model: str, after: FallbackKind | None, context_tokens: int = 1_000) -> Candidate:
    return replace(_candidate(model), after=after, context_tokens=context_tokens)


CHAIN = [
    _fallback("first", None),
    _fallback("any", FallbackKind.ANY),
    _fallback("wide", FallbackKind.CONTEXT, 2_000),
    _fallback("idle", FallbackKind.OVERLOADED),
    _fallback("lenient", FallbackKind.CONTENT_FILTER),
]


@pytest.mark.parametrize(
    ("failed", "tried"),
    [
        ([], "first"),
        ([ProviderMisconfigured("")], "first any"),
        ([OVERLOADED], "first any idle first"),
        ([OVERLOADED, OVERLOADED, OVERLOADED], "first any idle first"),
        # A larger window alone helps, and "any" does not have one.
        ([ContextExceeded("")], "first wide"),
        # What the content rules refuse is refused, unless it was asked for that it goes elsewhere.
        ([ContentFiltered("")], "first lenient"),
        ([OVERLOADED, ContentFiltered("")], "first any lenient"),
    ],
)
def test_a_fallback_waits_for_what_it_is_for(failed: list[ProviderFailed], tried: str) -> None:
    order, failures = [], []
    errors = iter([*failed, *([ProviderMisconfigured("")] * 4)] if failed else [TotalTimeout("")])
    while step := next_step(CHAIN, failures, now=100.0, jitter=lambda limit: limit):
        order.append(CHAIN[step.index].model)
        failures.append(Failure(step.index, next(errors), 100.0))
    assert order[: len(tried.split())] == tried.split()
    if not failed:
        assert order == ["first"]


def test_a_refusal_by_content_rules_is_final_without_a_fallback_for_it() -> None:
    failures = [Failure(0, ContentFiltered(""), 100.0)]
    assert next_step(CHAIN[:4], failures, now=100.0, jitter=lambda limit: limit) is None
    assert next_step([_candidate("a"), _candidate("b")], failures, now=100.0, jitter=lambda limit: limit) is None


def test_fallbacks_serve_at_once_where_no_first_choice_can_be_called() -> None:
    step = next_step(CHAIN, [], now=100.0, jitter=lambda limit: limit, unavailable={0})
    assert step == Step(1, 0.0)
    assert next_step(CHAIN, [], now=100.0, jitter=lambda limit: limit, unavailable={0, 1}) == Step(3, 0.0)
