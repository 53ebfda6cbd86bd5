"""CPU and memory of other processes, and which core they run on. Reads /proc, so Linux only."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onebox.process import descendants

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_KIB_PER_MB = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a process and all below it. `pss_mb` divides shared pages among those who share them."""

    rss_mb: float
    pss_mb: float


def tree(pid: int) -> list[int]:
    """The process and everything below it."""
    return [pid, *descendants(pid)]


def cpu_seconds(pid: int) -> float:
    """CPU used so far by a process and all below it that live, ended children included."""
    ticks = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS_PER_SECOND


def memory(pid: int) -> Memory:
    """Zero where the process may not be looked at."""
    rss_kib = pss_kib = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name == "Rss":
                    rss_kib += int(rest.split()[0])
                elif name == "Pss":
                    pss_kib += int(rest.split()[0])
    return Memory(rss_kib / _KIB_PER_MB, pss_kib / _KIB_PER_MB)


class CpuMeter:
    """Share of a core that each named process used between two looks."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self.again()

    def again(self) -> None:
        """Start over from now."""
        self._began = time.monotonic()
        self._before = {name: cpu_seconds(pid) for name, pid in self._pids.items()}

    def shares(self) -> dict[str, float]:
        """Cores used since the start, 1.0 being one whole core, by name."""
        seconds = time.monotonic() - self._began
        return {name: (cpu_seconds(pid) - self._before[name]) / seconds for name, pid in self._pids.items()}


def pin(pid: int, cores: set[int]) -> None:
    """Keep a process, its threads and everything below it on these cores; what it starts later inherits that."""
    for one in tree(pid):
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{one}/task").iterdir():
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread.name), cores)
