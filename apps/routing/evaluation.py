"""How good a router is at sending hard questions to the strong model, on questions that somebody graded.

The measures are RouteLLM's (Ong et al. 2024, section 3): the **performance gap recovered** is the share of the quality
between always-cheap and always-strong that a router wins back; **APGR** is its mean over all shares of calls sent to
the strong model; **CPT(x)** is the smallest such share that recovers x of the gap. Drawing lots recovers as much as it
spends (APGR 0.5, CPT(x) = x), and the oracle knows each question's grades.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from apps.routing import chance
from apps.routing.errors import NothingToRoute

BOOTSTRAPS = 1_000
CPT_GOALS = (0.5, 0.8)
# Fewer say nothing.
FEWEST_QUESTIONS = 50


@dataclass(frozen=True, slots=True)
class Graded:
    """A question's score by the router, and the grades (any scale, more is better) of the cheap and strong answers."""

    score: float
    cheap: float
    strong: float


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and where 95 of 100 bootstrap samples found it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A router's figures. `cpt` by the share of the gap that is to be recovered."""

    apgr: Interval
    cpt: dict[float, Interval]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A router beside its baselines, and where its threshold stands: share of strong calls, and gap recovered there."""

    questions: int
    cheap_grade: float
    strong_grade: float
    router: Measured
    random: Measured
    oracle: Measured
    strong_share: float
    recovered: float

    @property
    def beats_chance(self) -> bool:
        """Whether even the low end of its interval is above drawing lots."""
        return self.router.apgr.low > 0.5


def evaluate(questions: Sequence[Graded], hard_from: float, *, seed: int = 0) -> Evaluation:
    """Measure the router that scored these questions. Raises `NothingToRoute`."""
    count = len(questions)
    if count < FEWEST_QUESTIONS:
        raise NothingToRoute(f"Give at least {FEWEST_QUESTIONS} graded questions; these are {count}.")
    gap = sum(one.strong - one.cheap for one in questions)
    if gap <= 0:
        raise NothingToRoute("On these questions the strong model is no better than the cheap one: use the cheap one.")
    strong = [one for one in questions if one.score >= hard_from]
    samples = chance.samples(questions, BOOTSTRAPS, seed)
    return Evaluation(
        questions=count,
        cheap_grade=sum(one.cheap for one in questions) / count,
        strong_grade=sum(one.strong for one in questions) / count,
        router=_measured(questions, samples, lambda one: one.score),
        random=_measured(questions, samples, lambda one: 0.0),
        oracle=_measured(questions, samples, lambda one: one.strong - one.cheap),
        strong_share=len(strong) / count,
        recovered=sum(one.strong - one.cheap for one in strong) / gap,
    )


def _measured(
    questions: Sequence[Graded], samples: Sequence[Sequence[Graded]], score: Callable[[Graded], float]
) -> Measured:
    curve = recovered_curve(questions, score)
    curves = [found for sample in samples if (found := recovered_curve(sample, score))]
    return Measured(
        apgr=_interval(apgr(curve), [apgr(one) for one in curves]),
        cpt={goal: _interval(cpt(curve, goal), [cpt(one, goal) for one in curves]) for goal in CPT_GOALS},
    )


def recovered_curve(questions: Sequence[Graded], score: Callable[[Graded], float]) -> list[float]:
    """The gap recovered when the 0, 1, ... n questions that score highest go to the strong model; empty without a gap.

    Questions of one score are sent in no order: each counts as their mean.
    """
    gains: list[float] = []
    for _, group in groupby(sorted(questions, key=score, reverse=True), key=score):
        together = [one.strong - one.cheap for one in group]
        gains += [sum(together) / len(together)] * len(together)
    gap = sum(gains)
    return [won / gap for won in accumulate(gains, initial=0.0)] if gap > 0 else []


def apgr(curve: Sequence[float]) -> float:
    """Mean gap recovered over all shares of strong calls (trapezoids)."""
    steps = len(curve) - 1
    return (sum(curve) - (curve[0] + curve[-1]) / 2) / steps


def cpt(curve: Sequence[float], goal: float) -> float:
    """The smallest share of strong calls that recovers `goal` of the gap."""
    steps = len(curve) - 1
    return next(index for index, recovered in enumerate(curve) if recovered >= goal - 1e-9) / steps


def threshold_for(questions: Sequence[Graded], goal: float) -> tuple[float, float]:
    """The highest threshold that recovers `goal` of the gap, and the share of the questions that it calls hard."""
    gap = sum(one.strong - one.cheap for one in questions)
    for score in sorted({one.score for one in questions}, reverse=True):
        hard = [one for one in questions if one.score >= score]
        if sum(one.strong - one.cheap for one in hard) >= goal * gap - 1e-9:
            return score, len(hard) / len(questions)
    raise ValueError("all questions together recover the whole gap")


def _interval(value: float, resampled: list[float]) -> Interval:
    ordered = sorted(resampled) or [value]
    last = len(ordered) - 1
    return Interval(value, ordered[round(last * 0.025)], ordered[round(last * 0.975)])
