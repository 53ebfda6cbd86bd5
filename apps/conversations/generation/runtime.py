"""The worker process: one event loop, one lease, a number of slots, and a way out that loses nothing.

Celery's threads only take a slot, claim a row and hand the coroutine over. The loop lives as long as the process,
because provider sessions, Redis connections and the log writer belong to it.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog
import uvloop
from django.conf import settings
from django.db import transaction
from redis.asyncio import Redis

from apps.billing import services as billing
from apps.conversations.connections import event_loop_redis
from apps.conversations.contracts import GenerationState
from apps.conversations.generation import caretaker, hints
from apps.conversations.generation.attempts import write_off
from apps.conversations.generation.claim import Claimed, claim, hand_back
from apps.conversations.generation.lease import Lease
from apps.conversations.generation.pipeline import Run, answer_generation
from apps.conversations.generation.ports import Limits, Ports
from apps.conversations.generation.reap import write_text
from apps.observability import metrics
from apps.routing import services as routing
from apps.streaming.writer import LogWriter
from apps.tenants.scope import database_step

_SLOT_POLL_SECONDS = 0.2
_HAND_BACK_SECONDS = 3.0
_START_SECONDS = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How much one worker process does at once, and how long it may take to leave."""

    slots: int
    drain_seconds: float
    limits: Limits
    queue: str = routing.DEFAULT_QUEUE

    @classmethod
    def from_settings(cls) -> "Options":
        return cls(
            slots=settings.WORKER_SLOTS,
            drain_seconds=settings.DRAIN_SECONDS,
            limits=Limits(
                connect_seconds=settings.CONNECT_TIMEOUT_SECONDS,
                first_token_seconds=settings.FIRST_TOKEN_TIMEOUT_SECONDS,
                gap_seconds=settings.GAP_TIMEOUT_SECONDS,
                answer_max_bytes=settings.ANSWER_MAX_BYTES,
            ),
            queue=settings.WORKER_QUEUE,
        )


class WorkerRuntime:
    """Everything a worker process shares. Built once, in `worker_init`; left through `drain`."""

    def __init__(self, options: Options, *, ring: Callable[[int], None]) -> None:
        self.options = options
        self.ring = ring
        self.stopping = threading.Event()
        self._slots = threading.BoundedSemaphore(options.slots)
        self.lease = Lease(name=f"{socket.gethostname()}:{threading.get_native_id()}", slots=options.slots,
                           on_reaped=self._on_reaped, queue=options.queue)  # fmt: skip
        self.runs: dict[UUID, Run] = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run_loop, name="generations", daemon=True)
        self.loop: asyncio.AbstractEventLoop
        self.redis: Redis
        self._ports: Ports
        self._duties: list[asyncio.Task[None]] = []

    # Called from Celery's threads.

    def start(self) -> None:
        if self.options.queue == routing.LITELLM_QUEUE:
            # Seconds in which nothing else of this process runs: before there is a lease to renew or a loop to stall.
            routing.load_litellm()
        self.lease.start()
        self._thread.start()
        if not self._ready.wait(timeout=_START_SECONDS):
            raise RuntimeError("the worker's event loop did not start")

    def claim_one(self) -> bool:
        """Take a slot, claim one generation and hand it to the loop; False where none is to be had.

        Waits while every slot is taken: a full worker leaves further rings to the others.
        """
        while not self._slots.acquire(timeout=_SLOT_POLL_SECONDS):
            if self.stopping.is_set():
                return False
        return self._claim_into_slot()

    def claim_while_free(self) -> int:
        """Claim as long as slots are free and rows are queued: the poll that stands in for lost rings."""
        claimed = 0
        while not self.stopping.is_set() and self._slots.acquire(blocking=False):
            if not self._claim_into_slot():
                break
            claimed += 1
        return claimed

    def _claim_into_slot(self) -> bool:
        """Claim with a slot in hand; the slot is given back unless a run now holds it."""
        run: Run | None = None
        try:
            if not self.stopping.is_set() and self.lease.fresh:
                claimed = claim(self.lease.worker_id, self.options.queue)
                if claimed is not None:
                    run = Run(claimed)
        finally:
            if run is None:
                self._slots.release()
        if run is None:
            return False
        _log_claim(run.claimed)
        self.loop.call_soon_threadsafe(self._launch, run)
        return True

    def drain(self) -> None:
        """Stop claiming, let running answers finish for a while, hand the rest back, and leave."""
        self.stopping.set()
        asyncio.run_coroutine_threadsafe(self._drain(), self.loop).result()
        self.lease.stop()
        routing.stop_sharing()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)

    # On the loop.

    def _run_loop(self) -> None:
        self.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._prepare())
        self._ready.set()
        self.loop.run_forever()

    async def _prepare(self) -> None:
        self.redis = event_loop_redis()
        writer = LogWriter(self.redis, may_append=lambda: self.lease.fresh)
        self._ports = Ports(
            writer=writer,
            lease_is_fresh=lambda: self.lease.fresh,
            announce=hints.answer_ended,
            limits=self.options.limits,
        )
        duties = (
            caretaker.poll(self.claim_while_free, self.stopping),
            caretaker.reap_forever(self.redis, self.ring, self.stopping),
            caretaker.obey_cancels(self.redis, self.cancel),
            caretaker.recheck_cancels(lambda: list(self.runs), self.cancel),
            caretaker.recover_unheld(lambda: self.lease.worker_id, lambda: list(self.runs), self.ring),
            routing.check_forever(),
            billing.drain_forever(self.stopping),
        )
        self._duties = [asyncio.create_task(duty) for duty in duties]

    def _launch(self, run: Run) -> None:
        run.task = asyncio.create_task(self._answer(run))
        self.runs[run.claimed.generation_id] = run
        metrics.generation_started()
        metrics.slots(len(self.runs), self.options.slots)
        if run.claimed.worker_id != self.lease.worker_id:
            run.abandon()

    async def _answer(self, run: Run) -> None:
        try:
            await answer_generation(run, self._ports)
        except asyncio.CancelledError:
            pass
        except Exception:
            # The row stays running, and is queued again as one that nobody holds.
            log.exception("generation.crashed", generation_id=str(run.claimed.generation_id))
        finally:
            if self.runs.get(run.claimed.generation_id) is run and not run.handing_back:
                del self.runs[run.claimed.generation_id]
            metrics.slots(len(self.runs), self.options.slots)
            self._slots.release()

    def _on_reaped(self, lost: UUID) -> None:
        """Called from the lease's thread: everything claimed under the lost identity belongs to others now."""

        def abandon_all() -> None:
            for run in list(self.runs.values()):
                if run.claimed.worker_id == lost:
                    run.abandon()

        self.loop.call_soon_threadsafe(abandon_all)

    def cancel(self, generation_id: UUID) -> None:
        run = self.runs.get(generation_id)
        if run is not None:
            run.cancel()

    async def _drain(self) -> None:
        until = time.monotonic() + self.options.drain_seconds
        while self.runs and time.monotonic() < until:
            await asyncio.sleep(0.05)
        leftover = [run for run in self.runs.values() if not run.finishing]
        for run in leftover:
            run.hand_back()
        await asyncio.wait(
            [run.task for run in self.runs.values() if run.task is not None] or [asyncio.create_task(asyncio.sleep(0))],
            timeout=_HAND_BACK_SECONDS,
        )
        if leftover:
            requeued = await database_step(give_back, leftover)
            log.info("worker.handed_back", count=requeued)
            self.ring(requeued)


def give_back(runs: list[Run]) -> int:
    """Return unfinished generations to the queue, with the ledger lines of the calls that were broken off."""
    by_worker: dict[UUID, list[UUID]] = {}
    for run in runs:
        by_worker.setdefault(run.claimed.worker_id, []).append(run.claimed.generation_id)
    requeued = 0
    texts = {run.claimed.generation_id: run.answer.whole_text for run in runs}
    with transaction.atomic(using="engine"):
        for worker_id, ids in by_worker.items():
            moved = hand_back(worker_id, ids)
            write_off([generation_id for generation_id, _ in moved])
            ended = [generation_id for generation_id, state in moved if state is not GenerationState.QUEUED]
            for generation_id in ended:
                write_text(generation_id, GenerationState.CANCELLED, texts[generation_id])
            billing.settle_reservations(ended, using="engine")
            requeued += len(moved) - len(ended)
    return requeued


def _log_claim(claimed: Claimed) -> None:
    log.info(
        "generation.claimed",
        generation_id=str(claimed.generation_id),
        tenant_id=str(claimed.tenant_id),
        worker_id=str(claimed.worker_id),
        fence=claimed.fence,
        claims=claimed.claims,
    )
