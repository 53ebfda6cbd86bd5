"""What tests look at: the log as it stands in Redis, and what a subscriber received."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import orjson
from redis.asyncio import Redis

from apps.streaming.entries import LogEntry, log_key
from apps.streaming.reader import Subscription

MakeWriter = Callable[..., Any]
MakeReader = Callable[..., Any]


async def stored(redis: Redis, generation_id: UUID) -> list[tuple[str, str, Any]]:
    """Every entry of the log as (id, type, parsed body)."""
    raw: Any = await redis.xrange(log_key(generation_id))
    return [(id.decode(), fields[b"t"].decode(), orjson.loads(fields[b"d"])) for id, fields in raw]


async def stored_ids(redis: Redis, generation_id: UUID) -> list[str]:
    return [id for id, _, _ in await stored(redis, generation_id)]


async def stored_text(redis: Redis, generation_id: UUID) -> str:
    return "".join(body["text"] for _, type, body in await stored(redis, generation_id) if type == "token.delta")


async def take(subscription: Subscription, number: int) -> list[LogEntry]:
    """Exactly this many entries; fails when they do not come within five seconds each."""
    entries: list[LogEntry] = []
    for _ in range(number):
        entry = await subscription.next(5)
        assert entry is not None, f"only {len(entries)} of {number} entries came"
        entries.append(entry)
    return entries


def ids(entries: Iterable[LogEntry]) -> list[str]:
    return [str(entry.id) for entry in entries]


def text(entries: Iterable[LogEntry]) -> str:
    return "".join(orjson.loads(entry.body)["text"] for entry in entries if entry.type == "token.delta")


async def eventually(condition: Callable[[], Any], seconds: float = 5) -> None:
    """Wait until the condition (a plain or an async callable) holds."""
    async with asyncio.timeout(seconds):
        while True:
            outcome = condition()
            if await outcome if asyncio.iscoroutine(outcome) else outcome:
                return
            await asyncio.sleep(0.01)
