"""How hard a question looks."""

import time

import pytest

from apps.routing.difficulty import difficulty

EASY = ["Hi!", "What is the capital of France?", "Thanks, that helped.", "Translate “good morning” into Spanish."]
HARD = [
    "Prove that the sum $\\sum_{k=1}^n k^3$ is a square, and explain how the induction step works.",
    "Why does this deadlock? Debug it step by step.\n```python\nwith a:\n    with b:\n        pass\n```",
    "Design a rate limiter.\n- it must be exact\n- at most one round trip\n- compare two\n- analyse the complexity",
]


@pytest.mark.parametrize("question", EASY)
def test_small_talk_is_easy(question: str) -> None:
    assert difficulty(question).score < 20


@pytest.mark.parametrize("question", HARD)
def test_proofs_code_and_many_demands_are_hard(question: str) -> None:
    assert difficulty(question).score >= 50


def test_the_score_is_the_sum_of_what_is_told() -> None:
    told = difficulty(HARD[2], turns_before=3, tools=True)
    assert told.score == sum(told.parts.values())
    assert told.parts["conversation"] == 6
    assert told.parts["tools"] == 10


def test_it_never_leaves_its_range() -> None:
    everything = "\n".join(HARD * 50)
    assert difficulty(everything, turns_before=1_000, tools=True).score == 100
    assert difficulty("").score == 0
    assert difficulty("\ud800").score == 0


@pytest.mark.parametrize(
    "text", ["def " * 100_000, "\n" * 400_000, "$" * 400_000, " " * 400_000, "{ " * 200_000, "1. " * 99_999]
)
def test_no_text_takes_long(text: str) -> None:
    """A quadratic pattern would take minutes for these."""
    began = time.process_time()
    difficulty(text)
    assert time.process_time() - began < 1.0
