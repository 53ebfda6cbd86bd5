"""What is measured of each target, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import meter
from benchmarks.figures import percentile
from benchmarks.gateway import preflight, rate, wrk
from benchmarks.gateway.shapes import ANSWER, BURST, FIRST, PACED, Shape
from benchmarks.gateway.targets import Target

CONNECTIONS = 64
BURST_STREAMS = 16
# Paced streams take about this share of what a target sent at most: enough to measure, too little to pile up.
_PACED_SHARE = 0.4
_PACED_STREAMS = range(4, 101)
RATE_PER_SECOND = 50
FIRST_PER_SECOND = 20
_DRAIN_SECONDS = 30
_IDLE_SECONDS = 4


@dataclass(frozen=True, slots=True)
class Scale:
    """For how long, in seconds."""

    warm_up: float
    load: float
    rate: float
    first: float
    streams: float


FULL = Scale(warm_up=3, load=15, rate=40, first=30, streams=12)
SHORT = Scale(warm_up=3, load=5, rate=8, first=5, streams=6)
PARTS = ("load", "rate", "first", "chunks")


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> Delays:
        return cls(*(1000 * percentile(seconds, share) for share in (0.5, 0.95, 0.99)))


@dataclass(slots=True)
class Measured:
    """None, and no name, where something was not measured. CPU and memory are the gateway process's own, those of the
    processes that work for it beside them, by name."""

    name: str
    about: str
    requests_per_second: float | None = None
    core_share: float | None = None
    cpu_ms_per_request: float | None = None
    beside_cpu_ms_per_request: dict[str, float] = field(default_factory=dict)
    loaded: Delays | None = None
    at_rate: Delays | None = None
    first: Delays | None = None
    chunks_per_second: float | None = None
    chunk_core_share: float | None = None
    paced_streams: int | None = None
    cpu_ms_per_chunk: float | None = None
    beside_cpu_ms_per_chunk: dict[str, float] = field(default_factory=dict)
    idle_core_share: float | None = None
    beside_idle_core_share: float | None = None
    rss_idle_mb: float | None = None
    rss_loaded_mb: float | None = None
    pss_loaded_mb: float | None = None
    answered: int = 0
    failed: int = 0
    ledger_lines: int | None = None


@dataclass(slots=True)
class Used:
    """CPU seconds between two looks, by process; `gateway` is the target itself."""

    gateway: float = 0.0
    beside: dict[str, float] = field(default_factory=dict)


class Measurement:
    """Measures one target. `url` and placement are the caller's business."""

    def __init__(self, target: Target, folder: Path, scale: Scale) -> None:
        self._target = target
        self._folder = folder
        self._scale = scale
        self.found = Measured(target.name, target.about)

    def run(self, parts: list[str]) -> Measured:
        if self._target.pid is not None:
            self.found.rss_idle_mb = meter.memory(self._target.pid).rss_mb
            self._idle()
        lines_before = self._target.ledger_lines() if self._target.ledger_lines else 0
        for name in PARTS:
            if name in parts:
                getattr(self, name)()
        if self._target.pid is not None:
            memory = meter.memory(self._target.pid)
            self.found.rss_loaded_mb, self.found.pss_loaded_mb = memory.rss_mb, memory.pss_mb
        if self._target.ledger_lines is not None:
            self.found.ledger_lines = self._drained() - lines_before
        return self.found

    def load(self) -> None:
        """As many whole answers as it gives."""
        self._drive(ANSWER, CONNECTIONS, self._scale.warm_up)
        with self._cpu() as used:
            load = self._drive(ANSWER, CONNECTIONS, self._scale.load)
        found = self.found
        found.requests_per_second = load.ok / load.seconds
        found.loaded = Delays(load.p50_ms, load.p95_ms, load.p99_ms)
        if self._target.pid is not None and load.ok:
            found.core_share = used.gateway / load.seconds
            found.cpu_ms_per_request = 1000 * used.gateway / load.ok
            found.beside_cpu_ms_per_request = {name: 1000 * cpu / load.ok for name, cpu in used.beside.items()}

    def rate(self) -> None:
        """Whole answers at a fixed rate."""
        self.found.at_rate = self._at_rate(ANSWER, RATE_PER_SECOND, self._scale.rate)

    def first(self) -> None:
        """The first text of streams at a fixed rate."""
        self.found.first = self._at_rate(FIRST, FIRST_PER_SECOND, self._scale.first)

    def chunks(self) -> None:
        """As many chunks as it passes on, then the CPU of chunks at a provider's pace.

        Counted in bytes: whole answers alone would leave out those under way at the end. Of the paced streams' CPU,
        what their requests cost is taken off.
        """
        weight = preflight.wire_bytes(self._target, BURST)
        with self._cpu() as used:
            load = self._drive(BURST, BURST_STREAMS, self._scale.streams)
        chunks = load.bytes / weight * BURST.tokens
        self.found.chunks_per_second = chunks / load.seconds
        if self._target.pid is None:
            return
        self.found.chunk_core_share = used.gateway / load.seconds
        wanted = round(_PACED_SHARE * self.found.chunks_per_second * PACED.chunk_ms / 1000)
        streams = min(max(wanted, _PACED_STREAMS.start), _PACED_STREAMS.stop - 1)
        weight = preflight.wire_bytes(self._target, PACED)
        with self._cpu() as used:
            load = self._drive(PACED, streams, self._scale.streams)
        chunks = load.bytes / weight * PACED.tokens
        requests_ms = chunks / PACED.tokens * (self.found.cpu_ms_per_request or 0.0)
        self.found.paced_streams = streams
        self.found.cpu_ms_per_chunk = (1000 * used.gateway - requests_ms) / chunks
        self.found.beside_cpu_ms_per_chunk = {name: 1000 * cpu / chunks for name, cpu in used.beside.items()}

    def _idle(self) -> None:
        """What it uses while nobody asks; at few requests a second that weighs in the CPU of each."""
        with self._cpu() as used:
            time.sleep(_IDLE_SECONDS)
        self.found.idle_core_share = used.gateway / _IDLE_SECONDS
        if used.beside:
            self.found.beside_idle_core_share = sum(used.beside.values()) / _IDLE_SECONDS

    def _drive(self, shape: Shape, connections: int, seconds: float) -> wrk.Load:
        target = self._target
        load = wrk.drive(target.url, target.headers, shape, self._folder, connections=connections, seconds=seconds)
        self.found.answered += load.ok
        self.found.failed += load.failed
        return load

    def _at_rate(self, shape: Shape, per_second: float, seconds: float) -> Delays:
        taken, failed = rate.delays(self._target, shape, per_second, seconds)
        self.found.answered += len(taken)
        self.found.failed += failed
        return Delays.of(taken)

    @contextmanager
    def _cpu(self) -> Iterator[Used]:
        used = Used()
        pids = self._target.beside | ({"gateway": self._target.pid} if self._target.pid is not None else {})
        before = {name: meter.cpu_seconds(pid) for name, pid in pids.items()}
        yield used
        used.beside = {name: meter.cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        used.gateway = used.beside.pop("gateway", 0.0)

    def _drained(self) -> int:
        """Ledger lines once no more come; they are written a little after the answers."""
        assert self._target.ledger_lines is not None
        lines, deadline = -1, time.monotonic() + _DRAIN_SECONDS
        while lines != (lines := self._target.ledger_lines()) and time.monotonic() < deadline:
            time.sleep(2)
        return lines
