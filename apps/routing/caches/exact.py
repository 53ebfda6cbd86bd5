"""Answers to the very same call, for a short while, on the cache's Redis. One that is away or slow is a miss."""

import asyncio
from collections.abc import Iterator
from functools import cache
from uuid import UUID

import redis
import structlog
from django.conf import settings
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from apps.routing.caches.entry import Entry
from apps.routing.loop_clients import LoopClients

# An answer must not wait for what was to save it time.
DEADLINE_SECONDS = 0.05
_KEEP_SECONDS = 1.0
_SCANNED = 500

log = structlog.get_logger(__name__)


def _made() -> Redis:
    client: Redis = Redis.from_url(settings.REDIS_CACHE_URL, protocol=2, retry=Retry(NoBackoff(), 0))
    return client


_clients = LoopClients(_made)


def name_of(tenant_id: UUID, digest: bytes) -> str:
    """The entry's key. The tenant in it is a wall of its own beside the digest, and what clearing goes by."""
    return f"{settings.REDIS_PREFIX}{{t:{tenant_id}}}:cached:{digest.hex()}"


async def look_up(tenant_id: UUID, digest: bytes) -> Entry | None:
    """The stored answer, if there is one within the deadline."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            found = await (await _clients.here()).get(name_of(tenant_id, digest))
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("cache.away", error=type(error).__name__)
        return None
    return None if found is None else Entry.from_json(found)


async def keep(tenant_id: UUID, digest: bytes, entry: Entry, ttl_seconds: int) -> None:
    """Store an answer, or do without."""
    try:
        async with asyncio.timeout(_KEEP_SECONDS):
            await (await _clients.here()).set(name_of(tenant_id, digest), entry.to_json(), ex=ttl_seconds)
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("cache.not_kept", error=type(error).__name__)


def forget(tenant_id: UUID | None, *, model: str | None = None, kept_before: float | None = None) -> int:
    """Remove the entries of one tenant, or of all; only those answered by `model`, or kept before that Unix second.

    Returns how many. Raises `RedisError` where the server is away.
    """
    server = _blocking()
    removed = 0
    for names in _names(server, tenant_id):
        if model is not None or kept_before is not None:
            names = [
                name
                for name, document in zip(names, server.mget(names), strict=True)
                if document is not None and _meant(Entry.from_json(document), model, kept_before)
            ]
        if names:
            removed += int(server.unlink(*names))
    return removed


def _meant(entry: Entry | None, model: str | None, kept_before: float | None) -> bool:
    if entry is None:
        return True
    return (model is None or entry.model == model) and (kept_before is None or entry.kept_at < kept_before)


def _names(server: "redis.Redis", tenant_id: UUID | None) -> Iterator[list[bytes | str]]:
    pattern = f"{settings.REDIS_PREFIX}{{t:{tenant_id or '*'}}}:cached:*"
    cursor = 0
    while True:
        cursor, names = server.scan(cursor, match=pattern, count=_SCANNED)
        if names:
            yield names
        if not cursor:
            return


@cache
def _blocking() -> "redis.Redis":
    server: redis.Redis = redis.Redis.from_url(settings.REDIS_CACHE_URL, protocol=2, socket_timeout=10)
    return server
