"""The product on a folder of its own, with hands on its processes and eyes on its database, Redis, bill and logs."""

import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import redis

from chaos.mutate import wrapped
from chaos.mutations import Mutation
from onebox import commands
from onebox.bootstrap import DEFAULT_DATABASE, with_database
from onebox.process import Process
from onebox.stack import Stack

SEED_SECONDS = 60
_CALLERS = "callers.json"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a drill wants to run against."""

    webs: int = 2
    workers: int = 2
    web_server: str = "daphne"
    beat: bool = False
    restart: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Caller:
    """One tenant's member, and the key it calls with."""

    tenant_id: UUID
    user_id: UUID
    api_key: str


def build_template(folder: Path) -> None:
    """Make a folder that clusters are copied from: migrated, static files collected, tenants and models seeded."""
    stack = Stack(folder, webs=1, workers=0, beat=False, durable=True)
    try:
        stack.start_services()
        stack.prepare()
        command = [sys.executable, "-m", "chaos.seed", str(folder / _CALLERS)]
        done = subprocess.run(
            command, cwd=commands.ROOT, env=stack.env, timeout=SEED_SECONDS, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"seeding failed:\n{done.stderr[-3000:]}")
    finally:
        stack.stop()


class Cluster:
    """One start of the product. Nothing of it is kept."""

    def __init__(self, template: Path, folder: Path, setup: Setup, mutation: Mutation | None = None) -> None:
        # `cp -a` keeps owners: PostgreSQL's folder may belong to an account of its own.
        subprocess.run(["cp", "-a", str(template), str(folder)], check=True, timeout=60)
        shutil.rmtree(folder / "logs", ignore_errors=True)
        shutil.rmtree(folder / "run", ignore_errors=True)
        self.folder = folder
        self.mutation = mutation
        self.callers = [
            Caller(UUID(one["tenant_id"]), UUID(one["user_id"]), one["api_key"])
            for one in json.loads((folder / _CALLERS).read_text())
        ]
        self._stack = Stack(
            folder,
            webs=setup.webs,
            workers=setup.workers,
            beat=setup.beat,
            web_server=setup.web_server,
            durable=True,
            restart=setup.restart,
            wrap=self._wrap if mutation is not None and mutation.patches else None,
            env={"LOG_LEVEL": "INFO", "LOG_FORMAT": "json", **setup.env},
        )
        self._admin: psycopg.Connection[tuple[Any, ...]] | None = None

    def start(self) -> None:
        """Start everything; the provider's address may have moved since the template was made. Raises StartFailed."""
        self._stack.start_services()
        # Past the trigger that demands the key again: it is the same simulator.
        self.execute("SET session_replication_role = replica")
        self.execute("UPDATE routing_provider SET base_url = %s", f"{self.simulator_url}/v1")
        self.execute("RESET session_replication_role")
        for statement in self.mutation.statements if self.mutation is not None else ():
            self.execute(statement)
        self._stack.prepare()
        self._stack.start_processes()

    def stop(self, keep_logs: Path | None = None) -> None:
        """End everything the quick way, and forget the folder; its logs may be kept in another."""
        if self._admin is not None:
            self._admin.close()
        self._stack.supervisor.hurry()
        self._stack.stop()
        if keep_logs is not None:
            shutil.copytree(self.folder / "logs", keep_logs / self.folder.name, dirs_exist_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wrap(self, name: str, argv: list[str]) -> list[str]:
        assert self.mutation is not None
        return wrapped(self.mutation.name, argv) if name.startswith(self.mutation.processes) else argv

    # Processes.

    def process(self, name: str) -> Process:
        return self._stack.processes[name]

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        self.process(name).kill(number, tree=True)

    @property
    def web_urls(self) -> list[str]:
        return self._stack.web_urls

    @property
    def env(self) -> Mapping[str, str]:
        return self._stack.env

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """`python -m` these words in the environment of the processes, to its end."""
        command = [sys.executable, "-m", *words]
        return subprocess.run(
            command, cwd=commands.ROOT, env=self._stack.env, timeout=SEED_SECONDS, capture_output=True, text=True
        )

    # What it knows.

    @property
    def simulator_url(self) -> str:
        return self._stack.env["SIMULATOR_URL"]

    @property
    def admin(self) -> psycopg.Connection[tuple[Any, ...]]:
        """The superuser's connection: sees every row."""
        if self._admin is None or self._admin.closed:
            url = with_database(self._stack.env["DATABASE_ADMIN_URL"], DEFAULT_DATABASE)
            self._admin = psycopg.connect(url, autocommit=True, connect_timeout=5)
        return self._admin

    def execute(self, statement: str, *values: object) -> None:
        self.admin.execute(statement.encode(), values or None)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.admin.execute(query.encode(), values or None).fetchall()

    def value(self, query: str, *values: object) -> Any:
        return self.rows(query, *values)[0][0]

    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self._stack.env["REDIS_URL"], socket_timeout=5)

    def bill(self) -> list[dict[str, Any]]:
        """The simulator's line of every call, oldest first."""
        with urllib.request.urlopen(f"{self.simulator_url}/control/bill.jsonl", timeout=20) as response:
            return [json.loads(line) for line in response]

    def logged(self, event: str, processes: str = "worker-") -> list[dict[str, Any]]:
        """Lines of that event in the logs of the processes whose names begin so, each with its `process`."""
        found: list[dict[str, Any]] = []
        for path in sorted((self.folder / "logs").glob(f"{processes}*.log")):
            for line in path.read_bytes().splitlines():
                if f'"{event}"'.encode() in line:
                    entry = _json(line)
                    if entry.get("event") == event:
                        found.append(entry | {"process": path.stem})
        return found

    def worker_id(self, name: str) -> UUID:
        """Under which identity a worker process claims now."""
        registered = [one for one in self.logged("lease.registered") if one["process"] == name]
        if not registered:
            raise RuntimeError(f"{name} has not said under which identity it works")
        return UUID(registered[-1]["worker_id"])

    def running_of(self, worker_id: UUID) -> list[str]:
        """Ids of the generations that a worker holds now."""
        query = "SELECT id FROM conversations_generation WHERE state = 'running' AND owner = %s"
        return [str(row[0]) for row in self.rows(query, worker_id)]

    def count_running(self) -> int:
        return int(self.value("SELECT count(*) FROM conversations_generation WHERE state = 'running'"))


def _json(line: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
