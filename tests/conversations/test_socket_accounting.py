"""A web process counts its connections: no person takes all, and what breaks in the middle is counted out."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpRequest

from apps.conversations.edge import process as processes
from apps.conversations.edge import sse
from apps.conversations.edge.websocket import ChatConsumer
from apps.conversations.errors import TooManyStreams
from apps.tenants.contracts import Principal, Via


@pytest.fixture
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The shared parts belong to one event loop, and each test has its own."""
    monkeypatch.setattr(processes.WebProcess, "_wrap_signals", lambda self: None)
    monkeypatch.setattr(processes, "_process", None)
    yield
    processes._process = None


async def serve(*messages: dict[str, Any], fails_at: str | None) -> list[str]:
    """Run a socket over these messages; sending a message of the type `fails_at` finds the reader gone."""
    sent: list[str] = []
    left = list(messages)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])
        if message["type"] == fails_at:
            raise OSError("the reader is gone")

    scope = {"type": "websocket", "path": "/ws/chat/", "headers": [], "query_string": b"", "cookies": {}}
    async with asyncio.timeout(10):
        await ChatConsumer.as_asgi()(scope, receive, send)
    return sent


CONNECT = {"type": "websocket.connect"}
PING = {"type": "websocket.receive", "text": '{"type":"ping"}'}
LEAVE = {"type": "websocket.disconnect", "code": 1001}


def test_one_person_leaves_half_of_the_places_to_others() -> None:
    places, greedy, other = processes.Places(6), (uuid4(), uuid4()), (uuid4(), uuid4())
    for _ in range(3):
        places.take(None)
        assert places.know(greedy)
    assert not places.has_room(greedy)
    places.take(None)
    assert not places.know(greedy)
    assert places.know(other)
    assert places.held == 4
    places.leave(greedy)
    assert places.has_room(greedy)


def test_strangers_never_take_all_places() -> None:
    places, person = processes.Places(6), (uuid4(), uuid4())
    for _ in range(3):
        places.take(None)
    assert not places.has_room(None)
    assert places.has_room(person)


def test_places_end() -> None:
    places = processes.Places(2)
    places.take((uuid4(), uuid4()))
    places.take((uuid4(), uuid4()))
    assert not places.has_room((uuid4(), uuid4()))


async def test_a_socket_that_leaves_is_counted_out(fresh_process: None) -> None:
    assert await serve(CONNECT, PING, LEAVE, fails_at=None) == ["websocket.accept", "websocket.send"]
    assert processes.process().sockets.held == 0


async def test_a_socket_that_breaks_while_it_is_written_to_is_counted_out(fresh_process: None) -> None:
    before = asyncio.all_tasks()
    with pytest.raises(OSError, match="the reader is gone"):
        await serve(CONNECT, PING, fails_at="websocket.send")
    assert processes.process().sockets.held == 0
    mine = {task for task in asyncio.all_tasks() - before if "ChatConsumer" in repr(task)}
    assert mine == set()


async def test_an_event_stream_is_counted_while_it_is_read(fresh_process: None) -> None:
    places, who = processes.process().event_streams, (uuid4(), uuid4())

    async def frames() -> AsyncGenerator[bytes, None]:
        yield b"one"
        yield b"two"

    counted = sse._counted(places, who, frames())
    assert places.held == 0
    assert await anext(counted) == b"one"
    assert places.held == 1
    assert [frame async for frame in counted] == [b"two"]
    assert places.held == 0


async def test_one_person_opens_half_of_the_event_streams(fresh_process: None) -> None:
    principal = Principal(uuid4(), uuid4(), "member", "Alice", "alice@example.org", "Acme", Via.API_KEY)
    places = processes.process().event_streams = processes.Places(4)
    for _ in range(2):
        places.take((principal.tenant_id, principal.user_id))
    with pytest.raises(TooManyStreams) as refused:
        sse._event_stream(HttpRequest(), principal, [], {}, lane_stream=False, html=False)
    assert (refused.value.status, refused.value.retryable) == (429, True)
    assert refused.value.retry_after_seconds
