"""This app's connections to the durable Redis."""

from functools import cache

import redis
import redis.asyncio
from django.conf import settings

from apps.streaming import connect, connect_blocking


def event_loop_redis() -> redis.asyncio.Redis:
    """A client for one event loop; its maker keeps it."""
    return connect(settings.REDIS_URL)


@cache
def blocking_redis() -> redis.Redis:
    """The client that all threads of this process share."""
    return connect_blocking(settings.REDIS_URL)
