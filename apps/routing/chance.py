"""Dice for delays, places and samples: what spreads load keeps no secret, so a guessable source will do."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def between(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311


def dice() -> int:
    """A number from 0 to 999."""
    return random.randrange(1000)  # noqa: S311


def share() -> float:
    """A number from 0 to below 1."""
    return random.random()  # noqa: S311


def samples(values: Sequence[T], count: int, seed: int) -> list[list[T]]:
    """So many samples of the values, drawn with replacement and as long as they are; the same for the same seed."""
    source = random.Random(seed)  # noqa: S311
    return [source.choices(values, k=len(values)) for _ in range(count)]
