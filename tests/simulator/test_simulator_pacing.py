"""Speed: first token and rate are what was asked for, and many streams share one clock.

Lower bounds are tight, because nothing may come early; upper bounds leave room for a busy machine.
"""

from __future__ import annotations

import asyncio
import itertools
from uuid import uuid4

from tests.simulator.client import ASK, Client


async def test_rate_and_first_token(simulator: Client) -> None:
    reading = await simulator.stream("bench+ttft=100+tps=50+tokens=21+chunk=1")
    assert reading.first_token_seconds is not None
    assert 0.09 < reading.first_token_seconds < 0.4
    assert 0.48 < reading.total_seconds < 1.0  # 0.1 s, then 21 chunks 20 ms apart


async def test_chunk_size_sets_the_events_not_the_rate(simulator: Client) -> None:
    attempt = str(uuid4())
    reading = await simulator.stream("bench+tps=200+tokens=40+chunk=10", attempt=attempt)
    line = await simulator.bill(attempt)
    assert (line["chunks_sent"], line["tokens_sent"]) == (4, 40)
    assert 0.14 < reading.total_seconds < 0.6


async def test_a_whole_answer_takes_the_time_of_its_tokens(simulator: Client) -> None:
    attempt = str(uuid4())
    body = {"model": "bench+ttft=50+tps=100+tokens=15", "messages": ASK}
    await simulator.post("/v1/chat/completions", body, headers={"X-Switchboard-Attempt": attempt})
    line = await simulator.bill(attempt)
    assert 0.19 < line["first_byte_at"] - line["started_at"] < 0.7


async def test_streams_side_by_side_keep_their_pace(simulator: Client) -> None:
    readings = await asyncio.gather(*(simulator.stream(f"bench+tps=50+tokens={n}") for n in range(10, 40)))
    assert all(reading.is_done for reading in readings)
    for reading, tokens in zip(readings, range(10, 40), strict=True):
        assert reading.deltas == tokens
        assert -0.01 < reading.total_seconds - tokens / 50 < 0.7


async def test_a_reader_who_stops_reading_slows_only_itself(simulator: Client) -> None:
    body = {"model": "bench+tps=0+tokens=40000", "messages": ASK, "stream": True}
    headers = {"Authorization": "Bearer k"}
    async with simulator.session.post(f"{simulator.url}/v1/chat/completions", json=body, headers=headers) as response:
        await asyncio.sleep(0.3)
        others = await asyncio.gather(*(simulator.stream("bench+tps=0+tokens=20") for _ in range(20)))
        assert all(reading.is_done for reading in others)
        received = 0
        async for line in response.content:
            received += line.startswith(b"data: {")
    assert received == 40_000 + 2  # role and finish reason


def test_wheel_calls_in_order_of_time() -> None:
    from simulator.pacing import TICK_SECONDS, Wheel

    called: list[tuple[int, float]] = []

    async def run() -> float:
        loop = asyncio.get_running_loop()
        wheel, start = Wheel(loop), loop.time()
        for place in (5, 1, 3, 1):
            wheel.at(start + place * 0.02, lambda now, place=place: called.append((place, now)))  # type: ignore[misc]
        await asyncio.sleep(0.2)
        return start

    start = asyncio.run(run())
    assert [place for place, _ in called] == [1, 1, 3, 5]
    for (place, now), (_, later) in itertools.pairwise(called):
        assert now <= later
        assert 0 <= now - start - place * 0.02 + 0.001 < TICK_SECONDS + 0.05
