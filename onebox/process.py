"""One operating-system process that never outlives the program that started it.

Each runs in a session of its own, so that Ctrl-C in a terminal reaches the parent alone, which then stops
them in order. Should the parent be killed, the kernel's parent-death signal ends the process, and `onebox.guard`
its children.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from onebox import guard, identity

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_TAIL_BYTES = 4000


class StartFailed(Exception):
    """A process did not become ready. The message names it and carries the end of its log."""


class _Spawner:
    """Forks on one thread that lives as long as this program.

    The parent-death signal is sent when the *thread* that forked ends, so a short-lived thread must never fork.
    """

    def __init__(self) -> None:
        self.owner_pid = os.getpid()
        self._jobs: queue.SimpleQueue[tuple[Future[subprocess.Popen[bytes]], dict[str, Any]]] = queue.SimpleQueue()
        self._guard: subprocess.Popen[bytes] | None = None
        self._guard_lock = threading.Lock()
        threading.Thread(target=self._work, name="onebox-spawner", daemon=True).start()

    def spawn(self, death_signal: int, **options: Any) -> subprocess.Popen[bytes]:
        """Start a process and put it on the guard's list."""
        parent_pid = os.getpid()

        def die_with_parent() -> None:
            # After the change of user, which would clear it. The second look covers a parent that died meanwhile.
            if sys.platform == "linux":
                _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
            if os.getppid() != parent_pid:
                os._exit(1)

        future: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((future, {**options, "preexec_fn": die_with_parent, "start_new_session": True}))
        popen = future.result()
        self.tell(f"+{popen.pid} {int(death_signal)}\n")
        return popen

    def tell(self, line: str) -> None:
        """Send one line to the guard, starting it where there is none (any more)."""
        with self._guard_lock:
            if self._guard is None or self._guard.poll() is not None:
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(Path(guard.__file__).resolve())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    cwd="/",
                )
            assert self._guard.stdin is not None  # noqa: S101 - narrows the type; a pipe was asked for
            with contextlib.suppress(BrokenPipeError):
                self._guard.stdin.write(line.encode())
                self._guard.stdin.flush()

    def _work(self) -> None:
        while True:
            future, options = self._jobs.get()
            try:
                future.set_result(subprocess.Popen(**options))
            except BaseException as error:
                future.set_exception(error)


_spawner_lock = threading.Lock()
_spawner_now: _Spawner | None = None


def _spawner() -> _Spawner:
    global _spawner_now
    with _spawner_lock:
        if _spawner_now is None or _spawner_now.owner_pid != os.getpid():
            _spawner_now = _Spawner()
        return _spawner_now


class Process:
    """A named process: start it, signal it, wait for it, start it again.

    `probe` tells whether it is ready to serve. `account` is the (uid, gid) it runs as. `death_signal` is what it gets
    when this program dies. With `record_path`, a process of the same record left by a killed run is ended first.
    """

    stop_signal: int = signal.SIGTERM

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        log_path: Path,
        *,
        cwd: Path | str | None = None,
        pass_fds: Sequence[int] = (),
        account: tuple[int, int] | None = None,
        death_signal: int = signal.SIGKILL,
        record_path: Path | None = None,
        probe: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.env = dict(env)
        self.log_path = log_path
        self.cwd = cwd
        self.pass_fds = tuple(pass_fds)
        self.account = account
        self.death_signal = death_signal
        self.record_path = record_path
        self.probe = probe
        self.wrap: Callable[[str, list[str]], list[str]] | None = None  # (name, argv) -> argv, for drills
        self.wanted = False  # started and not asked to stop: a supervisor restarts it when it ends
        self.started_at = 0.0  # monotonic seconds
        self._popen: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()  # an end is collected once, and before the next start

    def start(self) -> None:
        """Start the process; a leftover of a killed run is ended first. Raises RuntimeError when it already runs."""
        with self._lock:
            self._start()

    def _start(self) -> None:
        if self.alive:
            raise RuntimeError(f"{self.name} is already running (process {self.pid})")
        if self.record_path is not None:
            identity.end_leftover(self.record_path, stop_signal=self.stop_signal)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        env = self.env | ({identity.MARKER: str(self.record_path)} if self.record_path else {})
        user, group = self.account or (None, None)
        with self.log_path.open("ab") as log:
            self._popen = _spawner().spawn(
                self.death_signal,
                args=self.wrap(self.name, list(self.argv)) if self.wrap else self.argv,
                env=env,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=self.pass_fds,
                user=user,
                group=group,
                extra_groups=[] if self.account else None,
            )
        self.wanted = True
        self.started_at = time.monotonic()
        who = identity.identify(self._popen.pid)
        if self.record_path is not None and who is not None:
            identity.record(self.record_path, who)

    @property
    def pid(self) -> int:
        """The process id of the latest start. Raises RuntimeError when it was never started."""
        if self._popen is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """How the latest run ended (minus the signal's number when by a signal); None while it runs."""
        with self._lock:
            if self._popen is None:
                return None
            had_ended = self._popen.returncode is not None
            code = self._popen.poll()
            if code is not None and not had_ended:
                self._collect_stragglers(self._popen.pid)
            return code

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self._popen is not None and self.returncode is None

    def terminate(self) -> None:
        """Ask it to stop, and return at once. It will not be restarted."""
        self.wanted = False
        self.kill(self.stop_signal)
        self.kill(signal.SIGCONT)  # a frozen process could not hear it

    def kill(self, number: int = signal.SIGKILL, *, tree: bool = False) -> None:
        """Send a signal as anybody might; a supervisor treats what follows as a crash.

        With `tree` its descendants get it too: stopping PostgreSQL's first process alone leaves its sessions serving.
        """
        if not self.alive:
            return
        for pid in [self.pid, *(descendants(self.pid) if tree else [])]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Wait for the end and return its code. Raises TimeoutError."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while (code := self.returncode) is None:
            if self._popen is None:
                raise RuntimeError(f"{self.name} was never started")
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} still runs after {timeout_seconds} s")
            time.sleep(0.01)
        return code

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Ask it to stop, wait, and end it the hard way when it takes too long."""
        self.terminate()
        if not self.alive:
            return
        try:
            self.wait(timeout_seconds)
        except TimeoutError:
            self.end_now()

    def end_now(self) -> None:
        """End it without asking, and wait until it is gone."""
        self.wanted = False
        self.kill(signal.SIGKILL)
        if self.alive:
            self.wait(10)

    def wait_ready(self, timeout_seconds: float) -> None:
        """Return once the probe says yes. Raises StartFailed when the process ends or the time is up."""
        deadline = time.monotonic() + timeout_seconds
        pause_seconds = 0.01
        while not (self.probe is None or self.probe()):
            if not self.alive:
                raise StartFailed(f"{self.name} ended with code {self.returncode}.\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.name} was not ready within {timeout_seconds:g} s.\n{self.log_tail()}")
            time.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 1.2, 0.15)  # each look is a request in somebody's log

    def log_tail(self) -> str:
        """The end of its log, for error messages."""
        try:
            text = self.log_path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return f"(no log at {self.log_path})"
        lines = "\n".join(f"  {line}" for line in text.splitlines()[-15:])
        return f"{lines}\n  (more in {self.log_path})"

    def _collect_stragglers(self, pid: int) -> None:
        """What the ended process had started in its session goes with it; its record and guard entry too."""
        guard.send(pid, signal.SIGKILL)
        _spawner().tell(f"-{pid}\n")
        if self.record_path is not None:
            self.record_path.unlink(missing_ok=True)


def descendants(pid: int) -> list[int]:
    """Process ids of everything below `pid`, parents before children."""
    children: dict[int, list[int]] = {}
    for other in identity.all_pids():
        parent = identity.parent_of(other)
        if parent is not None:
            children.setdefault(parent, []).append(other)
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(0), [])
        found += below
        todo += below
    return found
