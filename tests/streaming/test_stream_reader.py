"""Replaying and following: exact for everybody, shared by all, bounded per reader."""

import asyncio
import random
import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from apps.streaming.entries import LogEntry, follows, log_key
from apps.streaming.errors import LogClosed, SlowReader
from apps.streaming.ids import EventId
from apps.streaming.reader import LogReader, Subscription, read_text
from apps.streaming.writer import LogWriter
from tests.streaming.observed import MakeReader, MakeWriter, eventually, ids, take, text

END = {"state": "completed"}


async def test_a_reader_gets_the_past_and_then_the_present(
    redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis).open(generation_id, 1, {"model": "m"})
    handle.text("token.delta", "past")
    await handle.flushed()
    subscription = make_reader(redis).subscribe(generation_id, None)
    start, past = await take(subscription, 2)
    assert start == LogEntry(1, 0, "message.started", b'{"model":"m"}')
    assert past.id == EventId(1, 1)
    assert await subscription.next(0.05) is None
    handle.text("token.delta", "present")
    assert text(await take(subscription, 1)) == "present"


async def test_a_position_replays_only_what_follows(
    redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis).open(generation_id, 1, {})
    for _ in range(400):
        handle.append("token.delta", b'{"text":"x"}')
    await handle.flushed()
    reader = make_reader(redis)
    after_7 = reader.subscribe(generation_id, EventId(1, 7))
    at_the_end = reader.subscribe(generation_id, EventId(1, 400))
    assert ids(await take(after_7, 393)) == [f"1-{seq}" for seq in range(8, 401)]
    assert await at_the_end.next(0.05) is None
    handle.text("token.delta", "y")
    assert ids(await take(after_7, 1)) == ids(await take(at_the_end, 1)) == ["1-401"]


async def test_a_log_that_does_not_exist_yet_is_waited_for(
    redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    generation_id = uuid4()
    subscription = make_reader(redis).subscribe(generation_id, None)
    assert await subscription.next(0.1) is None
    await make_writer(redis).open(generation_id, 1, {})
    assert ids(await take(subscription, 1)) == ["1-0"]


async def test_a_higher_fence_comes_with_its_start_entry(
    redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    generation_id = uuid4()
    first = await make_writer(redis).open(generation_id, 1, {})
    subscription = make_reader(redis).subscribe(generation_id, None)
    first.text("token.delta", "old")
    await first.flushed()
    second = await make_writer(redis).open(generation_id, 2, {"fence": 2})
    second.text("token.delta", "new")
    entries = await take(subscription, 4)
    assert ids(entries) == ["1-0", "1-1", "2-0", "2-1"]
    assert entries[2].type == "message.started"


async def test_following_ends_when_the_subscription_is_closed(
    redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    generation_id = uuid4()
    await make_writer(redis).open(generation_id, 1, {})
    subscription = make_reader(redis).subscribe(generation_id, None)
    seen = []

    async def follow() -> None:
        async for entry in subscription:
            seen.append(str(entry.id))

    following = asyncio.create_task(follow())
    await eventually(lambda: seen == ["1-0"])
    subscription.close()
    subscription.close()
    async with asyncio.timeout(1):
        await following
    with pytest.raises(LogClosed):
        await subscription.next(1)


async def test_a_newcomer_wakes_the_shared_read(redis: Redis, make_writer: MakeWriter, make_reader: MakeReader) -> None:
    """The read blocks for a second on quiet streams; without a wake-up a newcomer would wait for its end."""
    writer, reader = make_writer(redis), make_reader(redis)
    quiet = reader.subscribe(uuid4(), None)
    assert await quiet.next(0.1) is None
    delays = []
    for _ in range(5):
        generation_id = uuid4()
        handle = await writer.open(generation_id, 1, {})
        subscription = reader.subscribe(generation_id, None)
        await take(subscription, 1)
        handle.text("token.delta", "x")
        began = time.monotonic()
        await take(subscription, 1)
        delays.append(time.monotonic() - began)
    assert sorted(delays)[2] < 0.2


async def test_one_read_serves_all_readers_of_a_stream(
    redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis, verify_after_seconds=60).open(generation_id, 1, {})
    reader = make_reader(redis)
    subscriptions = [reader.subscribe(generation_id, None) for _ in range(50)]
    await asyncio.gather(*(take(subscription, 1) for subscription in subscriptions))
    before = (await redis.info("commandstats"))["cmdstat_xrange"]["calls"]
    handle.text("token.delta", "for all")
    received = await asyncio.gather(*(take(subscription, 1) for subscription in subscriptions))
    assert {text(entries) for entries in received} == {"for all"}
    assert (await redis.info("commandstats"))["cmdstat_xrange"]["calls"] == before


async def test_a_slow_reader_is_told_and_harms_nobody(
    redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis).open(generation_id, 1, {})
    reader = make_reader(redis, max_queue_bytes=20_000)
    slow, quick = reader.subscribe(generation_id, None), reader.subscribe(generation_id, None)
    await take(slow, 1)
    await take(quick, 1)
    for number in range(100):
        handle.append("token.delta", b'{"text":"%s"}' % (b"%03d" % number * 200))
        await handle.flushed()
        assert ids(await take(quick, 1)) == [f"1-{number + 1}"]
    with pytest.raises(SlowReader):
        await slow.next(1)
    again = reader.subscribe(generation_id, EventId(1, 0))
    assert ids(await take(again, 100)) == [f"1-{seq}" for seq in range(1, 101)]


async def test_a_long_replay_waits_for_its_reader(
    redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    """Far more than may be queued, taken slowly: the past is never a reason to be cut off."""
    generation_id = uuid4()
    handle = await make_writer(redis).open(generation_id, 1, {})
    for number in range(2_000):
        handle.append("token.delta", b'{"text":"%s"}' % (b"%04d" % number * 25))
    await handle.flushed()
    subscription = make_reader(redis, max_queue_bytes=40_000).subscribe(generation_id, None)
    most = 0
    for seq in range(2_001):
        entry = await subscription.next(5)
        assert entry is not None
        assert entry.seq == seq
        most = max(most, subscription._queued_bytes)
        if seq % 100 == 0:
            await asyncio.sleep(0.01)
    # The bound's half, plus one page of 128 entries.
    assert most <= 20_000 + 128 * (120 + 150)
    handle.text("token.delta", "live")
    assert text(await take(subscription, 1)) == "live"


async def test_a_hole_is_read_again_and_never_passed_on(redis: Redis, make_reader: MakeReader) -> None:
    """No writer leaves one; whoever reads must not depend on that."""
    generation_id = uuid4()
    key = log_key(generation_id)
    fields: Any = {"t": "token.delta", "d": '{"text":"x"}'}
    for id in ("1-0", "1-1", "1-3"):
        await redis.xadd(key, fields, id=id)
    subscription = make_reader(redis).subscribe(generation_id, None)
    began = time.monotonic()
    assert ids(await take(subscription, 2)) == ["1-0", "1-1"]
    assert time.monotonic() - began < 2
    assert await subscription.next(0.3) is None
    await redis.delete(key)
    for id in ("1-0", "1-1", "1-2", "1-3"):
        await redis.xadd(key, fields, id=id)
    assert ids(await take(subscription, 2)) == ["1-2", "1-3"]


def test_a_read_that_was_sent_with_a_later_position_is_not_for_us() -> None:
    """As when a reader leaves and returns while the read of its old subscription is under way."""
    subscription = Subscription(uuid4(), EventId(1, 10), 1_000, lambda _: None, lambda _: None)
    restart = LogEntry(2, 0, "message.started", b"{}")
    assert subscription.deliver([restart], (1, 80))
    assert subscription.cursor == (1, 10)
    missing = [LogEntry(1, seq, "token.delta", b"{}") for seq in range(9, 13)]
    assert subscription.deliver([*missing, restart], (1, 8))
    assert subscription.cursor == (2, 0)


@pytest.mark.parametrize(
    ("fence", "seq", "cursor", "expected"),
    [
        (1, 0, (0, 0), True),
        (1, 1, (0, 0), False),
        (1, 5, (1, 4), True),
        (1, 6, (1, 4), False),
        (1, 4, (1, 4), False),
        (3, 0, (1, 4), True),
        (2, 1, (1, 4), False),
        (1, 0, (2, 0), False),
    ],
)
def test_what_follows_what(fence: int, seq: int, cursor: tuple[int, int], expected: bool) -> None:
    assert follows(fence, seq, cursor) is expected


async def test_the_text_of_a_fence_can_be_salvaged(redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis).open(generation_id, 1, {})
    handle.text("token.delta", "first try")
    handle.append("message.restarted", {"reason": "provider", "keep": 0})
    handle.text("reasoning.delta", "hm")
    for number in range(300):
        handle.append("token.delta", b'{"text":"%d "}' % number)
    await handle.flushed()
    second = await make_writer(redis).open(generation_id, 2, {})
    second.text("token.delta", "another worker's")
    await second.flushed()
    assert await read_text(redis, generation_id, 1) == "".join(f"{number} " for number in range(300))
    assert await read_text(redis, generation_id, 2) == "another worker's"
    assert await read_text(redis, generation_id, 3) == ""


class Answers:
    """Twenty answers written with random pauses; readers come and go until they have seen the end."""

    SPAN_SECONDS = 2.5

    def __init__(self, writer: LogWriter, reader: LogReader, seed: int) -> None:
        self.writer, self.reader = writer, reader
        self.random = random.Random(seed)
        self.texts: dict[UUID, str] = {uuid4(): "" for _ in range(20)}
        self.last: dict[UUID, int] = {}
        self.rejoined = 0

    async def write(self, generation_id: UUID) -> None:
        handle = await self.writer.open(generation_id, 1, {})
        steps = 120
        for step in range(steps):
            piece = f"{step}·{self.random.randrange(1_000_000)} "
            self.texts[generation_id] += piece
            handle.text("token.delta", piece)
            await asyncio.sleep(self.random.expovariate(steps / self.SPAN_SECONDS))
        await handle.close("message.completed", END, 60)
        self.last[generation_id] = handle.last_id.seq

    async def read(self, generation_id: UUID) -> list[LogEntry]:
        entries: list[LogEntry] = []
        await asyncio.sleep(self.random.uniform(0, self.SPAN_SECONDS))
        while True:
            after = entries[-1].id if entries else None
            subscription = self.reader.subscribe(generation_id, after)
            leave_after = self.random.choice([0, 1, 3, 20, 1_000])
            for _ in range(leave_after):
                entry = await subscription.next(10)
                assert entry is not None, "the log went silent"
                entries.append(entry)
                if entry.type == "message.completed":
                    subscription.close()
                    return entries
            subscription.close()
            self.rejoined += 1
            # Often at once: the shared read that was sent for the old subscription is then still under way.
            await asyncio.sleep(self.random.choice([0, 0, 0.001, 0.01]))


@pytest.mark.parametrize("seed", [1, 2])
async def test_two_hundred_readers_that_come_and_go_all_read_the_same(
    seed: int, redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    answers = Answers(make_writer(redis), make_reader(redis), seed)
    generation_ids = list(answers.texts)
    writing = [asyncio.create_task(answers.write(generation_id)) for generation_id in generation_ids]
    with capture_logs() as logs:
        read = await asyncio.gather(*(answers.read(generation_ids[number % 20]) for number in range(200)))
    await asyncio.gather(*writing)
    assert [line["event"] for line in logs] == []
    assert answers.rejoined > 200
    for number, entries in enumerate(read):
        generation_id = generation_ids[number % 20]
        assert ids(entries) == [f"1-{seq}" for seq in range(answers.last[generation_id] + 1)]
        assert text(entries) == answers.texts[generation_id]


async def test_a_wait_ends_in_its_own_time_whatever_was_waited_for_before(
    redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis).open(generation_id, 1, {})
    subscription = make_reader(redis).subscribe(generation_id, None)
    await take(subscription, 1)
    for said, timeout_seconds in (("a", 30.0), ("b", 0.4), ("c", None)):
        handle.text("token.delta", said)
        entry = await subscription.next(timeout_seconds)
        assert entry is not None and entry.body == b'{"text":"%s"}' % said.encode()
    began = time.monotonic()
    assert await subscription.next(0.1) is None
    assert await subscription.next(0.6) is None
    assert 0.65 <= time.monotonic() - began < 5.0


async def test_readers_that_are_let_go_are_told_and_new_ones_may_come(
    redis: Redis, make_writer: MakeWriter, make_reader: MakeReader
) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis).open(generation_id, 1, {})
    reader = make_reader(redis)
    subscription = reader.subscribe(generation_id, None)
    await take(subscription, 1)
    waiting = asyncio.create_task(subscription.next())
    await asyncio.sleep(0)
    reader.let_go()
    with pytest.raises(LogClosed):
        await waiting
    handle.text("token.delta", "more")
    assert text((await take(reader.subscribe(generation_id, None), 2))[1:]) == "more"
