"""The append script: every answer it gives, and what it leaves behind."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from apps.streaming.connection import HeldConnection
from apps.streaming.entries import log_key
from apps.streaming.script import KEEP_OPEN, LOAD, AppendCommand, Result, Status, pack_entry
from tests.streaming.observed import stored, stored_ids

ABANDON_SECONDS = 1_000


class Log:
    """Speaks the script's wire for one generation."""

    def __init__(self, connection: HeldConnection, generation_id: UUID) -> None:
        self._connection = connection
        self.generation_id = generation_id

    async def append(self, fence: int, first_seq: int, *texts: str, close_ttl_seconds: int = KEEP_OPEN) -> Result:
        command = AppendCommand(log_key(self.generation_id), fence, ABANDON_SECONDS)
        entries = [pack_entry(b"token.delta", b'{"text":"%s"}' % text.encode()) for text in texts]
        packed = command.pack(first_seq, entries, len(entries), close_ttl_seconds)
        (reply,) = await self._connection.exchange([packed], 1, 5)
        return Result.parse(reply)

    async def open(self, fence: int) -> Result:
        return await self.append(fence, 0, "start")


@pytest.fixture
async def log(redis: Redis, stack: Any) -> Log:
    connection = HeldConnection(redis)
    await connection.connect()
    stack.push_async_callback(connection.disconnect)
    await connection.exchange([LOAD], 1, 5)
    return Log(connection, uuid4())


async def test_open_writes_the_start_entry_under_the_fence(log: Log, redis: Redis) -> None:
    assert await log.open(3) == Result(Status.OK, 0)
    assert await stored(redis, log.generation_id) == [("3-0", "token.delta", {"text": "start"})]


async def test_open_is_idempotent_for_the_same_fence(log: Log, redis: Redis) -> None:
    await log.open(1)
    await log.append(1, 1, "a")
    assert await log.open(1) == Result(Status.OK, 1)
    assert await stored_ids(redis, log.generation_id) == ["1-0", "1-1"]


async def test_a_higher_fence_continues_the_same_log_from_its_own_start(log: Log, redis: Redis) -> None:
    await log.open(1)
    await log.append(1, 1, "a", "b")
    assert await log.open(2) == Result(Status.OK, 0)
    assert await log.append(2, 1, "c") == Result(Status.OK, 1)
    assert await stored_ids(redis, log.generation_id) == ["1-0", "1-1", "1-2", "2-0", "2-1"]


async def test_a_lower_fence_can_neither_open_nor_append(log: Log, redis: Redis) -> None:
    await log.open(5)
    assert await log.open(4) == Result(Status.FENCED, 5)
    assert await log.append(4, 1, "late") == Result(Status.FENCED, 5)
    assert await stored_ids(redis, log.generation_id) == ["5-0"]


async def test_entries_already_held_are_skipped_and_keep_their_bodies(log: Log, redis: Redis) -> None:
    await log.open(1)
    await log.append(1, 1, "a", "b")
    assert await log.append(1, 1, "other", "other", "c") == Result(Status.OK, 3)
    bodies = [body["text"] for _, _, body in await stored(redis, log.generation_id)]
    assert bodies == ["start", "a", "b", "c"]


async def test_a_hole_is_refused_with_what_is_held(log: Log, redis: Redis) -> None:
    await log.open(1)
    await log.append(1, 1, "a")
    assert await log.append(1, 3, "c") == Result(Status.GAP, 1)
    assert await stored_ids(redis, log.generation_id) == ["1-0", "1-1"]


async def test_a_missing_log_is_not_begun_by_an_append(log: Log, redis: Redis) -> None:
    assert await log.append(1, 1, "a") == Result(Status.NOLOG, 0)
    assert await redis.exists(log_key(log.generation_id)) == 0


async def test_a_log_of_a_lower_fence_must_be_opened_first(log: Log, redis: Redis) -> None:
    await log.open(1)
    assert await log.append(2, 1, "a") == Result(Status.NOLOG, 0)
    assert await stored_ids(redis, log.generation_id) == ["1-0"]


async def test_without_entries_it_only_answers_what_is_held(log: Log, redis: Redis) -> None:
    assert await log.append(1, 1) == Result(Status.NOLOG, 0)
    await log.open(1)
    assert await log.append(1, 1) == Result(Status.OK, 0)
    assert await log.append(1, 7) == Result(Status.GAP, 0)
    assert await stored_ids(redis, log.generation_id) == ["1-0"]


async def test_an_open_log_outlives_its_last_append_by_the_abandon_time(log: Log, redis: Redis) -> None:
    key = log_key(log.generation_id)
    await log.open(1)
    assert ABANDON_SECONDS <= await redis.ttl(key) <= 2 * ABANDON_SECONDS
    await redis.expire(key, ABANDON_SECONDS - 10)
    await log.append(1, 1, "a")
    assert await redis.ttl(key) >= ABANDON_SECONDS


async def test_closing_sets_the_expiry_and_a_late_repetition_does_not_lift_it(log: Log, redis: Redis) -> None:
    key = log_key(log.generation_id)
    await log.open(1)
    assert await log.append(1, 1, "end", close_ttl_seconds=60) == Result(Status.OK, 1)
    assert 0 < await redis.ttl(key) <= 60
    assert await log.append(1, 0, "start", "end") == Result(Status.OK, 1)
    assert 0 < await redis.ttl(key) <= 60


async def test_long_fences_and_seqs_keep_their_digits(log: Log, redis: Redis) -> None:
    fence = 999_999_999_999_999
    await log.open(fence)
    assert await log.append(fence, 1, "a") == Result(Status.OK, 1)
    assert await stored_ids(redis, log.generation_id) == [f"{fence}-0", f"{fence}-1"]
