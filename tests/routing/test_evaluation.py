"""Measuring a router on graded questions, as RouteLLM defines it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.routing.errors import NothingToRoute
from apps.routing.evaluation import Graded, apgr, cpt, evaluate, recovered_curve

_GRADES = st.integers(0, 10).map(float)
_QUESTIONS = st.lists(
    st.builds(Graded, st.integers(0, 100).map(float), _GRADES, _GRADES), min_size=1, max_size=40
).filter(lambda questions: sum(one.strong - one.cheap for one in questions) > 0)


def _score(one: Graded) -> float:
    return one.score


def _gain(one: Graded) -> float:
    return one.strong - one.cheap


def test_figures_worked_out_by_hand() -> None:
    """Four questions, one of which the strong model alone can answer; the router puts it second."""
    questions = [Graded(9, 1, 1), Graded(8, 0, 1), Graded(2, 1, 1), Graded(1, 1, 1)]
    curve = recovered_curve(questions, _score)
    assert curve == [0, 0, 1, 1, 1]
    assert apgr(curve) == pytest.approx((0 + 0.5 + 1 + 1) / 4)
    assert (cpt(curve, 0.5), cpt(curve, 0.8)) == (0.5, 0.5)
    assert recovered_curve(questions, _gain) == [0, 1, 1, 1, 1]


@given(_QUESTIONS)
def test_lots_recover_what_they_spend_and_nothing_beats_the_oracle(questions: list[Graded]) -> None:
    lots = recovered_curve(questions, lambda one: 0.0)
    assert apgr(lots) == pytest.approx(0.5)
    assert lots[-1] == pytest.approx(1.0)
    best = apgr(recovered_curve(questions, _gain))
    assert apgr(recovered_curve(questions, _score)) <= best + 1e-9
    assert best >= 0.5 - 1e-9


@given(_QUESTIONS, st.randoms())
def test_the_order_of_the_file_changes_nothing(questions: list[Graded], dice: random.Random) -> None:
    shuffled = list(questions)
    dice.shuffle(shuffled)
    assert recovered_curve(shuffled, _score) == pytest.approx(recovered_curve(questions, _score))


def _many(informed: bool) -> list[Graded]:
    """Questions of which the hard third needs the strong model; scores that know it, or know nothing."""
    dice = random.Random(5)
    hard = [number % 3 == 0 for number in range(120)]
    scores = [(70.0 if is_hard else 20.0) + dice.random() for is_hard in hard]
    if not informed:
        dice.shuffle(scores)
    return [Graded(score, 0.0 if is_hard else 1.0, 1.0) for score, is_hard in zip(scores, hard, strict=True)]


def test_a_router_that_knows_beats_chance_and_one_that_does_not_is_not_believed() -> None:
    good, blind = evaluate(_many(informed=True), 50), evaluate(_many(informed=False), 50)
    assert good.beats_chance
    assert not blind.beats_chance
    assert good.router.apgr.low <= good.router.apgr.value <= good.router.apgr.high
    assert (good.strong_share, good.recovered) == (pytest.approx(1 / 3), pytest.approx(1.0))
    assert good.router.cpt[0.5].value == pytest.approx(1 / 6)
    assert good.random.apgr.value == pytest.approx(0.5)
    assert evaluate(_many(informed=True), 50) == good, "the same seed gives the same intervals"


@pytest.mark.parametrize(
    ("questions", "says"),
    [
        ([Graded(1, 0, 1)] * 49, "at least 50"),
        ([Graded(1, 1, 1)] * 50, "no better"),
        ([Graded(1, 1, 0)] * 50, "no better"),
    ],
)
def test_questions_that_say_nothing_are_refused(questions: list[Graded], says: str) -> None:
    with pytest.raises(NothingToRoute, match=says):
        evaluate(questions, 50)
