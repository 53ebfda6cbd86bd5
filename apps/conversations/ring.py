"""Waking workers. Best effort: the queued row is the truth, and every worker polls for rings it did not hear."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog
from celery import current_app
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

WAKE = "conversations.wake"

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


def _publish(count: int) -> None:
    for _ in range(count):
        try:
            current_app.send_task(WAKE, ignore_result=True)
        except (KombuError, RedisError, OSError) as error:
            log.warning("ring.failed", error=type(error).__name__)
            return
