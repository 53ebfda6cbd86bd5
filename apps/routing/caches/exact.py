"""Answers to the very same call, for a short while, on the cache's Redis. One that is away or slow is a miss."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
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

# An answer must not wait for what was to save it time.
DEADLINE_SECONDS = 0.05
_KEEP_SECONDS = 1.0
_SCANNED = 500

_Keeper = AsyncGenerator[Redis, None]
_open: dict[asyncio.AbstractEventLoop, tuple[Redis, _Keeper]] = {}

log = structlog.get_logger(__name__)


def name_of(tenant_id: UUID, digest: bytes) -> str:
    """The entry's key. The tenant in it is a wall of its own beside the digest, and what clearing goes by."""
    return f"{settings.REDIS_PREFIX}{{t:{tenant_id}}}:cached:{digest.hex()}"


async def look_up(tenant_id: UUID, digest: bytes) -> Entry | None:
    """The stored answer, if there is one within the deadline."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            found = await (await _client()).get(name_of(tenant_id, digest))
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("cache.away", error=type(error).__name__)
        return None
    return None if found is None else Entry.from_json(found)


async def keep(tenant_id: UUID, digest: bytes, entry: Entry, ttl_seconds: int) -> None:
    """Store an answer, or do without."""
    try:
        async with asyncio.timeout(_KEEP_SECONDS):
            await (await _client()).set(name_of(tenant_id, digest), entry.to_json(), ex=ttl_seconds)
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


async def _client() -> Redis:
    """The running loop's client. A loop that shuts down closes the async generators it has seen, so it ends with it."""
    loop = asyncio.get_running_loop()
    if known := _open.get(loop):
        return known[0]
    keeper = _keep(loop)
    client = await anext(keeper)
    _open[loop] = client, keeper
    return client


async def _keep(loop: asyncio.AbstractEventLoop) -> _Keeper:
    client: Redis = Redis.from_url(settings.REDIS_CACHE_URL, protocol=2, retry=Retry(NoBackoff(), 0))
    try:
        yield client
    finally:
        _open.pop(loop, None)
        await client.aclose()
