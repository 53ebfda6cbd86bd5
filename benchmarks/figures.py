"""Figures, how they are gathered into a report, and how that is printed."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

_PACKAGES = ("django", "channels", "daphne", "uvicorn", "uvloop", "celery", "redis", "psycopg", "aiohttp")


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; `share` from 0 to 1. NaN for no values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. `aim` is an upper bound, or a lower one where `more_is_better`."""

    name: str
    value: float
    unit: str
    aim: float | None = None
    more_is_better: bool = False

    @property
    def verdict(self) -> str:
        if self.aim is None:
            return ""
        met = self.value >= self.aim if self.more_is_better else self.value <= self.aim
        return "met" if met else "missed"


@dataclass(slots=True)
class Part:
    """One part's figures, with the load average of the last minute before it began and what it ran on."""

    title: str
    placement: str
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])
    figures: list[Figure] = field(default_factory=list)

    def add(
        self, name: str, value: float, unit: str, *, aim: float | None = None, more_is_better: bool = False
    ) -> None:
        self.figures.append(Figure(name, value, unit, aim, more_is_better))

    def add_delays(self, name: str, seconds: Sequence[float], *, aims_ms: dict[str, float] | None = None) -> None:
        """p50, p95 and p99 of delays, in milliseconds."""
        for label, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            self.add(f"{name}, {label}", 1000 * percentile(seconds, share), "ms", aim=(aims_ms or {}).get(label))

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", f"{self.placement} Load average before: {self.load_before:.1f}.", ""]
        lines += ["| measure | value | aim | |", "|---|---:|---:|---|"]
        for one in self.figures:
            bound = "≥" if one.more_is_better else "≤"
            aim = "" if one.aim is None else f"{bound} {one.aim:g} {one.unit}"
            lines.append(f"| {one.name} | {number(one.value)} {one.unit} | {aim} | {one.verdict} |")
        return "\n".join(lines) + "\n"


def number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def conditions() -> dict[str, Any]:
    """The machine and the versions, for beside the figures."""
    return {
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "packages": {name: version(name) for name in _PACKAGES},
    }


def as_json(about: dict[str, Any], parts: Sequence[Part]) -> str:
    return json.dumps({"conditions": about, "parts": [asdict(part) for part in parts]}, indent=2) + "\n"
