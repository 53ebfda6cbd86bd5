"""A web process counts its sockets: one that breaks in the middle of a message is counted out like any other."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from apps.conversations.edge import process as processes
from apps.conversations.edge.websocket import ChatConsumer


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


async def test_a_socket_that_leaves_is_counted_out(fresh_process: None) -> None:
    assert await serve(CONNECT, PING, LEAVE, fails_at=None) == ["websocket.accept", "websocket.send"]
    assert processes.process().sockets == 0


async def test_a_socket_that_breaks_while_it_is_written_to_is_counted_out(fresh_process: None) -> None:
    before = asyncio.all_tasks()
    with pytest.raises(OSError, match="the reader is gone"):
        await serve(CONNECT, PING, fails_at="websocket.send")
    assert processes.process().sockets == 0
    mine = {task for task in asyncio.all_tasks() - before if "ChatConsumer" in repr(task)}
    assert mine == set()
