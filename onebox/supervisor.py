"""Keeps a set of processes running, and stops them in order."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from onebox import identity
from onebox.process import Process

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_TICK_SECONDS = 0.1
_KEPT_LOGS = 5


class AlreadyRunning(Exception):
    """Another instance holds the same folder."""


@dataclass
class _Watched:
    process: Process
    tier: int
    restart: bool
    delay_seconds: float = _FIRST_DELAY_SECONDS
    restart_at: float | None = None  # monotonic


class Supervisor:
    """Owns a folder: its lock, its logs, the records of its processes, and the processes.

    Processes stop tier by tier, lowest first, each tier together and within its own time. One that ends unasked is
    started again after 0.5 s, then after twice as long each time up to 30 s, and anew after a steady minute.
    """

    def __init__(self, folder: Path, *, report: Callable[[str], None] = print) -> None:
        self.folder = folder
        self.records = folder / "run"
        self.logs = folder / "logs"
        self.stop_seconds = {0: 30.0, 1: 5.0, 2: 10.0, 3: 30.0}
        self.report = report
        self._watched: dict[str, _Watched] = {}
        self._lock_file: int | None = None
        self._ending = threading.Event()
        self._hurry = threading.Event()
        self._monitor: threading.Thread | None = None

    @property
    def processes(self) -> dict[str, Process]:
        """What is supervised, by name."""
        return {name: watched.process for name, watched in self._watched.items()}

    def acquire(self, label: str = "") -> int:
        """Take the folder's lock, end what a killed run left, rotate the logs. Returns how many leftovers ended.

        Raises AlreadyRunning naming the holder. `label` is what the next one refused is told about us.
        """
        for folder in (self.folder, self.records, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.records.chmod(0o700)
        self.logs.chmod(0o700)
        path = self.folder / "onebox.lock"
        self._lock_file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._lock_file, 500).decode(errors="replace").strip() or "unknown"
            os.close(self._lock_file)
            self._lock_file = None
            raise AlreadyRunning(
                f"Another instance uses {self.folder} already ({holder}). "
                "Stop it, or choose another folder: DATA_DIR=./var2 PORT=8001 make run"
            ) from None
        os.ftruncate(self._lock_file, 0)
        os.pwrite(self._lock_file, f"process {os.getpid()}{label and ', '}{label}\n".encode(), 0)
        self._rotate_logs()
        with ThreadPoolExecutor(8) as pool:
            return sum(pool.map(identity.end_leftover, sorted(self.records.glob("*.json"))))

    def add(self, process: Process, *, tier: int, restart: bool = False) -> None:
        """Take a process under supervision. It is started by its own `start()`. Raises RuntimeError once stopping."""
        if self._ending.is_set():
            raise RuntimeError(f"{process.name} is not started any more: everything is being stopped")
        self._watched[process.name] = _Watched(process, tier, restart)
        if self._monitor is None:
            self._monitor = threading.Thread(target=self._watch, name="onebox-monitor", daemon=True)
            self._monitor.start()

    def remove(self, name: str) -> None:
        """Forget a process that has done its work."""
        del self._watched[name]

    def stop(self) -> None:
        """Stop everything in order and release the lock. May be called again."""
        self._ending.set()
        if self._monitor is not None:
            self._monitor.join()
            self._monitor = None
        for tier in sorted({watched.tier for watched in self._watched.values()}):
            self._stop_tier([w.process for w in self._watched.values() if w.tier == tier], self.stop_seconds[tier])
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def hurry(self) -> None:
        """Make a stop that is under way kill whatever still runs. Safe in a signal handler."""
        self._hurry.set()

    def _stop_tier(self, processes: list[Process], timeout_seconds: float) -> None:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + timeout_seconds
        while any(process.alive for process in processes):
            if self._hurry.is_set() or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        for process in processes:
            if process.alive:
                if not self._hurry.is_set():
                    self.report(f"{process.name} did not stop within {timeout_seconds:g} s and is killed")
                process.end_now()
            process.stop()

    def _watch(self) -> None:
        while not self._ending.wait(_TICK_SECONDS):
            for watched in list(self._watched.values()):
                if watched.process.alive:
                    watched.restart_at = None  # somebody else started it
                elif watched.restart and watched.process.wanted:
                    self._restart(watched)

    def _restart(self, watched: _Watched) -> None:
        now = time.monotonic()
        process = watched.process
        if watched.restart_at is None:
            if now - process.started_at > _STEADY_SECONDS:
                watched.delay_seconds = _FIRST_DELAY_SECONDS
            watched.restart_at = now + watched.delay_seconds
            self.report(
                f"{process.name} ended with code {process.returncode}; it starts again in {watched.delay_seconds:g} s\n"
                f"{process.log_tail()}"
            )
        elif now >= watched.restart_at:
            watched.restart_at = None
            watched.delay_seconds = min(watched.delay_seconds * 2, _LONGEST_DELAY_SECONDS)
            try:
                process.start()
            except Exception as error:  # it stays wanted, so the next tick tries again, later
                process.wanted = True
                self.report(f"{process.name} could not be started: {error}")

    def _rotate_logs(self) -> None:
        """x.log becomes x.log.1 and so on; the fifth is dropped."""
        for path in self.logs.glob("*.log"):
            for number in range(_KEPT_LOGS - 1, 0, -1):
                older = path.with_name(f"{path.name}.{number}")
                if older.exists():
                    older.rename(path.with_name(f"{path.name}.{number + 1}"))
            path.rename(path.with_name(f"{path.name}.1"))
