"""`python -m benchmarks.limits [--json PATH]`: client CPU and Redis's CPU of one admission and one settlement.

A Redis of its own is started; one event loop asks it with so many calls at once, through the client alone
(`apps.limits`) and through the billing of stateless calls (`apps.billing.open_calls`). No database is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import django
import uvloop
from uuid6 import uuid7

from benchmarks.figures import Part, as_json, conditions, percentile

_UNUSED = "redis://127.0.0.1:1/0"
_NO_DATABASE = "postgresql://nobody@127.0.0.1:1/none"
# The settings ask for them; admitting does not.
os.environ.update(
    DJANGO_SETTINGS_MODULE="chatproject.settings",
    SECRET_KEY="x",
    VAULT_KEYS="x",
    API_KEY_PEPPER="x",
    REDIS_URL=_UNUSED,
    REDIS_CACHE_URL=_UNUSED,
    DATABASE_URL=_NO_DATABASE,
    DATABASE_ENGINE_URL=_NO_DATABASE,
)
django.setup()

from apps.billing import snapshots  # noqa: E402
from apps.billing.contracts import Admission, CallCost, LedgerLine, LineKind  # noqa: E402
from apps.billing.open_calls import OpenCalls  # noqa: E402
from apps.limits.async_client import AsyncLimits  # noqa: E402
from apps.limits.contracts import Call, Level, Projection, Scope, ScopeLimits, Wanted  # noqa: E402
from apps.tenants.contracts import Principal, Via  # noqa: E402
from onebox.redis import Redis  # noqa: E402

AIM_US = 60
AT_ONCE = 32
_ROUNDS = 40
_BATCHES_PER_ROUND = 25


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    part = Part(
        f"Admitting and settling, {AT_ONCE} calls at once",
        "One event loop, nothing pinned; every kind of limit for tenant, user and key; CPU time of the process, and of "
        "Redis, for each call.",
    )
    with tempfile.TemporaryDirectory() as folder:
        server = Redis(Path(folder), uuid4().hex, log_path=Path(folder) / "redis.log")
        server.start()
        try:
            uvloop.run(_measure(server.url, part))
        finally:
            server.stop()
    print(part.markdown())
    if options.json:
        options.json.write_text(as_json(conditions(), [part]))


def _limits(scope: Scope) -> ScopeLimits:
    """Every kind there is, none of which is ever reached."""
    return ScopeLimits(
        scope,
        requests_per_minute=10**9,
        parallel_calls=10**6,
        budget_day_nanousd=10**15,
        budget_month_nanousd=10**15,
        tokens_per_minute=10**9,
        tokens_per_day=10**12,
        tokens_per_month=10**12,
    )


async def _load(wanted: Wanted) -> Projection:
    return Projection(spent=dict.fromkeys(wanted.counters, 0))


async def _measure(url: str, part: Part) -> None:
    limits = AsyncLimits(url)
    tenant_id, user_id, key_id = uuid4(), uuid4(), uuid4()
    scopes = tuple(
        Scope(level, str(id)) for level, id in ((Level.TENANT, tenant_id), (Level.USER, user_id), (Level.KEY, key_id))
    )
    what = tuple(map(_limits, scopes))
    await limits.admit_warm(tenant_id, what, [Call("first", 1)], lease_seconds=20, load=_load)

    async def admit(call_id: str) -> None:
        call = Call(call_id, 1_000, 500, "x" * 200)
        await limits.admit(tenant_id, what, [call], lease_seconds=20)

    async def settle(call_id: str) -> None:
        await limits.settle(tenant_id, scopes, call_id, 700, tokens=300, records=("x" * 400,))

    async def drain() -> None:
        settlements = (await limits.settlements(tenant_id, grace_seconds=60, count=10_000)).settlements
        if settlements:
            await limits.drained(tenant_id, settlements[-1].id)
        await calls.tend()

    calls = OpenCalls(limits)
    await _pairs(part, limits, drain, "client alone", admit, settle)
    snapshots._known[tenant_id] = snapshots.TenantLimits(
        tenant_id, 2**52, {one.scope: one for one in what}, {}, read_at=time.monotonic() + 3_600
    )
    principal = Principal(
        user_id, tenant_id, "member", "Ada", "ada@example.org", "Acme", Via.API_KEY, api_key_id=key_id
    )
    price_id = uuid7()
    admissions: dict[str, Admission] = {}

    async def open_call(call_id: str) -> None:
        (admissions[call_id],) = await calls.open(principal, [CallCost(UUID(call_id), 1_000, 500, "gpt-test")], None)

    async def close_call(call_id: str) -> None:
        admission = admissions.pop(call_id)
        line = LedgerLine(admission.call_id, LineKind.CHARGE, "test", "m", price_id, 100, 0, 0, 200, 0, 700)
        await calls.close(admission, [line], "completed")

    await _pairs(part, limits, drain, "open_call and close_call", open_call, close_call)
    await calls.stop(1.0)


async def _pairs(
    part: Part,
    limits: AsyncLimits,
    drain: Callable[[], Awaitable[None]],
    name: str,
    first: Callable[[str], Awaitable[None]],
    second: Callable[[str], Awaitable[None]],
) -> None:
    mine: tuple[list[float], list[float]] = ([], [])
    theirs: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        ids = [[str(uuid7()) for _ in range(AT_ONCE)] for _ in range(_BATCHES_PER_ROUND)]
        await drain()  # as workers do, all the time
        for place, one in enumerate((first, second)):
            client, server = await _cpu_us(limits, one, ids)
            mine[place].append(client)
            theirs[place].append(server)
    for place, what in enumerate(("admit", "settle")):
        part.add(f"{name}: {what}, client, median", percentile(mine[place], 0.5), "µs", aim=AIM_US)
        part.add(f"{name}: {what}, Redis, median", percentile(theirs[place], 0.5), "µs")


async def _cpu_us(
    limits: AsyncLimits, one: Callable[[str], Awaitable[None]], batches: Sequence[Sequence[str]]
) -> tuple[float, float]:
    """CPU per call, of this process and of Redis, in microseconds."""
    before, began = await _server_seconds(limits), time.process_time()
    for ids in batches:
        await asyncio.gather(*(one(call_id) for call_id in ids))
    used = time.process_time() - began
    calls = sum(map(len, batches))
    return used / calls * 1e6, (await _server_seconds(limits) - before) / calls * 1e6


async def _server_seconds(limits: AsyncLimits) -> float:
    text = (await limits._pipeline.send("INFO", "cpu")).decode()
    told = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


if __name__ == "__main__":
    main()
