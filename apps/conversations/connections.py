"""This app's connections to the durable Redis. Retries are the callers' business: they know what may run twice."""

from functools import cache

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_SECONDS = 2.0


def event_loop_redis() -> redis.asyncio.Redis:
    """A client for one event loop; its maker keeps it."""
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=TIMEOUT_SECONDS, retry=AsyncRetry(NoBackoff(), 0)
    )


@cache
def blocking_redis() -> redis.Redis:
    """The client that all threads of this process share."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
