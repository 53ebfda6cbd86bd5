"""The product's own processes, run against this test process's database and Redis.

They live no longer than the module or folder that asks for them: a worker claims whatever is queued, so it must be gone
before other tests claim rows themselves. Failing to start shows the end of the process's log.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import pytest
from django.db import connections

from onebox import commands
from onebox.network import http_ready, listen
from onebox.process import Process
from tests.servers import ROOT

START_SECONDS = 60.0
STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class WebServer:
    """A web process that serves; `url` without a slash at its end."""

    server: str
    url: str
    process: Process

    @property
    def socket_url(self) -> str:
        return self.url.replace("http://", "ws://") + "/ws/chat/"


@contextmanager
def web_server(
    server: str, wrap: Callable[[list[str]], list[str]] | None = None, **settings: str
) -> Iterator[WebServer]:
    """daphne or uvicorn on a port of its own, with these settings over the test run's. `wrap` changes its command."""
    with listen("127.0.0.1", None) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        # Without DEBUG, as in production: faults are told by the doors and not by Django's own pages.
        variables = _environment({"DEBUG": "0", "BASE_URL": url, **settings})
        command = commands.web(server, listener)
        process = Process(
            server,
            command if wrap is None else wrap(command),
            variables,
            _log_path(server),
            cwd=ROOT,
            pass_fds=[listener.fileno()],
            probe=lambda: http_ready(f"{url}/healthz"),
        )
        with _running(process):
            yield WebServer(server, url, process)


@contextmanager
def celery_worker(**settings: str) -> Iterator[Process]:
    """A worker process that has registered itself, with these settings over the test run's."""
    queue = "litellm" if settings.get("WORKER_QUEUE") == "litellm" else "celery"
    command = commands.worker(f"worker-{queue}", "2", queue)
    process = Process("worker", command, _environment(settings), _log_path("worker"), cwd=ROOT, probe=lambda: False)
    process.probe = lambda: has_lease(process.pid)
    with _running(process):
        yield process


def has_lease(pid: int) -> bool:
    """Whether the worker with this process id is registered, with a lease that still runs."""
    with connections["engine"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM conversations_worker WHERE name = %s AND lease_until > clock_timestamp()",
            [f"{socket.gethostname()}:{pid}"],
        )
        (count,) = cursor.fetchone() or (0,)
    return bool(count)


def eventually(what: Callable[[], Any], *, within_seconds: float = 10.0) -> Any:
    """Ask until the answer is true, and return it. Fails when the time is over."""
    deadline = time.monotonic() + within_seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"not within {within_seconds:g} s"
        time.sleep(0.02)
    return answer


def simulator_calls(simulator_url: str, attempt_id: object) -> list[dict[str, Any]]:
    """The simulator's bill for one attempt."""
    with urlopen(f"{simulator_url}/control/bill?attempt_id={attempt_id}", timeout=5) as response:
        return list(json.load(response)["calls"])


@contextmanager
def _running(process: Process) -> Iterator[None]:
    try:
        process.start()
        process.wait_ready(START_SECONDS)
        yield
    finally:
        process.stop(STOP_SECONDS)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "LOG_LEVEL": "INFO", "DB_POOL_SIZE": "8", **settings}


def _log_path(name: str) -> Path:
    return Path(os.environ["DATA_DIR"]) / "logs" / f"{name}-{uuid4().hex[:8]}.log"


@pytest.fixture(scope="module")
def worker(database: None) -> Iterator[Process]:
    """A worker for one module, with a short way out."""
    with celery_worker(DRAIN_SECONDS="0.2") as process:
        yield process
