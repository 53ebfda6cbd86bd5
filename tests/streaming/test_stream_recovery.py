"""Redis forgets: scripts, the last second, a log, everything. The writer sends again, readers see no difference."""

import asyncio
import os
import signal
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from apps.streaming.entries import LogEntry, log_key
from apps.streaming.ids import EventId
from apps.streaming.reader import Subscription
from tests.streaming.observed import MakeReader, MakeWriter, eventually, ids, stored_ids, stored_text, take, text
from tests.streaming.server import RedisServer

END = {"state": "completed"}


async def test_forgotten_scripts_are_loaded_again(own_redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    handle = await make_writer(own_redis).open(generation_id, 1, {})
    await own_redis.script_flush()
    handle.text("token.delta", "still here")
    await handle.flushed()
    assert await stored_text(own_redis, generation_id) == "still here"


async def test_a_lost_tail_is_sent_again(own_redis: Redis, make_writer: MakeWriter) -> None:
    """As after a kill with an append-only file that misses its last second."""
    generation_id = uuid4()
    key = log_key(generation_id)
    handle = await make_writer(own_redis, verify_after_seconds=60).open(generation_id, 1, {})
    handle.text("token.delta", "a")
    await handle.flushed()
    earlier = await own_redis.dump(key) or b""
    for letter in "bcd":
        handle.text("token.delta", letter)
        await handle.flushed()
    await own_redis.restore(key, 0, earlier, replace=True)
    assert await stored_ids(own_redis, generation_id) == ["1-0", "1-1"]
    with capture_logs() as logs:
        handle.text("token.delta", "e")
        await handle.flushed()
    assert [line["cause"] for line in logs if line["event"] == "log.resent"] == ["GAP"]
    assert await stored_ids(own_redis, generation_id) == [f"1-{seq}" for seq in range(6)]
    assert await stored_text(own_redis, generation_id) == "abcde"


async def test_a_lost_log_is_opened_and_filled_again(own_redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    handle = await make_writer(own_redis, verify_after_seconds=60).open(generation_id, 3, {"model": "m"})
    for letter in "abc":
        handle.text("token.delta", letter)
        await handle.flushed()
    await own_redis.flushall()
    with capture_logs() as logs:
        handle.text("token.delta", "d")
        await handle.flushed()
    assert [line["cause"] for line in logs if line["event"] == "log.resent"] == ["NOLOG"]
    assert await stored_ids(own_redis, generation_id) == ["3-0", "3-1", "3-2", "3-3", "3-4"]
    assert await stored_text(own_redis, generation_id) == "abcd"


async def test_a_silent_writer_notices_the_loss_by_itself(own_redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    handle = await make_writer(own_redis, verify_after_seconds=0.1).open(generation_id, 1, {})
    handle.text("token.delta", "thinking")
    await handle.flushed()
    await own_redis.flushall()

    async def refilled() -> bool:
        return await stored_ids(own_redis, generation_id) == ["1-0", "1-1"]

    await eventually(refilled)


async def test_a_lost_log_is_not_opened_again_without_a_lease(own_redis: Redis, make_writer: MakeWriter) -> None:
    allowed = True
    generation_id = uuid4()
    handle = await make_writer(own_redis, lambda: allowed, verify_after_seconds=0.05).open(generation_id, 1, {})
    allowed = False
    await own_redis.flushall()
    handle.text("token.delta", "x")
    await asyncio.sleep(0.3)
    assert await own_redis.dbsize() == 0
    allowed = True
    await handle.flushed()
    assert await stored_ids(own_redis, generation_id) == ["1-0", "1-1"]


async def test_a_redis_that_is_full_is_asked_again_later(own_redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    handle = await make_writer(own_redis).open(generation_id, 1, {})
    await own_redis.config_set("maxmemory", 1)
    handle.text("token.delta", "patience")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await handle.flushed()
    await own_redis.config_set("maxmemory", 0)
    await handle.flushed()
    assert await stored_text(own_redis, generation_id) == "patience"


async def test_an_answer_may_begin_while_redis_is_away(
    own_server: RedisServer, own_redis: Redis, make_writer: MakeWriter
) -> None:
    generation_id = uuid4()
    own_server.kill()
    handle = await make_writer(own_redis, open_wait_seconds=0.1).open(generation_id, 1, {})
    handle.text("token.delta", "from memory")
    await asyncio.to_thread(own_server.start_again)
    await handle.flushed()
    assert await stored_text(own_redis, generation_id) == "from memory"


class Following:
    """Readers that collect one generation until its end."""

    def __init__(self, subscriptions: list[Subscription]) -> None:
        self.entries: list[list[LogEntry]] = [[] for _ in subscriptions]
        self._tasks = [
            asyncio.create_task(self._collect(subscription, entries))
            for subscription, entries in zip(subscriptions, self.entries, strict=True)
        ]

    async def _collect(self, subscription: Subscription, entries: list[LogEntry]) -> None:
        async for entry in subscription:
            entries.append(entry)
            if entry.type == "message.completed":
                return

    async def end(self) -> None:
        async with asyncio.timeout(10):
            await asyncio.gather(*self._tasks)


@pytest.mark.parametrize("fault", ["flush", "kill"])
async def test_readers_see_one_exact_log_whatever_redis_loses(
    fault: str, own_server: RedisServer, own_redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    writer, reader = make_writer(own_redis, verify_after_seconds=0.2), make_reader(own_redis)
    generation_ids = [uuid4() for _ in range(10)]
    handles = [await writer.open(generation_id, 1, {}) for generation_id in generation_ids]
    following = [
        Following([reader.subscribe(generation_id, None) for _ in range(3)]) for generation_id in generation_ids
    ]
    for step in range(120):
        for number, handle in enumerate(handles):
            handle.text("token.delta", f"{number}.{step} ")
        if step == 40 and fault == "flush":
            await own_redis.flushall()
        if step == 40 and fault == "kill":
            own_server.kill()
        if step == 60 and fault == "kill":
            await asyncio.to_thread(own_server.start_again)
        await asyncio.sleep(0.01)
    await asyncio.gather(*(handle.close("message.completed", END, 60) for handle in handles))
    for number, (handle, readers) in enumerate(zip(handles, following, strict=True)):
        await readers.end()
        expected = [f"1-{seq}" for seq in range(handle.last_id.seq + 1)]
        for entries in readers.entries:
            assert ids(entries) == expected
            assert text(entries) == "".join(f"{number}.{step} " for step in range(120))


async def test_commands_that_a_stopped_redis_runs_late_and_repeatedly_change_nothing(
    own_server: RedisServer, own_redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    """Each attempt leaves its commands in a socket of a stopped server, which runs them all when it goes on."""
    generation_id = uuid4()
    handle = await make_writer(own_redis, reply_timeout_seconds=0.1).open(generation_id, 1, {})
    following = Following([make_reader(own_redis).subscribe(generation_id, None)])
    os.kill(own_server.process.pid, signal.SIGSTOP)
    try:
        for step in range(50):
            handle.text("token.delta", f"{step} ")
            await asyncio.sleep(0.02)
    finally:
        os.kill(own_server.process.pid, signal.SIGCONT)
    await handle.close("message.completed", END, 60)
    await following.end()
    expected = [f"1-{seq}" for seq in range(handle.last_id.seq + 1)]
    assert await stored_ids(own_redis, generation_id) == expected
    assert ids(following.entries[0]) == expected
    assert text(following.entries[0]) == "".join(f"{step} " for step in range(50))


async def test_a_reader_that_is_ahead_of_a_shrunken_log_waits_for_what_is_new(
    own_redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    generation_id = uuid4()
    key = log_key(generation_id)
    handle = await make_writer(own_redis, verify_after_seconds=60).open(generation_id, 1, {})
    ahead = make_reader(own_redis).subscribe(generation_id, None)
    await take(ahead, 1)
    opened_only = await own_redis.dump(key) or b""
    for letter in "abc":
        handle.text("token.delta", letter)
        await handle.flushed()
    assert ids(await take(ahead, 3)) == ["1-1", "1-2", "1-3"]
    await own_redis.restore(key, 0, opened_only, replace=True)
    newcomer = make_reader(own_redis).subscribe(generation_id, None)
    sharing = make_reader(own_redis)
    first, second = sharing.subscribe(generation_id, EventId(1, 3)), sharing.subscribe(generation_id, None)
    assert ids(await take(second, 1)) == ["1-0"]
    assert await first.next(0.1) is None
    handle.text("token.delta", "d")
    await handle.flushed()
    assert ids(await take(ahead, 1)) == ["1-4"]
    assert ids(await take(first, 1)) == ["1-4"]
    assert ids(await take(second, 4)) == ["1-1", "1-2", "1-3", "1-4"]
    assert text(await take(newcomer, 5)) == "abcd"
