"""Generations wait for workers that can follow their plan, and are found by those alone."""

import time
from collections.abc import Callable
from uuid import UUID

import pytest
from django.test.utils import override_settings

from apps.conversations import ring as ringing
from apps.conversations import services
from apps.conversations.generation import claim as claiming
from apps.conversations.generation.claim import claim
from apps.conversations.generation.reap import reap
from apps.conversations.models import Generation
from apps.routing import services as routing
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from chatproject.celery import app
from tests.conversations.conftest import Ask

NewWorker = Callable[..., UUID]


def _queued(principal: Principal, ask: Ask, queue: str, monkeypatch: pytest.MonkeyPatch) -> UUID:
    monkeypatch.setattr(routing, "queue_of", lambda plan: queue)
    return ask(principal).generations[0].generation_id


def test_a_plan_for_ordinary_workers_waits_where_it_always_did(alice: Principal, ask: Ask) -> None:
    generation_id = ask(alice).generations[0].generation_id
    with tenant_scope(alice.tenant_id):
        assert Generation.objects.get(id=generation_id).queue == "default"


def test_each_worker_takes_from_its_own_queue(
    alice: Principal, ask: Ask, new_worker: NewWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = new_worker()
    wide = _queued(alice, ask, "litellm", monkeypatch)
    monkeypatch.setattr(claiming, "QUEUE_PATIENCE_SECONDS", 0.0)
    assert claim(worker) is None, "however long it waits"
    plain = _queued(alice, ask, "default", monkeypatch)
    claimed = claim(worker, "litellm")
    assert claimed is not None and claimed.generation_id == wide
    assert claim(worker, "litellm") is None
    claimed = claim(worker)
    assert claimed is not None and claimed.generation_id == plain


def test_what_can_wait_in_either_goes_to_the_wide_worker_first_and_hangs_on_none(
    alice: Principal, ask: Ask, new_worker: NewWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = new_worker()
    first = _queued(alice, ask, "either", monkeypatch)
    assert claim(worker) is None
    claimed = claim(worker, "litellm")
    assert claimed is not None and claimed.generation_id == first
    second = _queued(alice, ask, "either", monkeypatch)
    assert claim(worker) is None
    monkeypatch.setattr(claiming, "QUEUE_PATIENCE_SECONDS", 0.0)
    claimed = claim(worker)
    assert claimed is not None and claimed.generation_id == second


def test_what_nobody_serves_ends_at_its_deadline(
    alice: Principal, ask: Ask, new_worker: NewWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_worker()
    with override_settings(GENERATION_DEADLINE_SECONDS=0.05):
        generation_id = _queued(alice, ask, "litellm", monkeypatch)
    time.sleep(0.06)
    reap({})
    with tenant_scope(alice.tenant_id):
        row = Generation.objects.get(id=generation_id)
    assert (row.state, row.error_code, row.error_retryable) == ("failed", "deadline_exceeded", True)
    assert "whether workers are running" in (row.error_message or "")


def test_rings_go_to_the_queue_and_are_not_piled_up_for_nobody(
    alice: Principal, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting() -> int:
        with app.pool.acquire(block=True) as connection:
            return int(connection.default_channel.queue_declare("litellm").message_count)

    def rung(count: int) -> bool:
        until = time.monotonic() + 5
        while time.monotonic() < until and waiting() != count:
            time.sleep(0.02)
        return waiting() == count

    with app.pool.acquire(block=True) as connection:
        connection.default_channel.queue_purge("litellm")
    plain: list[int] = []
    monkeypatch.setattr(services, "ring", lambda count, then=None: plain.append(count))
    _queued(alice, ask, "litellm", monkeypatch)
    assert rung(1)
    assert plain == [0]
    _queued(alice, ask, "either", monkeypatch)
    assert rung(2)
    ringing.ring_litellm(10 * ringing.RINGS_KEPT)
    assert rung(ringing.RINGS_KEPT)
    ringing.ring_litellm(5)
    time.sleep(0.1)
    assert waiting() == ringing.RINGS_KEPT
    with app.pool.acquire(block=True) as connection:
        connection.default_channel.queue_purge("litellm")
