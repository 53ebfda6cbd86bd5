"""What of a chat fits into a model's window: by table, and by property."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.conversations.generation.window import (
    Parts,
    PastSummary,
    PastTurn,
    Window,
    budget_of,
    fit,
    plan_within,
)
from apps.routing.contracts import Candidate, FallbackKind, Plan, PriceVersion
from apps.routing.errors import ContextExceeded, TooDear

PRICE = PriceVersion(uuid4(), 1, 1, 1, 1, 1, free=False)


def turn(seq: int, size_bytes: int = 100) -> PastTurn:
    return PastTurn(seq, (UUID(int=2 * seq), UUID(int=2 * seq + 1)), size_bytes)


def turns(*numbers: int) -> tuple[PastTurn, ...]:
    return tuple(turn(number) for number in numbers)


def summary(covers: int, size_bytes: int = 50) -> PastSummary:
    return PastSummary(UUID(int=10**6), covers, size_bytes)


THREE = Parts(question_bytes=10, system_bytes=20, turns=turns(1, 2, 3))


@pytest.mark.parametrize(
    ("parts", "budget_bytes", "expected"),
    [
        (Parts(10), None, Window(10)),
        (Parts(10), 0, Window(10)),
        (THREE, None, Window(330, turns(1, 2, 3))),
        (THREE, 330, Window(330, turns(1, 2, 3))),
        (THREE, 329, Window(230, turns(2, 3), left_out=1)),
        (THREE, 130, Window(130, turns(3), left_out=2)),
        (THREE, 129, Window(30, (), left_out=3)),
        (THREE, 5, Window(30, (), left_out=3)),
        # A turn that does not fit ends the walk: an older one in its place would leave a hole.
        (replace(THREE, turns=(turn(1), turn(2, 900), turn(3))), 400, Window(130, turns(3), left_out=2)),
        # A summary is of use only where something is left out.
        (replace(THREE, summary=summary(1)), 330, Window(330, turns(1, 2, 3))),
        (
            replace(THREE, summary=summary(1)),
            329,
            Window(280, turns(2, 3), summary(1), left_out=1, summarised=1),
        ),
        # What it covers stays out though it would fit: the prompt's beginning is to stay the same.
        (
            replace(THREE, summary=summary(2)),
            329,
            Window(180, turns(3), summary(2), left_out=2, summarised=2),
        ),
        (
            replace(THREE, summary=summary(1)),
            200,
            Window(180, turns(3), summary(1), left_out=2, summarised=1),
        ),
        (replace(THREE, summary=summary(3)), 80, Window(80, (), summary(3), left_out=3, summarised=3)),
        (replace(THREE, summary=summary(1, 500)), 329, Window(230, turns(2, 3), left_out=1)),
    ],
)
def test_what_is_shown(parts: Parts, budget_bytes: int | None, expected: Window) -> None:
    assert fit(parts, budget_bytes) == expected


SIZES = st.integers(0, 400)


@given(
    question=SIZES,
    system=SIZES,
    sizes=st.lists(SIZES, max_size=12),
    covered=st.integers(0, 12),
    summary_size=st.none() | SIZES,
    budget=st.integers(0, 3_000),
)
def test_the_window_holds_its_promises(
    question: int, system: int, sizes: list[int], covered: int, summary_size: int | None, budget: int
) -> None:
    past = tuple(turn(seq, size) for seq, size in enumerate(sizes, start=1))
    told = None if summary_size is None or covered > len(past) or not covered else summary(covered, summary_size)
    parts = Parts(question, system, past, told)
    window = fit(parts, budget)
    shown = sum(one.size_bytes for one in window.turns) + (window.summary.size_bytes if window.summary else 0)
    assert window.size_bytes == question + system + shown  # neither system prompt nor question is ever left out
    assert window.size_bytes <= max(budget, parts.always_bytes)
    # The newest turns, whole, in order and without a hole; all of the others are counted.
    assert window.turns == past[len(past) - len(window.turns) :]
    assert window.left_out == len(past) - len(window.turns)
    assert 0 <= window.summarised <= window.left_out
    assert (window.summarised > 0) == (window.summary is not None)
    assert window.unread == window.left_out - window.summarised
    if window.left_out == 0:
        assert window.summary is None
    # Nothing that fits is left out for nothing: the next older one would have been too much, or is in the summary.
    if window.unread and not window.summarised:
        assert window.size_bytes + past[len(past) - len(window.turns) - 1].size_bytes > budget


def candidate(context_tokens: int, after: FallbackKind | None = None) -> Candidate:
    return Candidate(
        uuid4(), "p", "P", "openai", "m", "m", True, PRICE, 1, 1, context_tokens=context_tokens, after=after
    )  # fmt: skip


def planned(*candidates: Candidate) -> Plan:
    return Plan("m", "M", 1, candidates)


LONG = Parts(question_bytes=100, turns=tuple(turn(seq, 1_000) for seq in range(1, 101)))


class Planner:
    """Refuses prompts of more bytes than `limit`, as planning does, and notes what it was asked."""

    def __init__(self, limit: int, plan: Plan, refusal: type[Exception] = ContextExceeded) -> None:
        self.limit, self.plan, self.refusal = limit, plan, refusal
        self.asked: list[int] = []

    def __call__(self, prompt_bytes: int) -> Plan:
        self.asked.append(prompt_bytes)
        if prompt_bytes > self.limit:
            raise self.refusal("too much")
        return self.plan


def test_what_fits_is_planned_once() -> None:
    planner = Planner(10**9, planned(candidate(128_000)))
    _, window = plan_within(LONG, planner)
    assert (window.left_out, planner.asked) == (0, [100_100])


def test_a_long_chat_is_cut_to_the_largest_first_choice() -> None:
    plan = planned(candidate(4_000), candidate(16_000), candidate(10**6, FallbackKind.CONTEXT))
    planner = Planner(60_000, plan)
    _, window = plan_within(LONG, planner)
    assert planner.asked == [100_100, 100, window.size_bytes]
    assert window.size_bytes <= budget_of(plan) < window.size_bytes + 1_000
    assert budget_of(plan) == (16_000 - 4_000 - 256) * 3


def test_what_planning_lets_pass_is_cut_before_a_provider_refuses_it() -> None:
    """Planning asks what is likely, four bytes a token; three is what a text may have."""
    planner = Planner(10**9, planned(candidate(25_200)))
    _, window = plan_within(LONG, planner)
    assert 0 < window.left_out < 100


def test_a_ceiling_on_the_cost_cuts_further_until_the_question_alone() -> None:
    planner = Planner(5_000, planned(candidate(16_000)), TooDear)
    _, window = plan_within(LONG, planner)
    assert 0 < window.size_bytes <= 5_000
    assert len(planner.asked) < 10
    planner = Planner(500, planned(candidate(16_000)), TooDear)
    _, window = plan_within(LONG, planner)
    assert (window.size_bytes, window.left_out) == (100, 100)


@pytest.mark.parametrize("refusal", [ContextExceeded, TooDear])
@pytest.mark.parametrize("parts", [LONG, Parts(question_bytes=100)])
def test_a_question_that_does_not_fit_by_itself_is_refused(parts: Parts, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        plan_within(parts, Planner(50, planned(candidate(16_000)), refusal))
