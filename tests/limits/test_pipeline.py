"""One connection for all: commands travel together, replies find their callers, and nothing waits for ever."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis import Redis
from redis.exceptions import ResponseError

from apps.limits.async_client import AsyncLimits
from apps.limits.contracts import Call, ScopeLimits
from apps.limits.errors import LimitsUnavailable
from apps.limits.pipeline import Pipeline
from tests.limits.records import TENANT


@pytest_asyncio.fixture
async def pipeline(redis_url: str) -> AsyncIterator[Pipeline]:
    made = Pipeline(redis_url, timeout_seconds=1.0)
    yield made
    await made.aclose()


async def test_what_is_asked_together_travels_together(pipeline: Pipeline, redis: Redis) -> None:
    await pipeline.send("PING")
    before = redis.info("stats")["total_reads_processed"]  # type: ignore[index]
    replies = await asyncio.gather(*(pipeline.send("ECHO", str(number)) for number in range(100)))
    assert replies == [str(number).encode() for number in range(100)]
    reads = redis.info("stats")["total_reads_processed"] - before  # type: ignore[index]
    assert reads <= 3  # one of a hundred commands, and those that ask for the figure


async def test_each_caller_has_its_own_reply_or_error(pipeline: Pipeline) -> None:
    asked = (("ECHO", "a"), ("NO_SUCH_COMMAND",), ("ECHO", "b"))
    replies = await asyncio.gather(*(pipeline.send(*one) for one in asked), return_exceptions=True)
    assert (replies[0], replies[2]) == (b"a", b"b") and isinstance(replies[1], ResponseError)


async def test_who_gives_up_takes_nobodys_reply(pipeline: Pipeline) -> None:
    first = asyncio.create_task(pipeline.send("ECHO", "a"))
    second = asyncio.create_task(pipeline.send("ECHO", "b"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"b"


async def test_silence_ends_after_the_deadline(redis_url: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1)
            await asyncio.sleep(10)
        finally:
            writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = AsyncLimits(f"redis://127.0.0.1:{port}/0", timeout_seconds=0.2)
    began = time.monotonic()
    call = [Call("a", 1)]
    asked = [limits.admit("t", [ScopeLimits(TENANT)], call, lease_seconds=5) for _ in range(3)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(one, LimitsUnavailable) for one in outcomes)
    assert 0.15 < time.monotonic() - began < 1.0
    await limits.aclose()
    server.close()


async def test_a_broken_connection_fails_what_waits_and_the_next_call_has_a_new_one(
    pipeline: Pipeline, redis: Redis
) -> None:
    name = "broken-pipeline"
    await pipeline.send("CLIENT", "SETNAME", name)
    waiting = asyncio.create_task(pipeline.send("BLPOP", "nothing-here", "0"))
    await asyncio.sleep(0.01)
    (mine,) = (one for one in redis.client_list() if one["name"] == name)
    redis.client_kill_filter(_id=mine["id"])
    with pytest.raises(LimitsUnavailable):
        await waiting
    assert await pipeline.send("ECHO", "again") == b"again"


async def test_a_closed_one_asks_nothing_more(redis_url: str) -> None:
    pipeline = Pipeline(redis_url, timeout_seconds=1.0)
    await pipeline.send("PING")
    await pipeline.aclose()
    with pytest.raises(LimitsUnavailable):
        await pipeline.send("PING")
