"""Waking workers. Best effort: the queued row is the truth, and every worker polls for rings it did not hear."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from celery import current_app
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from apps.routing.services import LITELLM_QUEUE

WAKE = "conversations.wake"
# Rings that nobody takes are not piled up for ever: a queue may have no worker.
RINGS_KEPT = 200

log = structlog.get_logger(__name__)

# Publishing takes a millisecond when the broker is well and a second when it is not: neither may hold a request.
_ringer = ThreadPoolExecutor(1, thread_name_prefix="ring")


def ring(count: int = 1, then: Callable[[], None] | None = None) -> None:
    """Wake workers for `count` queued generations, from a thread of its own; returns at once.

    `then` runs on that thread afterwards: what may wait until the workers are on their way.
    """
    _ringer.submit(_publish, count)
    if then is not None:
        _ringer.submit(then)


def in_background(step: Callable[[], None]) -> None:
    """Something for the broker that nobody waits for, from the same thread."""
    _ringer.submit(step)


def ring_litellm(count: int) -> None:
    """The same for workers with every adapter; they listen on a Celery queue of the same name as theirs."""
    _ringer.submit(_publish_to_litellm, count)


def _publish(count: int, queue: str | None = None) -> None:
    for _ in range(count):
        try:
            current_app.send_task(WAKE, ignore_result=True, queue=queue)
        except (KombuError, RedisError, OSError) as error:
            log.warning("ring.failed", error=type(error).__name__)
            return


def _publish_to_litellm(count: int) -> None:
    try:
        connections: Any = current_app.pool
        with connections.acquire(block=True) as connection:
            unheard = connection.default_channel.queue_declare(LITELLM_QUEUE).message_count
    except (KombuError, RedisError, OSError) as error:
        log.warning("ring.failed", error=type(error).__name__)
        return
    _publish(min(count, max(0, RINGS_KEPT - unheard)), LITELLM_QUEUE)
