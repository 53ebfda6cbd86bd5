"""Runs on a worker's loop: interrupted at once, taken away at their end, begun late."""

import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError

from apps.billing.models import Reservation
from apps.conversations import selectors, services
from apps.conversations.contracts import GenerationState
from apps.conversations.generation import caretaker, pipeline
from apps.conversations.generation.claim import Claimed, claim
from apps.conversations.generation.pipeline import Run
from apps.conversations.generation.prompt import load
from apps.conversations.generation.runtime import WorkerRuntime, give_back
from apps.conversations.models import Message
from apps.routing.contracts import Chunk, Finished, Plan, TextDelta, Usage
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.answering import ended, launch_next
from tests.conversations.conftest import SLOTS, Ask
from tests.product import eventually


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caretaker, "UNHELD_SECONDS", 0.3)


def launch(runtime: WorkerRuntime, claimed: Claimed, interrupt: Callable[[Run], None]) -> None:
    """Launch and interrupt in one breath of the loop, so that the task has not begun by then."""

    def both() -> None:
        run = Run(claimed)
        runtime._launch(run)
        interrupt(run)

    assert runtime._slots.acquire(blocking=False)
    runtime.loop.call_soon_threadsafe(both)


def slots_free(runtime: WorkerRuntime) -> int:
    taken = 0
    while runtime._slots.acquire(blocking=False):
        taken += 1
    for _ in range(taken):
        runtime._slots.release()
    return taken


def test_a_cancel_at_once_is_the_end(runtime: WorkerRuntime, alice: Principal, ask: Ask) -> None:
    ask(alice, "What is a lease?", "slow")
    claimed = claim(runtime.lease.worker_id)
    assert claimed is not None
    launch(runtime, claimed, Run.cancel)
    eventually(lambda: selectors.standing(alice, claimed.generation_id)[0] is GenerationState.CANCELLED)
    eventually(lambda: slots_free(runtime) == SLOTS and not runtime.runs)


@pytest.mark.parametrize("of_another_worker", [True, False])
def test_an_abandoned_run_gives_its_slot_back(
    runtime: WorkerRuntime, alice: Principal, ask: Ask, new_worker: Callable[..., UUID], of_another_worker: bool
) -> None:
    ask(alice, "What is a lease?", "slow")
    claimed = claim(new_worker() if of_another_worker else runtime.lease.worker_id)
    assert claimed is not None
    launch(runtime, claimed, (lambda run: None) if of_another_worker else Run.abandon)
    eventually(lambda: slots_free(runtime) == SLOTS and not runtime.runs)
    assert selectors.standing(alice, claimed.generation_id)[0] is GenerationState.RUNNING


def test_a_run_that_is_taken_away_at_its_end_leaves_no_log_in_memory(
    runtime: WorkerRuntime, alice: Principal, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def absent(*args: object) -> None:
        tries.append(args)
        raise OperationalError("away")

    monkeypatch.setattr(pipeline, "finish", absent)
    ask(alice, "What is a lease?", "quick")
    claimed = claim(runtime.lease.worker_id)
    assert claimed is not None
    launch(runtime, claimed, lambda run: None)
    eventually(lambda: len(tries) > 1)
    assert len(runtime._ports.writer._handles) == 1
    runtime.loop.call_soon_threadsafe(runtime.runs[claimed.generation_id].abandon)
    eventually(lambda: slots_free(runtime) == SLOTS and not runtime.runs)
    assert not runtime._ports.writer._handles


def test_waiting_for_the_database_does_not_move_the_deadline(
    runtime: WorkerRuntime, alice: Principal, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def away_at_first(claimed: Claimed) -> object:
        tries.append(claimed)
        if len(tries) < 5:
            raise OperationalError("away")
        return load(claimed)

    monkeypatch.setattr(pipeline, "load", away_at_first)
    ask(alice, "What is a lease?", "slow")
    claimed = claim(runtime.lease.worker_id)
    assert claimed is not None
    launch(runtime, replace(claimed, ends_at=time.monotonic() + 0.5), lambda run: None)
    eventually(lambda: selectors.standing(alice, claimed.generation_id)[0].terminal, within_seconds=3)
    answer = selectors.answer(alice, claimed.generation_id)
    assert answer.state is GenerationState.FAILED
    assert answer.error_code in ("deadline_exceeded", "total_timeout")
    assert len(tries) == 5


def test_a_claim_whose_reply_was_lost_is_queued_again(
    impatient: None, runtime: WorkerRuntime, alice: Principal, ask: Ask
) -> None:
    ask(alice)
    claimed = claim(runtime.lease.worker_id)  # and nobody launches it
    assert claimed is not None
    eventually(lambda: selectors.standing(alice, claimed.generation_id)[0] is GenerationState.QUEUED)
    again = claim(runtime.lease.worker_id)
    assert again is not None
    assert (again.generation_id, again.fence, again.claims) == (claimed.generation_id, 2, 2)


def test_what_is_at_work_is_left_alone(impatient: None, runtime: WorkerRuntime, alice: Principal, ask: Ask) -> None:
    ask(alice, "What is a lease?", "slow")
    claimed = claim(runtime.lease.worker_id)
    assert claimed is not None
    launch(runtime, claimed, lambda run: None)
    time.sleep(1.5)
    assert selectors.standing(alice, claimed.generation_id) == (GenerationState.RUNNING, 1)


def test_a_stopped_answer_of_a_leaving_worker_keeps_its_text(
    alice: Principal, ask: Ask, new_worker: Callable[..., UUID]
) -> None:
    ask(alice)
    claimed = claim(new_worker())
    assert claimed is not None
    services.cancel(alice, claimed.generation_id)
    run = Run(claimed)
    run.answer.text += ["Half an ", "answer"]
    assert give_back([run]) == 0
    answer = selectors.answer(alice, claimed.generation_id)
    assert (answer.state, answer.text) == (GenerationState.CANCELLED, "Half an answer")
    with tenant_scope(alice.tenant_id):
        assert Message.objects.get(id=answer.message_id).status == "cancelled"
        assert Reservation.objects.get(id=claimed.generation_id).state == "settled"


def test_an_answer_that_the_database_refuses_ends_as_a_failed_one(
    runtime: WorkerRuntime, alice: Principal, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nonsense(plan: Plan, *_: object) -> AsyncGenerator[Chunk, None]:
        yield TextDelta("Some text.")
        yield Finished("x" * 1_000, Usage(1, 1), uuid4(), plan.candidates[0])

    monkeypatch.setattr(pipeline.routing, "stream", nonsense)
    ask(alice, "What is a lease?", "slow")
    row = ended(alice, launch_next(runtime))
    assert (row.state, row.error_code, row.finish_reason) == ("failed", "internal_error", None)
