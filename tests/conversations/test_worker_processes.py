"""Workers come and leave, and each answer reaches its end once.

How another worker takes over is in tests/verify/test_worker_handover.py, and in the drills.
"""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from apps.billing.models import LedgerEntry
from apps.conversations import selectors, services
from apps.conversations.connections import blocking_redis
from apps.conversations.contracts import GenerationState
from apps.conversations.models import Attempt, Generation
from apps.streaming.entries import log_key
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.conftest import Ask
from tests.processes import Simulator
from tests.product import celery_worker, eventually, simulator_calls

Pace = Callable[[float], None]


def row(principal: Principal, generation_id: UUID) -> Generation:
    with tenant_scope(principal.tenant_id):
        return Generation.objects.get(id=generation_id)


def wait_for_text(generation_id: UUID) -> None:
    """Until something of the answer can be read."""
    eventually(lambda: int(blocking_redis().xlen(log_key(generation_id))) > 4)


def wait_for_end(principal: Principal, generation_id: UUID) -> Generation:
    eventually(lambda: selectors.standing(principal, generation_id)[0].terminal, within_seconds=20)
    return row(principal, generation_id)


def attempts(principal: Principal, generation_id: UUID) -> list[tuple[int, str, str, bool]]:
    """Fence, state, kind of ledger line and whether that is an estimate, of each attempt."""
    with tenant_scope(principal.tenant_id):
        made = list(Attempt.objects.filter(generation_id=generation_id).order_by("fence", "number"))
        lines = {line.attempt_id: line for line in LedgerEntry.objects.filter(call_id=generation_id)}
        assert set(lines) <= {one.id for one in made}
        return [(one.fence, one.state, lines[one.id].kind, lines[one.id].estimated) for one in made if one.id in lines]


def first_call(principal: Principal, generation_id: UUID, simulator: Simulator) -> dict[str, Any]:
    """The simulator's line for the first attempt, once that call is over."""
    with tenant_scope(principal.tenant_id):
        first = Attempt.objects.filter(generation_id=generation_id).earliest("id")
    (call,) = eventually(
        lambda: [one for one in simulator_calls(simulator.url, first.id) if one["ended_at"] is not None]
    )
    return dict(call)


def test_a_leaving_worker_finishes_what_it_can(alice: Principal, ask: Ask, unhurried: str, pace: Pace) -> None:
    pace(25)
    with celery_worker(DRAIN_SECONDS="20") as leaving:
        generation_id = ask(alice, "Finish me", unhurried).generations[0].generation_id
        wait_for_text(generation_id)
        leaving.terminate()
        late = ask(alice, "Too late", "quick").generations[0].generation_id
        assert leaving.wait(15) == 0
    ended = row(alice, generation_id)
    assert (ended.state, ended.fence, ended.claims) == ("completed", 1, 1)
    assert attempts(alice, generation_id) == [(1, "won", "charge", False)]
    assert row(alice, late).state == "queued", "a leaving worker claims nothing"


def test_what_no_ring_announced_is_claimed_all_the_same(
    alice: Principal, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[int] = []
    monkeypatch.setattr(services, "ring", lambda count, then=None: rung.append(count))
    with celery_worker():
        ids = [lane.generation_id for lane in ask(alice, "Silence", *["quick"] * 5).generations]
        for generation_id in ids:
            assert wait_for_end(alice, generation_id).state == "completed"
    assert rung == [5], "the rings were lost here"


def test_a_full_worker_leaves_the_rest_in_the_queue(alice: Principal, ask: Ask, unhurried: str, pace: Pace) -> None:
    pace(4)
    with celery_worker(WORKER_SLOTS="2"):
        ids = [lane.generation_id for lane in ask(alice, "Crowd", *[unhurried] * 4).generations]

        def running() -> list[UUID]:
            return [one for one in ids if selectors.standing(alice, one)[0] is GenerationState.RUNNING]

        eventually(lambda: len(running()) == 2)
        first = running()
        time.sleep(1.2)  # longer than the poll's second
        assert running() == first
        pace(0)
        for generation_id in first:
            services.cancel(alice, generation_id)
        ends = {generation_id: wait_for_end(alice, generation_id).state for generation_id in ids}
    assert ends == {one: "cancelled" if one in first else "completed" for one in ids}
