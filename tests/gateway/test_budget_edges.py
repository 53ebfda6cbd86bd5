"""Budgets that are used up: before a call, and in the middle of one; and clocks that jump."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import openai
import pytest

from apps.billing import open_calls, snapshots
from apps.billing import services as billing
from apps.billing.contracts import CallCost
from apps.billing.errors import OverBudget, RateLimited
from apps.billing.models import LedgerEntry
from apps.limits.async_client import AsyncLimits
from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.routing.stateless import call, load
from apps.routing.stateless.ids import new_id
from apps.routing.wire import openai_chat
from apps.tenants import selectors as callers
from apps.tenants.contracts import Principal
from apps.tenants.scope import database_step
from tests.billing.conftest import all_at_once, spend
from tests.gateway.conftest import PRICE, ClientOf
from tests.processes import Simulator

FREE = NewPrice(input_nanousd_per_mtok=0, output_nanousd_per_mtok=0, free=True)
Ledger = Callable[[UUID, int], list[LedgerEntry]]


def body(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def free_first(offered: None, provider_simulator: Simulator, alice: Principal) -> str:
    """A free model, whose fallback costs something and belongs to somebody else."""
    slug = f"gw-free-{uuid4().hex[:8]}"
    for place, price in enumerate([FREE, PRICE]):
        provider_id = routing.add_provider(
            name=f"{slug} {'paid' if place else 'free'}",
            base_url=f"{provider_simulator.url}/v1",
            key="any",
            tenant_id=alice.tenant_id,
            simulated=True,
        )
        routing.register_model(
            provider_id=provider_id,
            upstream_model="bench+tokens=5+tps=0",
            price=price,
            slug=slug,
            name=slug,
            priority=place + 1,
        )
    return slug


def test_a_free_model_answers_when_the_budget_is_used_up(
    free_first: str, client_of: ClientOf, alice: Principal, ledger: Ledger
) -> None:
    billing.set_quota(tenant_id=alice.tenant_id, budget_day_nanousd=0)
    client = client_of(alice)
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(**body("gw-quick"))
    assert refused.value.code == "insufficient_quota"
    for _ in range(3):
        assert client.chat.completions.create(**body(free_first)).choices
    lines = ledger(alice.tenant_id, 3)
    assert [(line.kind, line.amount_nanousd, line.provider.endswith("free")) for line in lines] == [
        ("charge", 0, True)
    ] * 3
    assert billing.budget_left(alice).day_nanousd == 0
    assert billing.differences(alice.tenant_id) == []
    # Who was answered by what the budget does cover was not refused.
    assert billing.refused(alice.tenant_id, timedelta(hours=1)) == {"budget_day": {"tenant": 1}}


async def _opened(alice: Principal, model: str) -> call.OpenCall:
    async def find() -> tuple[Principal, int]:
        return alice, callers.generation()

    return await call.open_call(find, openai_chat.read(body(model)))


async def test_a_budget_used_up_between_plan_and_admission(
    free_first: str, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database_step(billing.set_quota, tenant_id=alice.tenant_id, budget_day_nanousd=10**12)
    plan = routing.plan
    planned: list[int] = []

    def plan_and_spend(asked: Any, offered: Any) -> Any:
        made = plan(asked, offered)
        if not planned:
            all_at_once(lambda: spend(alice, 10**12, 10**12), 1)
        planned.append(len(made.candidates))
        return made

    monkeypatch.setattr(call.services, "plan", plan_and_spend)
    opened = await _opened(alice, free_first)
    async with opened:
        assert (planned[0], [one.price.free for one in opened.plan.candidates]) == (2, [True])
        assert opened.lanes[0].admission.amount_nanousd == 0
    with pytest.raises(OverBudget) as refused:
        await _opened(alice, "gw-quick")
    assert refused.value.left_nanousd == 0
    assert load.here().pressure.shares.running(alice.tenant_id) == 0
    await call.settle_all()
    assert (await database_step(billing.budget_left, alice)).day_nanousd == 0


async def test_a_caller_whose_clock_jumps_gets_nothing_back(
    alice: Principal, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Time is Redis's own: neither a bucket nor a lease follows the clock of who asks."""
    await database_step(billing.set_quota, tenant_id=alice.tenant_id, requests_per_minute=4, parallel_calls=10)
    calls = open_calls.OpenCalls(AsyncLimits(settings.REDIS_URL, prefix=settings.REDIS_PREFIX))

    async def admit() -> None:
        await calls.open(alice, [CallCost(new_id(), 1, 1, "m")], None)

    real, jumps = time.time, iter([0, -7_200, 7_200, -86_400])

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Jumping":
            return cls.fromtimestamp(time.time(), tz or UTC)

    monkeypatch.setattr(open_calls, "datetime", Jumping)
    monkeypatch.setattr(snapshots, "_told_when_stale", [])  # nobody has to start over
    for seconds in jumps:
        monkeypatch.setattr(time, "time", lambda seconds=seconds: real() + seconds)
        await admit()
        await calls.tend()
    for seconds in (-7_200, 7_200):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: real() + seconds)
        with pytest.raises(RateLimited):
            await admit()
    assert len(calls._tenants[alice.tenant_id].open) == 4
    monkeypatch.setattr(time, "time", real)
    await calls.stop(1.0)
