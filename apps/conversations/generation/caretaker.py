"""A worker's standing duties: claim what no ring announced, take work from the dead, obey cancels."""

import asyncio
import threading
import time
from collections.abc import Callable
from uuid import UUID

import structlog
from django.db import transaction
from redis.asyncio import Redis

from apps.billing import services as billing
from apps.conversations.contracts import GenerationState
from apps.conversations.generation import hints
from apps.conversations.generation.attempts import write_off
from apps.conversations.generation.claim import queue_again, unheld
from apps.conversations.generation.reap import Moved, ending, reap
from apps.conversations.models import Generation
from apps.streaming import hints as streaming_hints
from apps.streaming.reader import read_text
from apps.tenants.scope import DATABASE_AWAY, database_step

POLL_SECONDS = 1.0
REAP_SECONDS = 0.5
# Long enough for a claim to reach the loop, short enough for a reader's patience.
UNHELD_SECONDS = 5.0
# After a longer silence of the database every worker's lease looks expired; first let them renew.
REAP_ONLY_AFTER_RECENT_TICK_SECONDS = 2.0
# A Redis that hangs costs a second for each text; the dead are not kept waiting for all of them.
SAVE_TEXTS_SECONDS = 2.0

log = structlog.get_logger(__name__)


def _note(duty: str, error: Exception) -> None:
    """A duty goes on whatever happens. An absent database is expected at times, anything else is a defect."""
    if isinstance(error, DATABASE_AWAY):
        log.warning("duty.failed", duty=duty, error=type(error).__name__)
    else:
        log.error("duty.failed", duty=duty, exc_info=error)


async def poll(claim_while_free: Callable[[], int], stopping: threading.Event) -> None:
    """Claim queued rows whose ring was lost, each second."""
    while not stopping.is_set():
        try:
            await database_step(claim_while_free)
        except Exception as error:
            _note("poll", error)
        await asyncio.sleep(POLL_SECONDS)


async def reap_forever(redis: Redis, ring: Callable[[int], None], stopping: threading.Event) -> None:
    """Take work from dead workers twice a second, unless the database has just been silent to us too."""
    last_success = -1e9
    telling: set[asyncio.Task[None]] = set()
    while not stopping.is_set():
        began = time.monotonic()
        try:
            if began - last_success < REAP_ONLY_AFTER_RECENT_TICK_SECONDS:
                # Telling may wait for Redis, and the dead of the next tick must not.
                task = asyncio.create_task(_tell(await _reap_once(redis), ring))
                telling.add(task)
                task.add_done_callback(telling.discard)
            else:
                await database_step(ending)  # only proves that the database answers
            last_success = time.monotonic()
        except Exception as error:
            _note("reap", error)
        await asyncio.sleep(REAP_SECONDS)


async def _reap_once(redis: Redis) -> list[Moved]:
    asked = time.monotonic()
    endings = await database_step(ending)
    answered = time.monotonic()
    if answered - asked > REAP_ONLY_AFTER_RECENT_TICK_SECONDS:
        return []  # the silence fell into this very tick, and the others have had no time to renew
    texts: dict[tuple[UUID, int], str] = {}
    for generation_id, fence in endings:
        if time.monotonic() - answered > SAVE_TEXTS_SECONDS:
            log.warning("reap.texts_left", count=len(endings) - len(texts))
            break
        texts[generation_id, fence] = await read_text(redis, generation_id, fence)
    moved = await database_step(reap, texts)
    for one in moved:
        log.info("generation.reaped", generation_id=str(one.generation_id), fence=one.fence, state=one.state.value)
    return moved


async def _tell(moved: list[Moved], ring: Callable[[int], None]) -> None:
    try:
        if queued := sum(one.state is GenerationState.QUEUED for one in moved):
            ring(queued)
        for one in moved:
            if one.state.terminal:
                # Redis alone: where it is away, database steps must not wait behind it.
                await asyncio.to_thread(billing.settle_counters, one.tenant_id, one.user_id, [one.generation_id], 0)
                await hints.answer_ended(one.tenant_id, one.user_id, one.conversation_id)
    except Exception as error:
        _note("tell", error)


async def obey_cancels(redis: Redis, cancel: Callable[[UUID], None]) -> None:
    """Close upstream calls as soon as a cancel is hinted."""
    async for generation_id in streaming_hints.listen_cancels(redis):
        cancel(generation_id)


async def recheck_cancels(running: Callable[[], list[UUID]], cancel: Callable[[UUID], None]) -> None:
    """The backstop for lost hints: ask the rows each second."""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        ids = running()
        if not ids:
            continue
        try:
            for generation_id in await database_step(_cancel_asked, ids):
                cancel(generation_id)
        except Exception as error:
            _note("cancel_poll", error)


async def recover_unheld(
    worker_id: Callable[[], UUID], held: Callable[[], list[UUID]], ring: Callable[[int], None]
) -> None:
    """Queue again what the rows say this worker has and it has not.

    A claim whose reply was lost leaves such a row, and so does a run that broke: the worker lives, so nobody reaps it.
    """
    while True:
        await asyncio.sleep(UNHELD_SECONDS)
        try:
            worker = worker_id()
            suspects = await database_step(unheld, worker, held(), UNHELD_SECONDS)
            # A claim on its way to the loop when the question was asked has arrived by now.
            arrived = set(held())
            lost = [one for one in suspects if one[0] not in arrived]
            if lost:
                ring(await database_step(_queue_again, worker, lost))
        except Exception as error:
            _note("recover_unheld", error)


def _queue_again(worker_id: UUID, lost: list[tuple[UUID, int]]) -> int:
    with transaction.atomic(using="engine"):
        queued = [generation_id for generation_id, fence in lost if queue_again(worker_id, generation_id, fence)]
        write_off(queued)
    for generation_id in queued:
        log.warning("generation.recovered", generation_id=str(generation_id))
    return len(queued)


def _cancel_asked(generation_ids: list[UUID]) -> list[UUID]:
    rows = Generation.objects.using("engine").filter(
        id__in=generation_ids, state=GenerationState.RUNNING, cancel_at__isnull=False
    )
    return list(rows.values_list("id", flat=True))
