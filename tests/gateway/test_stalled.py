"""Callers that stop reading: their calls end as if they had hung up."""

import asyncio
from typing import Any

import pytest

from apps.routing.edge.gateway import http, keyed
from apps.routing.edge.gateway.coding import Compressed
from apps.routing.edge.gateway.http import Response

PIECE = b"data: x\n\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "KEEPALIVE_SECONDS", 0.02)
    monkeypatch.setattr(http, "STALLED_SECONDS", 0.05)
    monkeypatch.setattr(http, "SOONEST_SECONDS", 0.01)


class Stalled:
    """Takes some messages, and no more."""

    def __init__(self, takes: int) -> None:
        self.taken: list[dict[str, Any]] = []
        self._takes = takes

    async def send(self, message: Any) -> None:
        if len(self.taken) == self._takes:
            await asyncio.Event().wait()
        self.taken.append(message)


async def _given_up(response: Response, telling: Any) -> bool:
    try:
        async with asyncio.timeout(2):
            await telling
    except asyncio.CancelledError:
        return response.is_given_up()
    finally:
        response.stop()
    return False


@pytest.mark.parametrize("kind", [Response, Compressed])
async def test_whoever_reads_no_more_of_a_stream_is_given_up(kind: type[Response]) -> None:
    response = kind(Stalled(3).send)

    async def tell() -> None:
        await response.start(200, {}, b": \n\n")
        while True:
            await response.write(PIECE)

    assert await _given_up(response, tell())


async def test_whoever_reads_no_end_is_given_up() -> None:
    response = Response(Stalled(1).send)

    async def tell() -> None:
        await response.start(200, {}, b": \n\n")
        await response.end(PIECE)

    assert await _given_up(response, tell())


async def test_whoever_reads_no_large_answer_is_given_up() -> None:
    response = Response(Stalled(1).send)
    assert await _given_up(response, response.whole(200, {}, bytes(100_000)))


async def test_a_slow_provider_is_nobodys_stall() -> None:
    wire = Stalled(-1)
    response = Response(wire.send)
    await response.start(200, {}, b": \n\n")
    await response.write(PIECE)
    await asyncio.sleep(0.2)
    await response.end(PIECE)
    bodies = [message["body"] for message in wire.taken[1:]]
    assert bodies[0] == bodies[-1] == PIECE and 2 <= bodies.count(b": \n\n") <= 12


async def test_a_server_that_stops_is_heard_all_the_same() -> None:
    response = Response(Stalled(1).send)
    await response.start(200, {}, b": \n\n")
    task = asyncio.create_task(response.write(PIECE))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not response.is_given_up()
    response.stop()


async def test_a_call_with_a_key_goes_on_when_its_caller_reads_no_more() -> None:
    class Held:
        said = b""

        def begin(self, head: bytes) -> None: ...

        def add(self, piece: bytes) -> None:
            self.said += piece

        async def keep(self) -> None:
            self.said += b"."

    held: Any = Held()
    recording = keyed.Recording(Response(Stalled(2).send), held)
    async with asyncio.timeout(2):
        await recording.start(200, {}, b": \n\n")
        for _ in range(4):
            await recording.write(PIECE)
        await recording.end(PIECE)
    assert held.said == 5 * PIECE + b"." and not recording.heard
