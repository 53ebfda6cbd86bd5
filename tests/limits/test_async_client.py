"""The client for event loops runs the same scripts and tells the same."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from redis import Redis

from apps.limits.async_client import AsyncLimits
from apps.limits.client import Limits
from apps.limits.contracts import (
    Admitted,
    Cold,
    OpenCall,
    Overview,
    Projection,
    Refused,
    ScopeLimits,
    Settled,
    Stale,
    Wanted,
)
from apps.limits.errors import LimitsUnavailable, Rebuilding
from tests.limits.records import DOLLAR, TENANT, Records, calls

WHAT = [ScopeLimits(TENANT, parallel_calls=50, budget_month_nanousd=DOLLAR)]


@pytest_asyncio.fixture
async def limits(redis_url: str) -> AsyncIterator[AsyncLimits]:
    client = AsyncLimits(redis_url, prefix="test:")
    yield client
    await client.aclose()


async def test_exactly_ten_of_a_hundred_and_one_reading(limits: AsyncLimits, tenant: str, records: Records) -> None:
    async def load(wanted: Wanted) -> Projection:
        await asyncio.sleep(0.05)
        return records.load(wanted)

    async def ask(number: int) -> bool:
        wanted = calls(f"c{number}", amount=DOLLAR // 10)
        decision = await limits.admit_warm(tenant, WHAT, wanted, lease_seconds=30, load=load)
        return isinstance(decision, Admitted)

    assert sum(await asyncio.gather(*(ask(number) for number in range(100)))) == 10
    assert len(records.loads) == 1


async def test_the_life_of_a_call(limits: AsyncLimits, tenant: str, records: Records, redis: Redis) -> None:
    async def load(wanted: Wanted) -> Projection:
        return records.load(wanted)

    cold = await limits.admit(tenant, WHAT, calls("a", amount=5), lease_seconds=30)
    assert isinstance(cold, Cold) and cold.whole
    await limits.rebuild(tenant, load, missing=cold.missing)
    assert isinstance(await limits.admit(tenant, WHAT, calls("a", amount=5), lease_seconds=30), Admitted)
    refused = await limits.admit(tenant, WHAT, calls("b", amount=DOLLAR), lease_seconds=30)
    assert isinstance(refused, Refused) and refused.remaining == DOLLAR - 5
    assert await limits.renew(tenant, ["a", "b"], lease_seconds=30) == ("b",)
    assert await limits.settle(tenant, [TENANT], "a", 3, at=datetime.now(UTC)) == Settled(False, False)
    assert await limits.register(tenant, [OpenCall("c", 9, (TENANT,))], lease_seconds=30) == ("c",)
    assert await limits.release(tenant, ["c"]) == ("c",)
    epoch = await limits.bump_epoch(tenant)
    assert await limits.admit(tenant, WHAT, calls("d"), lease_seconds=5, epoch=epoch - 1) == Stale(epoch)
    overview = await limits.peek(tenant, WHAT)
    assert isinstance(overview, Overview)
    assert [(row.used, row.reserved) for row in overview.allowances] == [(0, 0), (3, 0)]
    redis.script_flush()
    assert await limits.peek(tenant, WHAT) == overview


async def test_both_clients_share_counters(limits: AsyncLimits, redis_url: str, tenant: str, records: Records) -> None:
    blocking = Limits(redis_url, prefix="test:")
    blocking.admit_warm(tenant, WHAT, calls("a", amount=DOLLAR), lease_seconds=30, load=records.load)
    assert isinstance(await limits.admit(tenant, WHAT, calls("b", amount=1), lease_seconds=30), Refused)
    blocking.close()


async def test_a_cancelled_reading_gives_the_lock_back(limits: AsyncLimits, tenant: str, records: Records) -> None:
    reading = asyncio.Event()

    async def hang(wanted: Wanted) -> Projection:
        reading.set()
        await asyncio.sleep(30)
        raise AssertionError("cancelled before")

    async def load(wanted: Wanted) -> Projection:
        return records.load(wanted)

    task = asyncio.create_task(limits.rebuild(tenant, hang))
    await reading.wait()
    with pytest.raises(Rebuilding):
        await limits.rebuild(tenant, load)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(limits.rebuild(tenant, load), 0.4)


async def test_a_dead_server_is_one_error() -> None:
    client = AsyncLimits("redis://127.0.0.1:1/0", timeout_seconds=0.5)
    with pytest.raises(LimitsUnavailable):
        await client.bump_epoch("t")
    await client.aclose()
