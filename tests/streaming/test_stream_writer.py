"""Appending: order, coalescing, bounds, fencing, pausing and closing."""

import asyncio
import time
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from apps.streaming.entries import log_key
from apps.streaming.errors import Fenced, LogClosed, LogOverflow
from apps.streaming.ids import EventId
from tests.streaming.observed import MakeWriter, eventually, stored, stored_ids, stored_text

END = {"state": "completed"}


async def test_what_is_appended_stands_in_the_log_in_order(redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis).open(generation_id, 2, {"model": "m"})
    assert await stored(redis, generation_id) == [("2-0", "message.started", {"model": "m"})]
    handle.text("reasoning.delta", "hm")
    handle.append("tool.call.started", {"call_id": "1", "name": "clock"})
    handle.append("tool.call.completed", b'{"call_id":"1"}')
    handle.text("token.delta", "Noon – 12h")
    assert handle.last_id == EventId(2, 4)
    await handle.flushed()
    assert (await stored(redis, generation_id))[1:] == [
        ("2-1", "reasoning.delta", {"text": "hm"}),
        ("2-2", "tool.call.started", {"call_id": "1", "name": "clock"}),
        ("2-3", "tool.call.completed", {"call_id": "1"}),
        ("2-4", "token.delta", {"text": "Noon – 12h"}),
    ]


async def test_text_that_waits_becomes_one_entry_per_type(redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis).open(generation_id, 1, {})
    for type, text in [("reasoning.delta", "a"), ("reasoning.delta", "b"), ("token.delta", "c"), ("token.delta", "d")]:
        handle.text(type, text)
    handle.text("token.delta", "")
    await handle.flushed()
    handle.text("token.delta", "e")
    await handle.flushed()
    assert (await stored(redis, generation_id))[1:] == [
        ("1-1", "reasoning.delta", {"text": "ab"}),
        ("1-2", "token.delta", {"text": "cd"}),
        ("1-3", "token.delta", {"text": "e"}),
    ]


async def test_next_id_names_the_terminal_entry(redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis).open(generation_id, 1, {})
    handle.text("token.delta", "waiting")
    expected = handle.next_id()
    await handle.close("message.completed", END, 60)
    assert (await stored(redis, generation_id))[-1] == (str(expected), "message.completed", END)
    assert handle.last_id == expected


async def test_long_texts_are_split(redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis, max_entry_bytes=100).open(generation_id, 1, {})
    texts = ["x" * 250, "é" * 130, "short", "y" * 99]
    for text in texts:
        handle.text("token.delta", text)
    await handle.flushed()
    pieces = [body["text"] for _, _, body in (await stored(redis, generation_id))[1:]]
    assert "".join(pieces) == "".join(texts)
    assert max(len(piece.encode()) for piece in pieces) <= 100


async def test_a_generation_may_not_outgrow_its_memory_but_can_be_closed(redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis, max_bytes=1_000).open(generation_id, 1, {})
    handle.text("token.delta", "x" * 900)
    with pytest.raises(LogOverflow):
        handle.text("token.delta", "y" * 100)
    with pytest.raises(LogOverflow):
        handle.append("tool.call.started", {"call_id": "z" * 100})
    await handle.close("message.completed", END, 60)
    assert [type for _, type, _ in await stored(redis, generation_id)] == [
        "message.started",
        "token.delta",
        "message.completed",
    ]
    assert await stored_text(redis, generation_id) == "x" * 900


async def test_text_that_json_cannot_hold_is_refused_at_once(redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis).open(generation_id, 1, {})
    with pytest.raises(UnicodeEncodeError):
        handle.text("token.delta", "\ud800")
    handle.text("token.delta", "fine")
    await handle.flushed()
    assert await stored_text(redis, generation_id) == "fine"


async def test_an_answer_longer_than_one_flush_arrives_whole(redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis, max_entry_bytes=65_536).open(generation_id, 1, {})
    for number in range(40):
        handle.text("token.delta", chr(97 + number % 26) * 65_536)
    await handle.close("message.completed", END, 60)
    assert await stored_ids(redis, generation_id) == [f"1-{seq}" for seq in range(42)]
    assert await redis.ttl(log_key(generation_id)) <= 60


async def test_a_lower_fence_cannot_open(redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    await make_writer(redis).open(generation_id, 2, {})
    with pytest.raises(Fenced):
        await make_writer(redis).open(generation_id, 1, {})
    assert await stored_ids(redis, generation_id) == ["2-0"]


async def test_whoever_is_overtaken_learns_it_and_writes_nothing_more(redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    old = await make_writer(redis).open(generation_id, 1, {})
    new = await make_writer(redis).open(generation_id, 2, {})
    old.text("token.delta", "late")
    with pytest.raises(Fenced):
        await old.flushed()
    assert old.fenced.is_set()
    with pytest.raises(Fenced):
        old.text("token.delta", "later")
    with pytest.raises(Fenced):
        await old.close("message.completed", END, 60)
    new.text("token.delta", "mine")
    await new.flushed()
    assert await stored_ids(redis, generation_id) == ["1-0", "2-0", "2-1"]


async def test_a_silent_writer_that_is_overtaken_learns_it_too(redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    old = await make_writer(redis, verify_after_seconds=0.05).open(generation_id, 1, {})
    await make_writer(redis).open(generation_id, 2, {})
    async with asyncio.timeout(3):
        await old.fenced.wait()


async def test_nothing_is_sent_while_appending_is_not_allowed(redis: Redis, make_writer: MakeWriter) -> None:
    allowed = True
    generation_id, other_id = uuid4(), uuid4()
    writer = make_writer(redis, lambda: allowed, verify_after_seconds=0.05, open_wait_seconds=0.1)
    handle = await writer.open(generation_id, 1, {})
    allowed = False
    handle.text("token.delta", "held ")
    handle.text("token.delta", "back")
    other = await writer.open(other_id, 1, {})
    await asyncio.sleep(0.3)
    assert await stored_ids(redis, generation_id) == ["1-0"]
    assert await stored_ids(redis, other_id) == []
    allowed = True
    await handle.flushed()
    await other.flushed()
    assert await stored_text(redis, generation_id) == "held back"
    assert await stored_ids(redis, other_id) == ["1-0"]


async def test_closing_appends_the_end_sets_the_expiry_and_ends_the_handle(
    redis: Redis, make_writer: MakeWriter
) -> None:
    generation_id = uuid4()
    handle = await make_writer(redis).open(generation_id, 1, {})
    await handle.close("message.completed", END, 60)
    assert 0 < await redis.ttl(log_key(generation_id)) <= 60
    with pytest.raises(LogClosed):
        handle.text("token.delta", "more")
    with pytest.raises(LogClosed):
        await handle.close("message.completed", END, 60)
    await handle.flushed()
    assert await stored_ids(redis, generation_id) == ["1-0", "1-1"]


async def test_closing_while_others_flush_and_append_loses_nothing(redis: Redis, make_writer: MakeWriter) -> None:
    writer = make_writer(redis, flush_interval_seconds=0.001)
    generation_ids = [uuid4() for _ in range(20)]

    async def answer(number: int) -> None:
        handle = await writer.open(generation_ids[number], 1, {})
        flushes = []
        for step in range(50):
            handle.text("token.delta", f"{number}.{step} ")
            if step % 7 == number % 7:
                flushes.append(asyncio.create_task(handle.flushed()))
                await asyncio.sleep(0)
        await asyncio.gather(handle.close("message.completed", END, 60), *flushes)

    await asyncio.gather(*map(answer, range(20)))
    for number, generation_id in enumerate(generation_ids):
        entries = await stored(redis, generation_id)
        assert [id for id, _, _ in entries] == [f"1-{seq}" for seq in range(len(entries))]
        assert [type for _, type, _ in entries].count("message.completed") == 1
        assert entries[-1][1] == "message.completed"
        assert await stored_text(redis, generation_id) == "".join(f"{number}.{step} " for step in range(50))


async def test_a_close_whose_caller_left_is_still_sent(redis: Redis, make_writer: MakeWriter) -> None:
    allowed = True
    generation_id = uuid4()
    handle = await make_writer(redis, lambda: allowed).open(generation_id, 1, {})
    allowed = False
    closing = asyncio.create_task(handle.close("message.completed", END, 60))
    await asyncio.sleep(0.05)
    closing.cancel()
    allowed = True
    await eventually(lambda: _has(redis, generation_id, "1-1"))


async def test_a_discarded_log_sends_nothing_more_and_tells_who_waits(redis: Redis, make_writer: MakeWriter) -> None:
    allowed = True
    generation_id = uuid4()
    writer = make_writer(redis, lambda: allowed)
    handle = await writer.open(generation_id, 1, {})
    allowed = False
    handle.text("token.delta", "never")
    waiting = asyncio.create_task(handle.flushed())
    await asyncio.sleep(0.05)
    writer.discard(handle)
    with pytest.raises(LogClosed):
        await waiting
    with pytest.raises(LogClosed):
        handle.text("token.delta", "never")
    allowed = True
    other = await writer.open(uuid4(), 1, {})
    await other.flushed()
    assert await stored_ids(redis, generation_id) == ["1-0"]


async def test_the_first_token_after_a_quiet_moment_does_not_wait_for_the_interval(
    redis: Redis, make_writer: MakeWriter
) -> None:
    handle = await make_writer(redis, flush_interval_seconds=2.0, verify_after_seconds=60).open(uuid4(), 1, {})
    await asyncio.sleep(2.1)
    began = time.monotonic()
    handle.text("token.delta", "at once")
    await handle.flushed()
    assert time.monotonic() - began < 1


async def test_leaving_sends_what_waits(redis: Redis, make_writer: MakeWriter) -> None:
    generation_id = uuid4()
    writer = make_writer(redis)
    handle = await writer.open(generation_id, 1, {})
    handle.text("token.delta", "last words")
    await writer.aclose()
    assert await stored_text(redis, generation_id) == "last words"
    with pytest.raises(LogClosed):
        handle.text("token.delta", "too late")
    with pytest.raises(LogClosed):
        await writer.open(uuid4(), 1, {})


async def _has(redis: Redis, generation_id: object, id: str) -> bool:
    return id in await stored_ids(redis, generation_id)  # type: ignore[arg-type]
