"""Answers in a test's own process: by a worker's loop, or written down without one."""

from uuid import UUID

from apps.billing import services as billing
from apps.conversations.contracts import TurnAccepted
from apps.conversations.generation.claim import claim
from apps.conversations.generation.pipeline import Run
from apps.conversations.generation.runtime import WorkerRuntime
from apps.conversations.models import Generation, Message
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.product import eventually


def launch_next(runtime: WorkerRuntime) -> UUID:
    """Let the worker answer what is queued next; its id."""
    assert runtime._slots.acquire(blocking=False)
    claimed = claim(runtime.lease.worker_id)
    assert claimed is not None
    runtime.loop.call_soon_threadsafe(runtime._launch, Run(claimed))
    return claimed.generation_id


def ended(principal: Principal, generation_id: UUID) -> Generation:
    """The generation, once it is final."""

    def final() -> Generation | None:
        with tenant_scope(principal.tenant_id):
            return Generation.objects.exclude(state__in=["queued", "running"]).filter(id=generation_id).first()

    found = eventually(final)
    assert isinstance(found, Generation)
    return found


def answer_next(runtime: WorkerRuntime, principal: Principal, expected: UUID) -> Generation:
    """Let the worker answer what is queued next, which must be this, to its end."""
    assert launch_next(runtime) == expected
    return ended(principal, expected)


def finish_as(principal: Principal, turn: TurnAccepted, text: str) -> None:
    """Answer every lane of the turn with this text, without a worker and without a model."""
    with tenant_scope(principal.tenant_id):
        for lane in turn.generations:
            Generation.objects.filter(id=lane.generation_id).update(state="completed", finished_at="2026-01-01T00:00Z")
            Message.objects.filter(id=lane.message_id).update(status="completed", text=text)
            billing.settle_reservations([lane.generation_id], using="default")
