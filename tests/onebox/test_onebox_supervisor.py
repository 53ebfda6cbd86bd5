"""The supervisor stops in order, restarts what crashed and not what was stopped, and shares its folder with nobody."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from onebox.network import log_says
from onebox.process import Process
from onebox.supervisor import AlreadyRunning, Supervisor
from tests.onebox.waiting import eventually

WAIT = "import time; time.sleep(60)"
# Takes a moment to stop, and writes down when it did.
RECORDS_ITS_STOP = """
import signal, sys, time
def stop(*_):
    time.sleep(0.15)
    with open({path!r}, "a") as file:
        file.write({name!r} + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def supervisor(folder: Path, reports: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(folder / "data", report=reports.append)
    yield supervisor
    supervisor.hurry()
    supervisor.stop()


def test_tiers_stop_one_after_the_other(
    supervisor: Supervisor, folder: Path, python_process: Callable[..., Process]
) -> None:
    order = folder / "order"
    for name, tier in (("postgres", 3), ("redis", 2), ("beat", 1), ("web", 0), ("worker", 0)):
        process = python_process(name, RECORDS_ITS_STOP.format(path=str(order), name=name))
        supervisor.add(process, tier=tier, restart=True)
        process.start()
    for process in supervisor.processes.values():
        assert eventually(partial(log_says, process.log_path, "up"))
    supervisor.stop()
    stopped = order.read_text().split()
    assert set(stopped[:2]) == {"web", "worker"}
    assert stopped[2:] == ["beat", "redis", "postgres"]
    assert all(process.returncode == 0 for process in supervisor.processes.values())


def test_one_that_crashes_is_started_again_with_growing_pauses(
    supervisor: Supervisor, reports: list[str], python_process: Callable[..., Process]
) -> None:
    process = python_process("web", f"print('failing', flush=True); {WAIT}")
    supervisor.add(process, tier=0, restart=True)
    process.start()
    for pause in ("0.5 s", "1 s"):
        assert eventually(lambda: process.alive)
        crashed = process.pid
        process.kill(signal.SIGKILL)
        assert eventually(partial(_runs_anew, process, crashed))
        assert f"web ended with code -9; it starts again in {pause}" in reports[-1]


def _runs_anew(process: Process, crashed_pid: int) -> bool:
    return process.alive and process.pid != crashed_pid


def test_one_that_was_asked_to_stop_stays_stopped(
    supervisor: Supervisor, reports: list[str], python_process: Callable[..., Process]
) -> None:
    process = python_process("web", WAIT)
    supervisor.add(process, tier=0, restart=True)
    process.start()
    process.stop(5)
    time.sleep(0.8)
    assert not process.alive
    assert reports == []


def test_one_too_slow_to_stop_is_killed_and_the_others_are_still_stopped(
    supervisor: Supervisor, reports: list[str], python_process: Callable[..., Process]
) -> None:
    deaf = python_process(
        "deaf", f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); {WAIT}"
    )
    last = python_process("last", WAIT)
    for process, tier in ((deaf, 0), (last, 3)):
        supervisor.add(process, tier=tier)
        process.start()
    assert eventually(lambda: log_says(deaf.log_path, "up"))
    supervisor.stop_seconds[0] = 0.2
    supervisor.stop()
    assert reports == ["deaf did not stop within 0.2 s and is killed"]
    assert (deaf.returncode, last.returncode) == (-signal.SIGKILL, -signal.SIGTERM)


def test_a_hurried_stop_waits_for_nobody(supervisor: Supervisor, python_process: Callable[..., Process]) -> None:
    deaf = python_process(
        "deaf", f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); {WAIT}"
    )
    supervisor.add(deaf, tier=0)
    deaf.start()
    assert eventually(lambda: log_says(deaf.log_path, "up"))
    supervisor.hurry()
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < 2
    assert deaf.returncode == -signal.SIGKILL


def test_nothing_is_added_once_everything_stops(supervisor: Supervisor, python_process: Callable[..., Process]) -> None:
    supervisor.stop()
    with pytest.raises(RuntimeError, match="being stopped"):
        supervisor.add(python_process("late", WAIT), tier=0)


def test_a_second_instance_on_the_folder_is_refused(supervisor: Supervisor, folder: Path) -> None:
    supervisor.acquire("http://127.0.0.1:8000")
    second = Supervisor(folder / "data")
    with pytest.raises(AlreadyRunning) as refusal:
        second.acquire()
    assert f"process {os.getpid()}, http://127.0.0.1:8000" in str(refusal.value)
    assert "DATA_DIR=" in str(refusal.value)
    supervisor.stop()
    second.acquire()
    second.stop()


def test_logs_of_earlier_runs_are_kept_a_while(supervisor: Supervisor) -> None:
    supervisor.logs.mkdir(parents=True)
    log = supervisor.logs / "web-1.log"
    for run in range(7):
        log.write_text(f"run {run}")
        instance = Supervisor(supervisor.folder)
        instance.acquire()
        instance.stop()
    kept = {path.name: path.read_text() for path in supervisor.logs.iterdir()}
    assert kept == {f"web-1.log.{number}": f"run {7 - number}" for number in range(1, 6)}
