"""The table, its ratios and its conditions."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Part, number
from benchmarks.gateway import measures, wrk
from benchmarks.gateway.measures import Delays, Measured, Scale
from benchmarks.gateway.peers import LITELLM, PORTKEY
from benchmarks.gateway.shapes import ANSWER, BURST, PACED

OURS, BARE = "Switchboard", "bare"
Getter = Callable[[Measured], float | None]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `over_bare` shows what is added over the bare pass-through."""

    label: str
    get: Getter
    over_bare: bool = False

    def value(self, one: Measured, bare: Measured | None) -> float | None:
        value = self.get(one)
        if not self.over_bare or value is None:
            return value
        base = self.get(bare) if bare is not None and one is not bare else None
        return None if base is None else value - base


def _delay(of: Callable[[Measured], Delays | None], share: str) -> Getter:
    def get(one: Measured) -> float | None:
        delays = of(one)
        return None if delays is None else float(getattr(delays, share))

    return get


def _beside(of: Callable[[Measured], dict[str, float]], *names: str) -> Getter:
    def get(one: Measured) -> float | None:
        found = of(one)
        return sum(found[name] for name in names) if found else None

    return get


def _request(one: Measured) -> dict[str, float]:
    return one.beside_cpu_ms_per_request


def _chunk(one: Measured) -> dict[str, float]:
    return one.beside_cpu_ms_per_chunk


def _per_second_of_cpu(cpu_ms: float | None) -> float | None:
    """What a core does that nobody else disturbs; on a quiet machine hardly more than what was seen."""
    return 1000 / cpu_ms if cpu_ms else None


_SHARES = ("p50", "p95", "p99")
ROWS = (
    Row("requests/s on one core", lambda one: one.requests_per_second),
    Row("share of that core used", lambda one: one.core_share),
    Row("requests per second of its CPU", lambda one: _per_second_of_cpu(one.cpu_ms_per_request)),
    *(Row(f"{share} ms then", _delay(lambda one: one.loaded, share)) for share in _SHARES),
    Row("CPU ms/request", lambda one: one.cpu_ms_per_request),
    Row("  beside it: Redis", _beside(_request, "redis", "redis-cache")),
    Row("  beside it: PostgreSQL", _beside(_request, "postgres")),
    Row("  beside it: worker", _beside(_request, "worker-1")),
    *(Row(f"{share} ms at {measures.RATE_PER_SECOND}/s", _delay(lambda one: one.at_rate, share)) for share in _SHARES),
    *(Row(f"  added over bare, {share} ms", _delay(lambda one: one.at_rate, share), True) for share in _SHARES),
    *(Row(f"first chunk, {share} ms", _delay(lambda one: one.first, share)) for share in _SHARES),
    *(Row(f"  added over bare, {share} ms ", _delay(lambda one: one.first, share), True) for share in _SHARES),
    Row("chunks/s on one core", lambda one: one.chunks_per_second),
    Row("share of that core used ", lambda one: one.chunk_core_share),
    Row("CPU ms/chunk, paced", lambda one: one.cpu_ms_per_chunk),
    Row("  beside it: Redis ", _beside(_chunk, "redis", "redis-cache")),
    Row("  beside it: PostgreSQL ", _beside(_chunk, "postgres")),
    Row("paced streams", lambda one: one.paced_streams),
    Row("idle: share of a core", lambda one: one.idle_core_share),
    Row("  beside it: all", lambda one: one.beside_idle_core_share),
    Row("RSS MB, idle", lambda one: one.rss_idle_mb),
    Row("RSS MB, after the load", lambda one: one.rss_loaded_mb),
    Row("PSS MB, after the load", lambda one: one.pss_loaded_mb),
    Row("answered", lambda one: one.answered),
    Row("failed", lambda one: one.failed),
    Row("ledger lines", lambda one: one.ledger_lines),
)
# In which of them more is better; of the others, less.
_RATIOS: dict[str, tuple[Getter, bool]] = {
    "requests/s": (lambda one: one.requests_per_second, True),
    "CPU ms/request": (lambda one: one.cpu_ms_per_request, False),
    "p50 ms at the fixed rate": (_delay(lambda one: one.at_rate, "p50"), False),
    "p99 ms at the fixed rate": (_delay(lambda one: one.at_rate, "p99"), False),
    "first chunk, p50 ms": (_delay(lambda one: one.first, "p50"), False),
    "chunks/s": (lambda one: one.chunks_per_second, True),
    "CPU ms/chunk": (lambda one: one.cpu_ms_per_chunk, False),
    "RSS MB": (lambda one: one.rss_loaded_mb, False),
}


def table(found: Sequence[Measured]) -> str:
    """Every figure of every target. A dash where nothing was, or could be, measured."""
    bare = _named(found, BARE)
    rows = [[row.label.strip() if not row.label.startswith(" ") else f"… {row.label.strip()}"] for row in ROWS]
    for cells, row in zip(rows, ROWS, strict=True):
        cells += [_cell(row.value(one, bare)) for one in found]
    return _markdown(["", *(one.name for one in found)], [cells for cells in rows if set(cells[1:]) != {"–"}])


def ratios(found: Sequence[Measured]) -> str:
    """How many times better Switchboard is than each of the others; below 1, worse. Empty where it was not measured."""
    ours, others = _named(found, OURS), [one for one in found if one.name != OURS]
    if ours is None or not others:
        return ""
    lines = []
    for label, (get, more_is_better) in _RATIOS.items():
        cells = [_ratio(get(ours), get(other), more_is_better=more_is_better) for other in others]
        if set(cells) != {"–"}:
            lines.append([label, *cells])
    return _markdown(["Switchboard is better by", *(f"{one.name} ×" for one in others)], lines)


def aims(found: Sequence[Measured]) -> Part | None:
    """Switchboard beside what it is to reach; None where it was not measured."""
    ours, bare = _named(found, OURS), _named(found, BARE)
    if ours is None:
        return None
    part = Part("Switchboard and its aims", "Key, limits, budgets and ledger on.")

    def at_least(name: str, value: float | None, unit: str, aim: float) -> None:
        if value is not None and not math.isnan(value):
            part.add(name, value, unit, aim=aim, more_is_better=True)

    def at_most(name: str, value: float | None, unit: str, aim: float) -> None:
        if value is not None and not math.isnan(value):
            part.add(name, value, unit, aim=aim)

    def times(name: str) -> float | None:
        other = _named(found, name)
        theirs = other.requests_per_second if other else None
        return ours.requests_per_second / theirs if ours.requests_per_second and theirs else None

    at_least("requests/s on one core", ours.requests_per_second, "/s", 2_500)
    for name, aim in (("LiteLLM", 30.0), ("Portkey", 3.0), (BARE, 0.33)):
        at_least(f"requests/s, beside {name}", times(name), "times", aim)
    for share, aim in (("p50", 2.0), ("p99", 8.0)):
        row = Row("", _delay(lambda one: one.at_rate, share), over_bare=True)
        at_most(f"added over bare at {measures.RATE_PER_SECOND}/s, {share}", row.value(ours, bare), "ms", aim)
    first = Row("", _delay(lambda one: one.first, "p50"), over_bare=True)
    at_most("added to the first chunk, p50", first.value(ours, bare), "ms", 2.0)
    at_most("CPU per chunk", ours.cpu_ms_per_chunk, "ms", 0.05)
    at_most("web process, RSS", ours.rss_loaded_mb, "MB", 200)
    if ours.ledger_lines is not None and ours.answered:
        at_least("ledger lines for each answer", ours.ledger_lines / ours.answered, "lines", 1.0)
    return part if part.figures else None


def conditions(scale: Scale, cache: Path) -> dict[str, Any]:
    """What the figures are of, beside the machine and the packages."""
    return {
        "processor": _processor(),
        "placement": "the gateway alone on the first core; load, upstream, databases and worker on the others",
        "upstream": "the simulator's answers, replayed",
        "request": f"{len(ANSWER.body)} bytes of JSON; answers of {ANSWER.tokens} tokens; "
        f"streams of {BURST.tokens} chunks, paced ones {PACED.chunk_ms:g} ms apart",
        "connections": f"{measures.CONNECTIONS} for answers, {measures.BURST_STREAMS} for unpaced streams, one thread",
        "seconds": asdict(scale),
        "wrk": wrk.version(),
        "node": _said("node", "--version"),
        "litellm": LITELLM,
        "portkey": PORTKEY,
        "kernel": platform.release(),
        "installed in": str(cache),
    }


def as_json(about: dict[str, Any], found: Sequence[Measured], left_out: dict[str, str]) -> str:
    part = aims(found)
    return (
        json.dumps(
            {
                "conditions": about,
                "measured": [asdict(one) for one in found],
                "left_out": left_out,
                "aims": [asdict(one) | {"verdict": one.verdict} for one in part.figures] if part else [],
            },
            indent=2,
        )
        + "\n"
    )


def _named(found: Sequence[Measured], name: str) -> Measured | None:
    return next((one for one in found if one.name == name), None)


def _ratio(ours: float | None, theirs: float | None, *, more_is_better: bool) -> str:
    above, below = (ours, theirs) if more_is_better else (theirs, ours)
    if not above or not below or math.isnan(above / below):
        return "–"
    return number(above / below)


def _cell(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if abs(value) < 0.1 else number(value)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns line up as plain text too."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = []
    for row in (head, *rows):
        first, *others = zip(row, widths, strict=True)
        lines.append([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])
    lines.insert(1, ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.strip()
    except OSError:
        return "missing"
