"""Stateless calls: admitted, settled and drained, whatever is lost on the way."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import pytest
import pytest_asyncio
from django.conf import settings
from redis import Redis
from uuid6 import uuid7

from apps.billing import clients, draining, open_calls, services, snapshots
from apps.billing.contracts import Admission, CallCost, LedgerLine, LineKind
from apps.billing.errors import AdmissionUnavailable, LimitReached, OverBudget, SnapshotStale, TooManyParallel
from apps.billing.models import LedgerEntry
from apps.billing.open_calls import OpenCalls
from apps.limits.async_client import AsyncLimits
from apps.tenants.contracts import Principal
from apps.tenants.scope import database_step, tenant_scope
from tests.billing.conftest import open_call

LoseCounters = Callable[[Principal], None]


@pytest_asyncio.fixture
async def calls() -> AsyncIterator[OpenCalls]:
    made = OpenCalls(AsyncLimits(settings.REDIS_URL, prefix=settings.REDIS_PREFIX))
    yield made
    await made.stop(0.5)


def cost(amount_nanousd: int, tokens: int = 0) -> CallCost:
    return CallCost(uuid7(), amount_nanousd, tokens, "gpt-test")


def line(amount_nanousd: int, kind: LineKind = LineKind.CHARGE) -> LedgerLine:
    return LedgerLine(
        uuid7(), kind, "test", "m", None, input_tokens=10, output_tokens=20, amount_nanousd=amount_nanousd
    )


async def admit(calls: OpenCalls, principal: Principal, *costs: CallCost) -> list[Admission]:
    """As a door does: what is told to be out of date is asked once more."""
    try:
        return list(await calls.open(principal, costs, None))
    except SnapshotStale:
        return list(await calls.open(principal, costs, None))


def entries(principal: Principal, call_id: UUID) -> list[LedgerEntry]:
    with tenant_scope(principal.tenant_id):
        return list(LedgerEntry.objects.filter(call_id=call_id))


async def left(principal: Principal) -> int | None:
    return (await database_step(services.budget_left, principal)).month_nanousd


async def test_a_call_is_held_settled_and_written(calls: OpenCalls, alice: Principal) -> None:
    quota = {"budget_month_nanousd": 10_000, "requests_per_minute": 60}
    await database_step(services.set_quota, tenant_id=alice.tenant_id, **quota)
    await database_step(services.set_quota, tenant_id=alice.tenant_id, user_id=alice.user_id, requests_per_minute=10)
    (admission,) = await admit(calls, alice, cost(4_000))
    (told,) = admission.allowances
    assert (told.kind, told.whose, told.limit, told.remaining) == ("requests_per_minute", "user", 10, 9)
    assert await left(alice) == 6_000
    lines = [line(1_500), line(700, LineKind.ABSORBED)]
    before = datetime.now(UTC)
    await calls.close(admission, lines, "completed")
    await calls.close(admission, lines, "completed")
    assert await left(alice) == 8_500
    await database_step(services.drain_settlements)
    await database_step(services.drain_settlements)
    written = await database_step(entries, alice, admission.call_id)
    assert sorted((one.attempt_id, one.kind, one.amount_nanousd) for one in written) == sorted(
        (one.attempt_id, one.kind.value, one.amount_nanousd) for one in lines
    )
    assert all(before <= one.created_at <= datetime.now(UTC) for one in written)
    assert {one.api_key_id for one in written} == {alice.api_key_id}
    assert await left(alice) == 8_500


async def test_all_choices_or_none(calls: OpenCalls, alice: Principal) -> None:
    await database_step(services.set_quota, tenant_id=alice.tenant_id, parallel_calls=3)
    held = await admit(calls, alice, cost(1), cost(1))
    with pytest.raises(TooManyParallel) as refused:
        await admit(calls, alice, cost(1), cost(1))
    assert (refused.value.limit, refused.value.remaining, refused.value.kind) == (3, 1, "parallel_calls")
    await calls.close(held[0], [], "failed")  # never made: it leaves nothing
    await admit(calls, alice, cost(1), cost(1))
    await database_step(services.drain_settlements)
    assert await database_step(entries, alice, held[0].call_id) == []


async def test_a_change_makes_the_caller_start_over(
    calls: OpenCalls, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_told_when_stale", [])
    await calls.open(alice, [cost(1)], None)
    told: list[UUID] = []
    services.when_stale(told.append)
    before = services.epoch_of(alice.tenant_id)
    await database_step(services.set_quota, tenant_id=alice.tenant_id, budget_day_nanousd=5)
    with pytest.raises(SnapshotStale):
        await calls.open(alice, [cost(6)], None)
    assert told == [alice.tenant_id] and services.epoch_of(alice.tenant_id) > before
    with pytest.raises(OverBudget):
        await calls.open(alice, [cost(6)], None)
    with pytest.raises(SnapshotStale):  # what this caller knows of its key is older
        await calls.open(alice, [cost(5)], before)
    assert told == [alice.tenant_id] * 2
    await calls.open(alice, [cost(4)], services.epoch_of(alice.tenant_id))


async def test_settlements_survive_a_lost_redis(
    calls: OpenCalls, alice: Principal, lose_counters: LoseCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_calls, "RENEW_SECONDS", 0.0)
    await database_step(services.set_quota, tenant_id=alice.tenant_id, budget_month_nanousd=10_000)
    ended, running = await admit(calls, alice, cost(2_000), cost(3_000))
    await calls.close(ended, [line(1_000)], "completed")
    lose_counters(alice)
    await calls.tend()
    assert await left(alice) == 6_000
    await database_step(services.drain_settlements)
    await database_step(services.drain_settlements)
    assert len(await database_step(entries, alice, ended.call_id)) == 1
    lose_counters(alice)  # and once more, between the ledger and this process's knowing of it
    await calls.tend()
    assert await left(alice) == 6_000
    await database_step(services.drain_settlements)
    assert len(await database_step(entries, alice, ended.call_id)) == 1
    await calls.tend()
    assert not calls._tenants[alice.tenant_id].undrained
    await calls.close(running, [line(500)], "completed")
    assert await left(alice) == 8_500


async def test_a_dead_processes_calls_are_absorbed(
    calls: OpenCalls, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_calls, "LEASE_SECONDS", 0.05)
    await database_step(services.set_quota, tenant_id=alice.tenant_id, budget_month_nanousd=10_000)
    dead, slow = await admit(calls, alice, cost(2_000, 300), cost(3_000, 400))
    await asyncio.sleep(0.06)
    await database_step(services.drain_settlements)  # their leases end, and their caller is waited for
    assert await database_step(entries, alice, dead.call_id) == []
    await calls.close(slow, [line(100)], "completed")
    calls._tenants[alice.tenant_id].open.clear()
    await database_step(draining.drain_settlements, grace_seconds=0.0)
    (absorbed,) = await database_step(entries, alice, dead.call_id)
    assert (absorbed.kind, absorbed.estimated, absorbed.model) == ("absorbed", True, "gpt-test")
    assert (absorbed.amount_nanousd, absorbed.input_tokens) == (2_000, 300)
    (charged,) = await database_step(entries, alice, slow.call_id)
    assert (charged.kind, charged.amount_nanousd) == ("charge", 100)
    assert await left(alice) == 9_900


async def test_a_storm_admits_exactly_what_there_is(calls: OpenCalls, alice: Principal) -> None:
    await database_step(services.set_quota, tenant_id=alice.tenant_id, budget_month_nanousd=1_000)

    async def ask() -> Admission | None:
        try:
            return (await admit(calls, alice, cost(100)))[0]
        except LimitReached:
            return None

    held = [one for one in await asyncio.gather(*(ask() for _ in range(100))) if one is not None]
    assert len(held) == 10
    await asyncio.gather(*(calls.close(one, [line(40)], "completed") for one in held))
    assert await left(alice) == 600
    await database_step(services.drain_settlements)
    assert await left(alice) == 600


async def test_what_redis_does_not_take_is_told_later(alice: Principal) -> None:
    up = OpenCalls(AsyncLimits(settings.REDIS_URL, prefix=settings.REDIS_PREFIX))
    (admission,) = await admit(up, alice, cost(100))
    working, up._limits = up._limits, AsyncLimits("redis://127.0.0.1:1/0", timeout_seconds=0.2)
    await up.close(admission, [line(40)], "completed")
    with pytest.raises(AdmissionUnavailable) as refused:
        await admit(up, alice, cost(100))
    assert refused.value.retry_after_seconds == 1
    up._limits = working
    await up.stop(2.0)
    await database_step(services.drain_settlements)
    assert len(await database_step(entries, alice, admission.call_id)) == 1


async def test_a_budget_is_exact_through_a_loss_over_two_processes(
    alice: Principal, lose_counters: LoseCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each object stands for a process: what it holds is in its own memory, and in Redis until that is lost."""
    monkeypatch.setattr(clients, "_first_seen", "another time")
    monkeypatch.setattr(clients, "REGISTERED_AGAIN_SECONDS", 0.8)
    await database_step(services.set_quota, tenant_id=alice.tenant_id, budget_month_nanousd=1_000)
    one, other = (OpenCalls(AsyncLimits(settings.REDIS_URL, prefix=settings.REDIS_PREFIX)) for _ in range(2))
    await admit(one, alice, cost(300))
    (ended,) = await admit(other, alice, cost(400))
    await other.close(ended, [line(200)], "completed")
    await admit(other, alice, cost(400))
    await asyncio.sleep(0.6)  # both have seen since when Redis remembers
    lose_counters(alice)
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.delete(f"{settings.REDIS_PREFIX}limits:since")
    with pytest.raises(OverBudget):
        await admit(one, alice, cost(200))
    assert len(await admit(one, alice, cost(100))) == 1
    for calls in (one, other):
        await calls.stop(1.0)


async def test_what_the_ledger_cannot_hold_holds_up_nobody(calls: OpenCalls, alice: Principal) -> None:
    absurd = LedgerLine(uuid7(), LineKind.CHARGE, "test", "m", None, input_tokens=10**30, amount_nanousd=10**25)
    broken, whole = await admit(calls, alice, CallCost(uuid7(), 1, 1, "nul\0\ud800"), cost(1))
    await calls.close(broken, [absurd, replace(line(7), model="nul\0")], "completed")
    await calls.close(whole, [line(5)], "completed")
    unknown = replace(alice, user_id=uuid7())
    (nobodys,) = await admit(calls, unknown, cost(1))
    await calls.close(nobodys, [line(3)], "completed")
    await calls.close((await admit(calls, alice, last := cost(1)))[0], [line(2)], "completed")
    await database_step(services.drain_settlements)
    assert await database_step(entries, alice, broken.call_id) == []
    for written in (whole.call_id, last.call_id):
        assert len(await database_step(entries, alice, written)) == 1


async def test_a_lost_server_does_not_shorten_what_chats_hold(
    calls: OpenCalls, alice: Principal, lose_counters: LoseCounters
) -> None:
    await database_step(services.set_quota, tenant_id=alice.tenant_id, parallel_calls=2)
    chat = await database_step(open_call, alice, 1_000)
    await database_step(lose_counters, alice)
    await admit(calls, alice, cost(1))
    with Redis.from_url(settings.REDIS_URL) as redis:
        key = f"{settings.REDIS_PREFIX}{{t:{alice.tenant_id}}}:limits:open"
        ends = cast(float, redis.zscore(key, str(chat)))
    assert ends / 1000 - time.time() > settings.GENERATION_DEADLINE_SECONDS
