"""Answers that wait in their middle until a test lets them go on: `+hold=90` on a model's name.

Such an answer stops after that many tokens, at the latest before its end, with the connection open. `POST
/control/release` lets those of all models that match go on, now and from now on: to their end, or with `until` up to
that many tokens. `DELETE /control/release` takes all of this back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import inf

POLL_SECONDS = 0.02


class Holds:
    """How far held answers may go, by the name that was asked for."""

    def __init__(self) -> None:
        self._limits: dict[str, tuple[re.Pattern[str], float]] = {}

    def release(self, model: str, until: float = inf) -> None:
        """`model` is a regular expression or `*`. Raises re.error."""
        self._limits[model] = re.compile(".*" if model == "*" else model), until

    def clear(self) -> int:
        cleared = len(self._limits)
        self._limits.clear()
        return cleared

    def limit(self, requested: str, hold: int | None) -> Callable[[], float] | None:
        """Tells, whenever it is called, how many tokens may be sent; None where nothing is held."""
        if hold is None:
            return None
        return lambda: max([hold, *(until for pattern, until in self._limits.values() if pattern.fullmatch(requested))])
