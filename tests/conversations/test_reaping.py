"""The reaper's tick: not after a silence of the database, and not held up by a Redis that hangs."""

import asyncio
import threading
import time
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from apps.billing import services as billing
from apps.conversations.connections import event_loop_redis
from apps.conversations.contracts import GenerationState
from apps.conversations.generation import caretaker
from apps.conversations.generation.reap import Moved, ending
from tests.conversations.conftest import workers


async def until(true: Callable[[], bool], within_seconds: float) -> bool:
    ends_at = time.monotonic() + within_seconds
    while not true() and time.monotonic() < ends_at:
        await asyncio.sleep(0.01)
    return true()


async def tick() -> list[Moved]:
    return await caretaker._reap_once(event_loop_redis())


def test_who_heard_nothing_for_long_buries_nobody(
    new_worker: Callable[..., UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    expired = new_worker(-1.0)
    found = ending
    monkeypatch.setattr(caretaker, "REAP_ONLY_AFTER_RECENT_TICK_SECONDS", 0.2)

    def silent() -> list[tuple[UUID, int]]:
        time.sleep(0.3)
        return found()

    monkeypatch.setattr(caretaker, "ending", silent)
    assert asyncio.run(tick()) == []
    assert workers() == [expired]
    monkeypatch.setattr(caretaker, "ending", found)
    asyncio.run(tick())
    assert workers() == []


async def test_texts_are_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[UUID] = []
    saved: list[dict[tuple[UUID, int], str]] = []

    async def hangs(redis: object, generation_id: UUID, fence: int) -> str:
        asked.append(generation_id)
        await asyncio.sleep(0.1)
        return ""

    def take(texts: dict[tuple[UUID, int], str]) -> list[Moved]:
        saved.append(texts)
        return []

    monkeypatch.setattr(caretaker, "ending", lambda: [(uuid4(), 1) for _ in range(50)])
    monkeypatch.setattr(caretaker, "read_text", hangs)
    monkeypatch.setattr(caretaker, "SAVE_TEXTS_SECONDS", 0.25)
    monkeypatch.setattr(caretaker, "reap", take)
    await tick()
    assert len(asked) == len(saved[0]) == 3


async def test_the_next_tick_does_not_wait_until_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: list[float] = []
    moved = Moved(uuid4(), uuid4(), uuid4(), uuid4(), uuid4(), 1, GenerationState.FAILED)
    told = threading.Event()

    def take(texts: object) -> list[Moved]:
        ticks.append(time.monotonic())
        return [moved]

    monkeypatch.setattr(caretaker, "REAP_SECONDS", 0.02)
    monkeypatch.setattr(caretaker, "reap", take)
    monkeypatch.setattr(billing, "settle_counters", lambda *args: told.wait(5))
    stopping = threading.Event()
    duty = asyncio.create_task(caretaker.reap_forever(event_loop_redis(), lambda count: None, stopping))
    try:
        assert await until(lambda: len(ticks) >= 3, within_seconds=2)
    finally:
        stopping.set()
        told.set()
        await duty
