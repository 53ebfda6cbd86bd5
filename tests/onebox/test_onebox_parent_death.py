"""When the program that started everything is killed, nothing it started stays, and the next start finds its way."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from onebox.identity import Identity, end_leftover, identify, is_running, record
from onebox.postgres import Postgres
from onebox.process import Process
from tests.onebox.conftest import PASSWORD
from tests.onebox.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]

PARENT = """
import json, os, sys, time
from pathlib import Path
from onebox.postgres import Postgres
from onebox.process import Process, descendants
from onebox.redis import Redis

folder = Path(sys.argv[1])
logs = {"log_path": folder / "postgres.log", "record_path": folder / "postgres.json"}
postgres = Postgres(folder / "postgres", sys.argv[2], **logs)
redis = Redis(folder / "redis", "pw", log_path=folder / "redis.log")
child = "import time; time.sleep(60)"
code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
worker = Process("worker", [sys.executable, "-c", code], dict(os.environ), folder / "worker.log")
for process in (postgres, redis, worker):
    process.start()
while not descendants(worker.pid):
    time.sleep(0.02)
everybody = [pid for process in (postgres, redis, worker) for pid in (process.pid, *descendants(process.pid))]
print(json.dumps(everybody), flush=True)
time.sleep(60)
"""


def _parent(folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), PASSWORD],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    assert parent.stdout is not None
    everybody: list[int] = json.loads(parent.stdout.readline())
    return parent, everybody


def test_kill_minus_nine_of_the_parent_leaves_nothing(folder: Path, with_data: Callable[[Path], Path]) -> None:
    with_data(folder / "postgres")
    parent, everybody = _parent(folder)
    assert len(everybody) >= 8  # PostgreSQL with its own processes, Redis, a worker and its child
    assert all(map(is_running, everybody))
    parent.kill()
    parent.wait()
    assert eventually(lambda: not any(map(is_running, everybody)), 10)

    again = Postgres(folder / "postgres", PASSWORD, log_path=folder / "postgres.log")
    again.start()
    with psycopg.connect(again.admin_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    again.stop()


def _sleeper(marker: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env=os.environ | ({"ONEBOX_RECORD": marker} if marker else {}),
        start_new_session=True,
    )


def test_a_recorded_leftover_is_ended(folder: Path) -> None:
    path = folder / "worker.json"
    left = _sleeper()
    who = identify(left.pid)
    assert who is not None
    record(path, who)
    # Nobody collects it while we look, as after the death of its real parent; so ask for the effect only.
    assert end_leftover(path, timeout_seconds=5)
    assert left.wait(5) == -signal.SIGTERM
    assert not path.exists()
    assert not end_leftover(path)


@pytest.mark.parametrize("difference", [{"start_ticks": 1}, {"command": "/usr/bin/other"}])
def test_another_process_with_the_same_id_is_left_alone(folder: Path, difference: dict[str, Any]) -> None:
    path = folder / "worker.json"
    stranger = _sleeper()
    try:
        who = identify(stranger.pid)
        assert who is not None
        record(path, dataclasses.replace(who, **difference))
        assert not end_leftover(path)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_children_of_a_leader_that_is_gone_are_ended_by_their_mark(folder: Path) -> None:
    path = folder / "worker.json"
    left = _sleeper(marker=str(path))
    record(path, Identity(left.pid, 1, "/usr/bin/gone"))
    assert end_leftover(path)
    assert left.wait(5) == -signal.SIGKILL


def test_a_start_ends_the_leftover_of_its_record(folder: Path) -> None:
    left = _sleeper()
    who = identify(left.pid)
    assert who is not None
    path = folder / "worker.json"
    record(path, who)
    process = Process(
        "worker",
        [sys.executable, "-c", "import time; time.sleep(60)"],
        dict(os.environ),
        folder / "w.log",
        record_path=path,
    )
    process.start()
    try:
        assert left.wait(5) == -signal.SIGTERM
        assert json.loads(path.read_text())["pid"] == process.pid
    finally:
        process.stop(5)
    assert not path.exists()
