"""A run that is interrupted before its first step is told so all the same, and its slot comes back."""

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from apps.conversations import selectors
from apps.conversations.contracts import GenerationState
from apps.conversations.generation.claim import Claimed, claim
from apps.conversations.generation.pipeline import Run
from apps.conversations.generation.ports import Limits
from apps.conversations.generation.runtime import Options, WorkerRuntime
from apps.tenants.contracts import Principal
from tests.conversations.conftest import Ask
from tests.product import eventually

SLOTS = 2


@pytest.fixture
def runtime() -> Iterator[WorkerRuntime]:
    """A worker's loop without its duties' hunger: what runs here was launched by the test."""
    options = Options(slots=SLOTS, drain_seconds=0.1, limits=Limits(5, 5, 5, 100_000))
    runtime = WorkerRuntime(options, ring=lambda count: None)
    runtime.stopping.set()
    runtime.start()
    eventually(lambda: runtime.lease.fresh)
    yield runtime
    runtime.drain()


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
