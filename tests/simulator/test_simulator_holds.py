"""An answer that is held waits where it was told to, until it is let go."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from tests.simulator.client import Client

HELD = "bench+ttft=0+tps=0+tokens=40+hold=10"


async def held_at(simulator: Client, attempt: str, tokens: int) -> None:
    """Wait until so many tokens are out, and see that no more follow."""
    async with asyncio.timeout(10):
        while not (lines := await simulator.lines(attempt)) or lines[0]["tokens_sent"] < tokens:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.15)
    (line,) = await simulator.lines(attempt)
    assert (line["tokens_sent"], line["ended_at"]) == (tokens, None)


async def test_it_waits_goes_a_little_further_and_ends(simulator: Client) -> None:
    attempt = str(uuid4())
    reading = asyncio.create_task(simulator.stream(HELD, attempt=attempt))
    await held_at(simulator, attempt, 10)
    assert (await simulator.post("/control/release", {"model": "bench.*", "until": 25}))[0] == 201
    await held_at(simulator, attempt, 25)
    assert (await simulator.post("/control/release", {"model": "another"}))[0] == 201
    await held_at(simulator, attempt, 25)
    assert (await simulator.post("/control/release", {"model": "bench.*"}))[0] == 201
    assert (await reading).is_done
    assert (await simulator.stream(HELD)).is_done  # from now on too
    assert (await simulator.bill(attempt))["tokens_sent"] == 40


async def test_one_that_is_shorter_waits_before_its_end(simulator: Client) -> None:
    attempt = str(uuid4())
    reading = asyncio.create_task(simulator.stream("bench+ttft=0+tps=0+tokens=5+hold=10", attempt=attempt))
    await held_at(simulator, attempt, 5)
    await simulator.post("/control/release", {})
    assert (await reading).is_done


async def test_a_wrong_release_is_refused(simulator: Client) -> None:
    for body in ({"model": "("}, {"until": "soon"}):
        status, _, answer = await simulator.post("/control/release", body)
        assert status == 400
        assert answer["error"]["message"]
