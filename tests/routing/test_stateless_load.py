"""The calls of one event loop, counted from their admission to their settlement."""

import asyncio
import time
from typing import Any
from uuid import UUID, uuid4

import pytest

from apps.limits.fairness import Pressure
from apps.observability import metrics
from apps.problems import NotFound
from apps.routing.errors import Overloaded
from apps.routing.stateless import call, load
from apps.tenants.contracts import Principal, Via


@pytest.fixture
def narrow(settings: Any) -> None:
    settings.GATEWAY_CALLS_PER_PROCESS = 2
    settings.GATEWAY_LATE_SECONDS = 0.5


def _somebody(tenant_id: UUID) -> call.Find:
    principal = Principal(uuid4(), tenant_id, "member", "", "", "", Via.API_KEY)

    async def find() -> tuple[Principal, int]:
        return principal, 0

    return find


async def test_what_has_no_room_is_refused_before_anything_is_done_for_it(
    narrow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("nothing is read for it")

    monkeypatch.setattr(call, "known", never)
    noisy = uuid4()
    load.here().enter(noisy, 2)
    shed = metrics.GATEWAY_SHED._value.get()
    with pytest.raises(Overloaded) as refused:
        await call.admitted(_somebody(noisy), never)  # type: ignore[arg-type]
    assert refused.value.status == 503 and refused.value.retry_after_seconds
    assert metrics.GATEWAY_SHED._value.get() == shed + 1
    assert load.here().pressure.shares.total == 2


async def test_what_is_not_admitted_leaves_again(narrow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_such_model(*_: object) -> None:
        assert load.here().pressure.shares.total == 3
        raise NotFound("There is no such model.")

    monkeypatch.setattr(call, "known", no_such_model)
    load.here().enter(uuid4(), 2)
    for _ in range(3):
        with pytest.raises(NotFound):
            await call.admitted(_somebody(uuid4()), no_such_model)  # type: ignore[arg-type]
    assert load.here().pressure.shares.total == 2


async def test_a_late_loop_is_noticed_and_forgotten(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.GATEWAY_CALLS_PER_PROCESS, settings.GATEWAY_LATE_SECONDS = 1_000, 0.01
    monkeypatch.setattr(load, "_TICK_SECONDS", 0.005)
    here, tenant_id = load.here(), uuid4()
    here.enter(tenant_id, 5)
    for _ in range(3):
        await asyncio.sleep(0.006)
        asyncio.get_running_loop().call_soon(time.sleep, 0.08)  # somebody blocks the loop
    await asyncio.sleep(0.006)
    assert here.pressure.shares.capacity == Pressure.LEAST
    here.leave(tenant_id, 5)
    until = time.monotonic() + 5
    while here._watching and time.monotonic() < until:
        await asyncio.sleep(0.01)
    assert not here._watching and here.pressure.shares.capacity == 1_000
