"""A cap on tokens per second: what comes, comes no faster, in all processes together; and nobody else waits."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from uuid import uuid4

import pytest
from django.conf import settings

from apps.routing import durable, pacing, selectors
from apps.routing.contracts import Catalogue, Chunk, Finished, ReasoningDelta, TextDelta, Usage
from apps.routing.errors import StreamCut
from apps.routing.pacing import Pace
from tests.routing.cached_plan import CANDIDATE

TENANT = uuid4()


def capped(monkeypatch: pytest.MonkeyPatch, rate: int | None) -> None:
    class Known:
        catalogue = Catalogue(TENANT, {}, max_tokens_per_second=rate)
        expires_at = time.monotonic() + 60

    monkeypatch.setitem(selectors._snapshots, TENANT, Known())  # type: ignore[arg-type]
    monkeypatch.setattr(pacing, "BURST_SECONDS", 0.1)
    monkeypatch.setattr(pacing, "_paces", type(pacing._paces)())


async def answer(chunks: Sequence[Chunk | Exception], closed: list[bool] | None = None) -> AsyncGenerator[Chunk, None]:
    try:
        for chunk in chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk
    finally:
        if closed is not None:
            closed.append(True)


def of_tokens(count: int, deltas: int = 0) -> list[Chunk]:
    texts: list[Chunk] = [TextDelta("word ") for _ in range(deltas or count)]
    return [*texts, Finished("stop", Usage(5, count), uuid4(), CANDIDATE)]


async def told(chunks: Sequence[Chunk]) -> tuple[list[Chunk], float]:
    began = time.monotonic()
    heard = [chunk async for chunk in pacing.stream(TENANT, 0.0, answer(chunks))]
    return heard, time.monotonic() - began


async def test_one_answer_keeps_to_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    capped(monkeypatch, 200)
    chunks = of_tokens(120)
    heard, seconds = await told(chunks)
    assert heard == chunks
    assert 0.5 - 0.06 <= seconds < 3  # 0.6 s of tokens, of which a tenth may be told at once


async def test_answers_and_processes_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two paces of one tenant are two processes: Redis alone knows of both."""
    capped(monkeypatch, 200)
    paces = [Pace(TENANT, 200) for _ in range(2)]
    began = time.monotonic()

    async def tell(pace: Pace) -> None:
        for _ in range(40):
            await pace.take(1.0)

    await asyncio.gather(*(tell(pace) for pace in paces for _ in range(2)))
    assert 0.7 - 0.2 <= time.monotonic() - began < 3


async def test_an_answer_in_one_piece_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    capped(monkeypatch, 200)
    (_, first), (_, second) = await told(of_tokens(100, 1)), await told(of_tokens(100, 1))
    assert 0.4 - 0.03 <= first < 3 and 0.5 - 0.03 <= second < 3


async def test_thoughts_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a provider counts as thoughts is part of what it counts as output."""
    capped(monkeypatch, 1_000_000)
    taken: list[float] = []

    async def take(pace: Pace, tokens: float) -> None:
        taken.append(tokens)

    monkeypatch.setattr(Pace, "take", take)
    texts: list[Chunk] = [ReasoningDelta("hmm "), TextDelta("word ")]
    await told([*texts, Finished("stop", Usage(5, 120, reasoning_tokens=90), uuid4(), CANDIDATE)])
    assert sum(taken) == 120


@pytest.mark.parametrize("rate", [None, 1_000_000])
async def test_without_a_cap_or_below_it_nobody_waits(rate: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    capped(monkeypatch, rate)
    heard, seconds = await told(of_tokens(400))
    assert len(heard) == 401 and seconds < 2.0


async def test_without_redis_a_process_keeps_to_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    capped(monkeypatch, 200)
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(durable._clients, "_open", {})
    _, seconds = await told(of_tokens(120))
    assert 0.5 - 0.06 <= seconds < 3


async def test_failures_and_departures_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    capped(monkeypatch, 1_000)
    closed: list[bool] = []
    heard = []
    with pytest.raises(StreamCut):
        async for chunk in pacing.stream(TENANT, 0.0, answer([TextDelta("a"), StreamCut("cut")], closed)):
            heard.append(chunk)
    assert (heard, closed) == ([TextDelta("a")], [True])
    capped(monkeypatch, 1)
    async with aclosing(pacing.stream(TENANT, 0.0, answer(of_tokens(9_000), closed))) as chunks:
        await anext(chunks)
    assert closed == [True, True]
