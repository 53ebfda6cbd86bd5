"""Pools with a limit: never one call more, a line that is short, and then elsewhere."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from redis.exceptions import TimeoutError as RedisTimeout

from apps.routing import services
from apps.routing.contracts import Call, Candidate, Excluded, Plan
from apps.routing.errors import PoolsFull
from apps.routing.pools import Pools, current
from apps.routing.search import POOL_FULL
from apps.tenants.contracts import Principal
from tests.processes import Simulator
from tests.routing.exchange import Exchange, converse, offer
from tests.routing.offers import TENANT, catalogue, deployment, model

SLOW = "bench+tokens=30+tps=60"
SOUND = "bench+tokens=12"
NOWHERE = "redis://127.0.0.1:1/0"
Join = Callable[..., Pools]


@pytest.fixture
def join() -> Join:
    """Pools as several processes see them."""
    prefix = f"{settings.REDIS_PREFIX}{uuid4().hex}:"
    return lambda url=settings.REDIS_URL, **fields: Pools(url, prefix=prefix, **fields)


def _pool(max_parallel: int, max_waiting: int = 0) -> Candidate:
    offered = catalogue(model("m", deployment("m", max_parallel=max_parallel, max_waiting=max_waiting)))
    (candidate,) = services.plan(Call(TENANT, "m", 400), offered).candidates
    return candidate


async def test_never_one_more_whatever_the_number_of_processes(join: Join) -> None:
    one, other = join(), join()
    pool = _pool(5)
    asked = [pools.enter(pool, 1) for _ in range(10) for pools in (one, other)]
    places = [place for place in await asyncio.gather(*asked) if place is not None]
    assert len(places) == 5
    places[0].leave()
    await _gone(one)
    assert await other.enter(pool, 0) is not None
    assert await one.enter(pool, 0) is None


async def test_the_line_is_short_and_who_came_first_goes_first(join: Join) -> None:
    pools = join()
    pool = _pool(1, max_waiting=2)
    first = await pools.enter(pool, 0)
    assert first is not None
    waiting = []
    for _ in range(2):
        waiting.append(asyncio.ensure_future(pools.enter(pool, 5)))
        await asyncio.sleep(0.05)
    assert await pools.enter(pool, 5) is None, "the line is full, so nobody waits"
    first.leave()
    second = await asyncio.wait_for(waiting[0], 2)
    assert second is not None and not waiting[1].done()
    second.leave()
    assert await asyncio.wait_for(waiting[1], 2) is not None


async def test_who_has_waited_long_enough_goes_elsewhere_and_leaves_the_line(join: Join) -> None:
    pools = join()
    pool = _pool(1, max_waiting=1)
    held = await pools.enter(pool, 0)
    assert await pools.enter(pool, 0.3) is None
    cancelled = asyncio.ensure_future(pools.enter(pool, 5))
    await asyncio.sleep(0.05)
    cancelled.cancel()
    await _gone(pools)
    heir = asyncio.ensure_future(pools.enter(pool, 5))
    await asyncio.sleep(0.05)
    assert held is not None
    held.leave()
    assert await asyncio.wait_for(heir, 2) is not None, "neither of them stands before it"


async def test_places_of_a_process_that_died_come_back(join: Join) -> None:
    """The one that died renews nothing: its thread is never begun."""
    dead, alive = join(lease_seconds=0.4), join(lease_seconds=0.4)
    pool = _pool(1)
    dead._renewing = _Never()  # type: ignore[assignment]
    assert await dead.enter(pool, 0) is not None
    assert await alive.enter(pool, 0) is None
    await asyncio.sleep(0.5)
    assert await alive.enter(pool, 0) is not None
    await asyncio.sleep(0.8)
    assert await join().enter(pool, 0) is None, "what lives is renewed"


class _Never:
    def is_alive(self) -> bool:
        return True


async def test_without_redis_each_process_keeps_to_the_limit_alone(join: Join) -> None:
    pools = join(NOWHERE)
    pool = _pool(2)
    places = [await pools.enter(pool, 0) for _ in range(3)]
    assert [place is not None for place in places] == [True, True, False]
    assert places[0] is not None
    places[0].leave()
    assert await pools.enter(pool, 0) is not None


async def test_who_leaves_while_being_renewed_leaves_no_place_behind(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = join()
    pool = _pool(1)
    place = await pools.enter(pool, 0)
    assert place is not None
    run = pools._run

    def overtaken(deployment_id: UUID, operation: str, *words: Any) -> str:
        if operation == "renew":
            place.leave()
            pools._leaving.submit(lambda: None).result()
        return run(deployment_id, operation, *words)

    monkeypatch.setattr(pools, "_run", overtaken)
    pools._renew(pool.deployment_id, [place.token])
    assert await join().enter(pool, 0) is not None


async def test_a_redis_that_answers_nothing_is_waited_for_once(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    pools = join(NOWHERE)
    asked: list[str] = []

    def silent(deployment_id: UUID, operation: str, *words: Any) -> str:
        asked.append(operation)
        time.sleep(0.1)
        raise RedisTimeout

    monkeypatch.setattr(pools, "_run", silent)
    pool = _pool(1)
    began = time.monotonic()
    for _ in range(20):
        await pools.enter(pool, 0)
    assert time.monotonic() - began < 1, "one deadline, and not one for each"
    assert asked.count("enter") == 1
    monkeypatch.setattr(pools, "_alone_until", 0.0)
    await pools.enter(pool, 0)
    assert asked.count("enter") == 2, "and it is asked again later"


def _limited(plan: Plan, *limits: int | None, max_waiting: int = 0) -> Plan:
    """The plan with these limits on its candidates, which no other test calls."""
    limited = [
        one._replace(max_parallel=most, max_waiting=max_waiting)
        for one, most in zip(plan.candidates, limits, strict=True)
    ]
    return replace(plan, candidates=tuple(limited))


async def test_a_full_pool_overflows_to_the_next_place(alice: Principal, provider_simulator: Simulator) -> None:
    plan = _limited(await offer(alice, provider_simulator.url, [SLOW, SOUND]), 2, None)
    exchanges = await asyncio.gather(*(converse(alice, plan) for _ in range(4)))
    assert sorted(_answered(one) for one in exchanges) == [SOUND, SOUND, SLOW, SLOW]
    for one in exchanges:
        name = plan.candidates[0].provider_name
        passed_over = (Excluded(name, SLOW, POOL_FULL, "m"),) if _answered(one) == SOUND else ()
        assert one.finished.passed_over == passed_over
    await _gone(current())
    assert _answered(await converse(alice, plan)) == SLOW, "its places came back"


async def test_with_a_line_calls_wait_and_without_another_place_they_are_told(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan = _limited(await offer(alice, provider_simulator.url, [SLOW]), 1, max_waiting=1)
    exchanges = await asyncio.gather(*(converse(alice, plan) for _ in range(3)))
    refused = [one for one in exchanges if one.error is not None]
    assert [type(one.error) for one in refused] == [PoolsFull]
    assert refused[0].gate.begun == [], "nothing was called"
    first, second = sorted((one for one in exchanges if one.error is None), key=lambda one: one.seconds)
    assert second.seconds > first.seconds + 0.3, "one after the other"


def _answered(exchange: Exchange) -> str:
    return exchange.finished.candidate.upstream_model


async def _gone(pools: Pools) -> None:
    """Wait until those who left have been struck off: they do not wait for it themselves."""
    await asyncio.wrap_future(pools._leaving.submit(lambda: None))
    await asyncio.sleep(0.05)
