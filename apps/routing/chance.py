"""Dice for delays: what spreads load keeps no secret, so a guessable source will do."""

import random


def between(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311


def dice() -> int:
    """A number from 0 to 999."""
    return random.randrange(1000)  # noqa: S311
