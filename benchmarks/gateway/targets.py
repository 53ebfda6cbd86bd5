"""What is measured: the upstream itself, the bare pass-through and Switchboard. The others' gateways are in `peers`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis

from benchmarks.gateway import passthrough
from benchmarks.gateway.shapes import SHAPES
from benchmarks.site import open_site
from onebox import commands
from onebox.network import http_ready, listen
from onebox.process import Process

READY_SECONDS = 60
PATH = "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}
SIMULATED = {"Authorization": "Bearer simulated", **JSON}


class LeftOut(Exception):
    """This gateway cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers chat completions. `pid` is None where no process is to be measured; `beside` are processes
    that work for it. `ledger_lines` tells how many calls it has written down so far, where it writes them down."""

    name: str
    url: str
    headers: dict[str, str]
    about: str
    pid: int | None = None
    beside: dict[str, int] = field(default_factory=dict)
    ledger_lines: Callable[[], int] | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are in this run: a folder that is thrown away, one that is kept, and the upstream's address."""

    folder: Path
    cache: Path
    upstream_url: str

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"


@contextmanager
def running(process: Process) -> Iterator[Process]:
    """Start it, wait until it serves, and stop it afterwards. Raises StartFailed."""
    process.start()
    try:
        process.wait_ready(READY_SECONDS)
        yield process
    finally:
        process.stop(10)


@contextmanager
def upstream(folder: Path) -> Iterator[str]:
    """The simulator, and the replay of its answers; yields the replay's address."""
    logs = folder / "logs"
    with listen("127.0.0.1", None) as thinking, listen("127.0.0.1", None) as replaying:
        simulator_url, url = (f"http://127.0.0.1:{one.getsockname()[1]}" for one in (thinking, replaying))
        replay_command = [sys.executable, "-m", "benchmarks.gateway.upstream", "--fd", str(replaying.fileno())]
        simulator = Process(
            "simulator",
            commands.simulator(thinking),
            os.environ,
            logs / "simulator.log",
            cwd=commands.ROOT,
            pass_fds=[thinking.fileno()],
            probe=lambda: http_ready(simulator_url, any_status=True),
        )
        replay = Process(
            "upstream",
            [*replay_command, "--simulator", simulator_url],
            os.environ,
            logs / "upstream.log",
            cwd=commands.ROOT,
            pass_fds=[replaying.fileno()],
            probe=lambda: http_ready(f"{url}/v1/models"),
        )
        with running(simulator), running(replay):
            simulator.stop(10)  # the replay has heard all it needs
            yield url


@contextmanager
def directly(places: Places) -> Iterator[Target]:
    """The limit of the load generator and the upstream, which share a core."""
    yield Target("upstream", places.upstream_url + PATH, SIMULATED, "called directly; it shares a core with the load")


@contextmanager
def bare(places: Places) -> Iterator[Target]:
    """The pass-through, served just as Switchboard is."""
    with listen("127.0.0.1", None) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = Process(
            "pass-through",
            [*commands.web("uvicorn", listener)[:-1], "benchmarks.gateway.passthrough:application"],
            os.environ | {passthrough.UPSTREAM_VARIABLE: places.upstream_url},
            places.log("pass-through"),
            cwd=commands.ROOT,
            pass_fds=[listener.fileno()],
            probe=lambda: http_ready(f"{url}/v1/models", any_status=True),
        )
        with running(process):
            yield Target("bare", url + PATH, SIMULATED, "uvicorn and aiohttp; no key, no limit, no ledger", process.pid)


@contextmanager
def switchboard(places: Places) -> Iterator[Target]:
    """One web process of a whole installation: key, limits, budgets and ledger on; the worker writes the ledger."""
    models = {shape.model: shape.model for shape in SHAPES}
    folder = places.folder / "data"
    with open_site(folder, models, provider_url=places.upstream_url, limits=True) as site:
        pids = site.pids()
        beside = {name: pids[name] for name in ("redis", "redis-cache", "postgres", "worker-1")}
        engine_url = site.stack.env["DATABASE_ENGINE_URL"]
        servers = _servers(engine_url, site.stack.env["REDIS_URL"])
        yield Target(
            "Switchboard",
            site.stack.web_urls[0] + PATH,
            {"Authorization": f"Bearer {site.key}", **JSON},
            f"uvicorn; key; limits of requests, calls, tokens and money for tenant, user and key; ledger on; {servers}",
            pids["web-1"],
            beside,
            lambda: _ledger_lines(engine_url),
        )


def _ledger_lines(engine_url: str) -> int:
    with psycopg.connect(engine_url) as connection:
        row = connection.execute("SELECT count(*) FROM billing_ledgerentry").fetchone()
    return int(row[0]) if row else 0


def _servers(engine_url: str, redis_url: str) -> str:
    """Which databases it stands on."""
    with psycopg.connect(engine_url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    with redis.Redis.from_url(redis_url, socket_timeout=5) as client:
        return f"PostgreSQL {row[0] if row else '?'}, Redis {client.info('server')['redis_version']}"
