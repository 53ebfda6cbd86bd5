"""Hints: something happened, go and look. They may be lost; nothing depends on one that is.

Hints to people go through the channel layer; cancel hints to workers go over Redis' publish and subscribe.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Mapping
from itertools import count
from uuid import UUID

import structlog
from channels.layers import get_channel_layer
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from apps.streaming.connection import BackOff

HINT_TIMEOUT_SECONDS = 1.0
_PING_AFTER_SECONDS = 5.0
_CANCELS = "cancels:"
_EVERY_WORKER = "every-worker"

log = structlog.get_logger(__name__)


class _Tally:
    """Counts from any thread."""

    def __init__(self) -> None:
        self._steps = count(1)
        self.total = 0

    def add(self) -> None:
        self.total = next(self._steps)


_lost = _Tally()


def lost() -> int:
    """How many hints this process could not send."""
    return _lost.total


def person(tenant_id: UUID, user_id: UUID) -> str:
    """The group of one person's devices within one tenant."""
    return f"person.{tenant_id.hex}.{user_id.hex}"


async def ahint(group: str, payload: Mapping[str, object]) -> None:
    """Send `{"type": "hint", "payload": payload}` to a group. Failures are counted and logged, never raised.

    Returns after `HINT_TIMEOUT_SECONDS` at the latest.
    """
    await _send(group, {"type": "hint", "payload": dict(payload)})


def hint(group: str, payload: Mapping[str, object]) -> None:
    """The same from synchronous code. Hands over to a thread of its own and does not wait."""
    _hand_over(group, {"type": "hint", "payload": dict(payload)})


def recheck(group: str) -> None:
    """Tell a group's open connections, from synchronous code, that a right of theirs has ended: `{"type": "recheck"}`.

    They ask every few seconds in any case.
    """
    _hand_over(group, {"type": "recheck"})


def _hand_over(group: str, message: dict[str, object]) -> None:
    try:
        asyncio.run_coroutine_threadsafe(_send(group, message), _background.loop())
    except Exception as error:
        _count_lost(error)


async def _send(group: str, message: dict[str, object]) -> None:
    try:
        async with asyncio.timeout(HINT_TIMEOUT_SECONDS):
            layer = get_channel_layer()
            if layer is None:
                raise RuntimeError("no channel layer is configured")
            await layer.group_send(group, message)
    except Exception as error:
        # Whatever it is, what was hinted at has happened already; the caller has nothing to undo.
        _count_lost(error)


def _count_lost(error: Exception) -> None:
    _lost.add()
    log.warning("hint.lost", error=type(error).__name__)


class _Background:
    """One event loop per process for synchronous callers, so that the channel layer keeps one connection for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process_id = 0

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            # Threads do not survive a fork.
            if self._loop is None or self._process_id != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._process_id = os.getpid()
                threading.Thread(target=self._loop.run_forever, name="hints", daemon=True).start()
            return self._loop


_background = _Background()


def publish_cancel(redis: BlockingRedis, worker_id: UUID | None, generation_id: UUID) -> None:
    """Tell a worker that one of its generations is to stop. None: the worker is not known, so all are told.

    Failures are counted and logged, never raised: workers also ask the database each second.
    """
    try:
        redis.publish(_channel(worker_id), str(generation_id))
    except (RedisError, OSError) as error:
        _count_lost(error)


async def apublish_cancel(redis: Redis, worker_id: UUID | None, generation_id: UUID) -> None:
    """`publish_cancel` for event loops."""
    try:
        async with asyncio.timeout(HINT_TIMEOUT_SECONDS):
            await redis.publish(_channel(worker_id), str(generation_id))
    except (RedisError, OSError, TimeoutError) as error:
        _count_lost(error)


async def listen_cancels(redis: Redis, worker_id: UUID | None = None) -> AsyncIterator[UUID]:
    """Ids of generations to stop, for one worker or (None) for every worker. Reconnects by itself and never ends."""
    back_off = BackOff()
    while True:
        pubsub = redis.pubsub()
        try:
            if worker_id is None:
                await pubsub.psubscribe(f"{_CANCELS}*")
            else:
                await pubsub.subscribe(_channel(worker_id), _channel(None))
            async for generation_id in _heard(pubsub):
                back_off.reset()
                yield generation_id
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("cancels.unheard", error=type(error).__name__)
        finally:
            await _drop(pubsub)
        await back_off.wait()


async def _heard(pubsub: PubSub) -> AsyncIterator[UUID]:
    """What comes in; ends when the other side stays silent even to a ping, as after a lost route."""
    pinged = False
    while True:
        message = await pubsub.get_message(timeout=_PING_AFTER_SECONDS)
        if message is None:
            if pinged:
                return
            await pubsub.ping()
            pinged = True
            continue
        pinged = False
        if message["type"] in ("message", "pmessage"):
            data = message["data"]
            try:
                yield UUID(data if isinstance(data, str) else data.decode())
            except ValueError:
                log.warning("cancels.unreadable", length=len(data))


async def _drop(pubsub: PubSub) -> None:
    try:
        await pubsub.aclose()  # type: ignore[no-untyped-call]
    except (RedisError, OSError):
        log.debug("cancels.close_failed")


def _channel(worker_id: UUID | None) -> str:
    return f"{_CANCELS}{_EVERY_WORKER if worker_id is None else worker_id}"
