"""This process's blocking client of the admission scripts, and its patience after Redis was lost."""

import time
from functools import cache

from django.conf import settings

from apps.limits.client import Limits
from apps.limits.contracts import Memory

# Whoever has stateless calls looks twice in this time whether Redis still remembers them, and registers them again.
REGISTERED_AGAIN_SECONDS = 1.0

_first_seen: str | None = None


@cache
def limits() -> Limits:
    return Limits(settings.REDIS_URL, prefix=settings.REDIS_PREFIX)


def seen(memory: Memory) -> bool:
    """Whether Redis has lost everything since this process looked first."""
    global _first_seen
    if _first_seen is None:
        _first_seen = memory.since
    return _first_seen != memory.since


def wait_for_others() -> None:
    """Where Redis has lost everything a moment ago: wait until every process has said again what it holds there.

    A process that never saw it before the loss does not wait: the whole installation may be new.
    """
    memory = limits().remembers()
    if seen(memory):
        time.sleep(max(0.0, REGISTERED_AGAIN_SECONDS - memory.seconds))
