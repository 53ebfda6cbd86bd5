"""Drives wrk, the load generator, with one kind of call."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway.shapes import Shape

_SCRIPT = Path(__file__).with_name("load.lua")
# A gateway that is asked for more than it can do is slow, not broken.
_TIMEOUT_SECONDS = 30
_GRACE_SECONDS = 60


class NoWrk(Exception):
    """wrk is not there; the message says how to get it."""

    def __init__(self) -> None:
        super().__init__("wrk, the load generator, is not in PATH. Install it (Debian, Ubuntu: apt install wrk).")


@dataclass(frozen=True, slots=True)
class Load:
    """What came back in one run. `ok` are whole answers with a 2xx; `bytes` everything that was read, heads and
    unfinished answers included."""

    seconds: float
    ok: int
    not_ok: int
    bytes: int
    broken: int
    timed_out: int
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def failed(self) -> int:
        return self.not_ok + self.broken + self.timed_out


def executable() -> str:
    """Where wrk is. Raises NoWrk."""
    found = shutil.which("wrk")
    if found is None:
        raise NoWrk
    return found


def version() -> str:
    said = subprocess.run([executable(), "-v"], capture_output=True, text=True, check=False).stdout
    return " ".join(said.split()[1:2])


def drive(url: str, headers: dict[str, str], shape: Shape, folder: Path, *, connections: int, seconds: float) -> Load:
    """Keep that many calls open at a time, for so long. Uses one thread, on the cores that this process has."""
    body, lines = folder / "wrk-body", folder / "wrk-headers"
    body.write_bytes(shape.body)
    lines.write_text("".join(f"{name}: {value}\n" for name, value in headers.items()))
    done = subprocess.run(
        [
            executable(),
            *("-t", "1", "-c", str(connections), "-d", f"{round(seconds)}s"),
            *("--timeout", f"{_TIMEOUT_SECONDS}s", "-s", str(_SCRIPT), url),
        ],
        env=os.environ | {"BENCH_BODY": str(body), "BENCH_HEADERS": str(lines)},
        capture_output=True,
        text=True,
        timeout=seconds + _GRACE_SECONDS,
        check=False,
    )
    figures = [line for line in done.stdout.splitlines() if line.startswith("figures ")]
    if not figures:
        raise RuntimeError(f"wrk said nothing of use: {done.stdout[-500:]}{done.stderr[-500:]}")
    return Load(**json.loads(figures[-1].partition(" ")[2]))
