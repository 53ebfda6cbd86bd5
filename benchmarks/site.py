"""The product as the benchmarks run it: a Stack on one data folder, seeded, with one process alone on a core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import psycopg

from benchmarks import meter
from onebox.commands import ROOT
from onebox.stack import LITELLM_WORKER, READY_SECONDS, Stack

TOKENS_PER_SECOND = 20
FIRST_TOKEN_MS = 140

# Slug -> the simulator's model. Chunks of one token, so that tokens are chunks.
_PACE = f"tps={TOKENS_PER_SECOND}+chunk=1"


def offers(stream_seconds: int, short_stream_seconds: int) -> dict[str, str]:
    """The models: `bench-first` answers in a second after a usual wait; the others stream for as long as named."""
    return {
        "bench-first": f"bench+{_PACE}+ttft={FIRST_TOKEN_MS}+tokens={TOKENS_PER_SECOND}",
        "bench-long": f"bench+{_PACE}+ttft=0+tokens={stream_seconds * TOKENS_PER_SECOND}",
        "bench-short": f"bench+{_PACE}+ttft={FIRST_TOKEN_MS}+tokens={short_stream_seconds * TOKENS_PER_SECOND}",
    }


@dataclass(frozen=True, slots=True)
class Site:
    """A running, seeded Stack. `key` is an API key of a tenant without limits."""

    stack: Stack
    key: str
    models: dict[str, str]

    @property
    def simulator_url(self) -> str:
        return self.stack.env["SIMULATOR_URL"]

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self.stack.processes.items() if process.alive}

    def script(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """A module of this package as a process in the Stack's environment, talking through its pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=self.stack.env | {"LOG_LEVEL": "ERROR"},
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def rows(self, query: str, ids: list[UUID]) -> list[tuple[Any, ...]]:
        """Ask the database as `engine`; `%s` is the list of ids."""
        with psycopg.connect(self.stack.env["DATABASE_ENGINE_URL"]) as connection:
            return list(connection.execute(query.encode(), [ids]).fetchall())


@contextmanager
def open_site(
    folder: Path,
    models: dict[str, str],
    *,
    webs: int = 1,
    web_server: str = "uvicorn",
    adapter: str = "openai_compatible",
    provider_url: str = "",
    limits: bool = False,
) -> Iterator[Site]:
    """Start the Stack (durable, as people run it) on this folder, seed it, and stop it afterwards.

    `provider_url` takes the simulator's place. With `limits`, every kind of limit is set for tenant, user and
    key, each too high to be met.
    """
    env = {"WORKER_SLOTS": "4000", "LOG_LEVEL": "INFO"} | ({"SIMULATOR_URL": provider_url} if provider_url else {})
    stack = Stack(folder, webs=webs, beat=False, web_server=web_server, env=env, restart=False)
    arguments = [*map("=".join, models.items()), f"--adapter={adapter}", *(["--limits"] if limits else [])]
    with stack:
        seeding = subprocess.run(
            [sys.executable, "-m", "benchmarks.seed", stack.env["SIMULATOR_URL"], *arguments],
            env=stack.env | {"LOG_LEVEL": "ERROR"},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        if stack.start_litellm_worker():
            stack.processes[LITELLM_WORKER].wait_ready(READY_SECONDS)
        yield Site(stack, json.loads(seeding.stdout.splitlines()[-1])["key"], models)


def alone(site: Site, name: str) -> AbstractContextManager[str]:
    """The same as `apart`, for a process of the site."""
    return apart(site.stack.processes[name].pid, name)


@contextmanager
def apart(pid: int | None, name: str) -> Iterator[str]:
    """Keep one process alone on the first core, and everything else, this program too, on the others. Without a
    process the first core stays idle.

    Yields the placement in words. With a single core, or where cores cannot be chosen, nothing is pinned.
    """
    everywhere = os.sched_getaffinity(0)
    first, *others = sorted(everywhere)
    if not others:
        yield f"Nothing is pinned: one core only, which {name} shares with everything."
        return
    rest = set(others)
    meter.pin(os.getpid(), rest)  # what this program started is below it
    if pid is not None:
        meter.pin(pid, {first})
    try:
        yield f"{name} alone on one core; simulator, databases and clients share {len(others)} other(s)."
    finally:
        meter.pin(os.getpid(), everywhere)


@dataclass(frozen=True, slots=True)
class UpstreamCall:
    """One call in the simulator's bill, times in Unix seconds."""

    first_token_at: float
    ended_at: float
    completed: bool


async def upstream_calls(session: aiohttp.ClientSession, site: Site, ids: list[UUID]) -> dict[UUID, UpstreamCall]:
    """What the simulator says of these generations' (last) provider calls. Unanswered ones are left out."""
    attempts = dict(site.rows("SELECT id, generation_id FROM conversations_attempt WHERE generation_id = ANY(%s)", ids))
    calls: dict[UUID, UpstreamCall] = {}
    async with session.get(f"{site.simulator_url}/control/bill.jsonl") as response:
        async for line in response.content:
            call = json.loads(line)
            generation_id = attempts.get(UUID(call["attempt_id"])) if call["attempt_id"] else None
            if generation_id is not None and call["ended_at"] is not None and call["first_token_at"] is not None:
                calls[generation_id] = UpstreamCall(call["first_token_at"], call["ended_at"], call["completed"])
    return calls


async def active_streams(session: aiohttp.ClientSession, site: Site) -> int:
    """How many streams the simulator is sending now."""
    async with session.get(f"{site.simulator_url}/control/health") as response:
        return int((await response.json())["active_streams"])
