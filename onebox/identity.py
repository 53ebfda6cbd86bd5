"""Who a process is: pids are reused, so a recorded one counts only with its start time and command."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from onebox.guard import send, session_members

MARKER = "ONEBOX_RECORD"


@dataclass(frozen=True, slots=True)
class Identity:
    """`start_ticks` is the kernel's start time (clock ticks since boot); `command` the file that runs."""

    pid: int
    start_ticks: int
    command: str


def _stat(pid: int) -> list[bytes] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None


def exists(pid: int) -> bool:
    """Whether the process id is in use, be it by a zombie."""
    return _stat(pid) is not None


def all_pids() -> list[int]:
    """Every process id in use. Empty where there is no /proc."""
    with contextlib.suppress(OSError):
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return []


def is_running(pid: int) -> bool:
    """Whether a process exists and is not merely a zombie nobody has collected."""
    fields = _stat(pid)
    return fields is not None and fields[0] not in (b"Z", b"X")


def parent_of(pid: int) -> int | None:
    """The parent's process id; None when there is no such process."""
    fields = _stat(pid)
    return None if fields is None else int(fields[1])


def command_line(pid: int) -> list[str]:
    """The words of a process's command line; empty when it is gone, a zombie, or not ours to read."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def identify(pid: int) -> Identity | None:
    """The identity of a running process, or None."""
    fields = _stat(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    with contextlib.suppress(OSError):
        return Identity(pid, int(fields[19]), str(Path(f"/proc/{pid}/exe").readlink()))
    return None


def record(path: Path, identity: Identity) -> None:
    """Write down who was started, for the start that follows a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(identity)))


def _recorded(path: Path) -> Identity | None:
    try:
        return Identity(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _carries_marker(pid: int, path: Path) -> bool:
    """Whether a process inherited the environment of the one recorded at `path`."""
    try:
        return f"{MARKER}={path}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def end_leftover(path: Path, *, stop_signal: int = signal.SIGTERM, timeout_seconds: float = 15.0) -> bool:
    """End what an earlier, killed run left behind, children included. Returns whether there was anything."""
    recorded = _recorded(path)
    path.unlink(missing_ok=True)
    if recorded is None:
        return False
    leader = identify(recorded.pid)
    survivors = [pid for pid in session_members(recorded.pid) if _carries_marker(pid, path)]
    if leader != recorded and not survivors:
        return False
    if leader == recorded:
        with contextlib.suppress(ProcessLookupError):
            os.kill(recorded.pid, stop_signal)
        deadline = time.monotonic() + timeout_seconds
        while identify(recorded.pid) == recorded and time.monotonic() < deadline:
            time.sleep(0.02)
    send(recorded.pid, signal.SIGKILL)
    return True
