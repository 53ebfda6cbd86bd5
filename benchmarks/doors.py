"""Clients that ask as programs do, and note when things arrive. Times are Unix seconds, as in the simulator's bill."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import aiohttp

from benchmarks.lag import Arrivals

Json = dict[str, Any]


@dataclass(slots=True)
class Heard:
    """One question: when it was sent, accepted (2xx or `message.accepted`), started, and what came when."""

    sent_at: float = field(default_factory=time.time)
    accepted_at: float = 0.0
    started_at: float = 0.0
    arrivals: Arrivals = field(default_factory=list)
    generation_id: UUID | None = None
    end: Json = field(default_factory=dict)

    @property
    def first_token_at(self) -> float:
        return self.arrivals[0][0]

    @property
    def complete(self) -> bool:
        return self.end.get("state") == "completed"

    def take(self, event: Json, now: float) -> None:
        match event["type"]:
            case "message.started":
                self.started_at = now
                self.generation_id = UUID(event["generation_id"])
            case "token.delta":
                self.arrivals.append((now, event["text"]))
            case "message.completed" | "message.error":
                self.end = event


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[tuple[float, bytes]]:
    """The `data` of server-sent events of one line each, with the time of their arrival."""
    rest = b""
    while data := await content.readany():
        now = time.time()
        *blocks, rest = (rest + data).split(b"\n\n")
        for block in blocks:
            _, found, payload = block.rpartition(b"data: ")
            if found:
                yield now, payload


async def ask_directly(session: aiohttp.ClientSession, simulator_url: str, model: str) -> Heard:
    """Ask the simulator itself, as an OpenAI client would."""
    heard = Heard()
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": question()}]}
    headers = {"Authorization": "Bearer simulated"}
    async with session.post(f"{simulator_url}/v1/chat/completions", json=body, headers=headers) as response:
        response.raise_for_status()
        heard.accepted_at = heard.started_at = time.time()
        async for now, payload in _events(response.content):
            if payload == b"[DONE]":
                heard.end = {"state": "completed"}
                continue
            for choice in json.loads(payload)["choices"]:
                if text := choice["delta"].get("content"):
                    heard.arrivals.append((now, text))
    return heard


async def ask_by_sse(session: aiohttp.ClientSession, url: str, key: str, model: str) -> Heard:
    """Ask at POST /v1/chat/messages and read the stream."""
    heard = Heard()
    body = {"message": question(), "model": model, "stream": True}
    headers = {"Authorization": f"Bearer {key}"}
    async with session.post(f"{url}/v1/chat/messages", json=body, headers=headers) as response:
        response.raise_for_status()
        heard.accepted_at = time.time()
        async for now, payload in _events(response.content):
            heard.take(json.loads(payload), now)
    return heard


class ChatSocket:
    """One WebSocket, authenticated; any number of questions at a time."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._asked: dict[str, tuple[Heard, asyncio.Future[Heard]]] = {}
        self._following: dict[str, tuple[Heard, asyncio.Future[Heard]]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, session: aiohttp.ClientSession, url: str, key: str) -> ChatSocket:
        socket = await session.ws_connect(f"{url.replace('http', 'ws', 1)}/ws/chat/", origin=url, max_msg_size=0)
        await socket.send_json({"type": "auth", "token": key})
        ready = await socket.receive_json(timeout=10)
        if ready["type"] != "ready":
            raise RuntimeError(f"the socket was refused: {ready}")
        return cls(socket)

    async def ask(self, model: str) -> Heard:
        client_id = str(uuid4())
        done: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        self._asked[client_id] = Heard(), done
        await self._socket.send_json(
            {"type": "message.send", "client_id": client_id, "message": question(), "models": [model]}
        )
        return await done

    async def close(self) -> None:
        await self._socket.close()
        self._reading.cancel()

    async def _read(self) -> None:
        async for message in self._socket:
            self._take(json.loads(message.data), time.time())
        for _, done in (*self._asked.values(), *self._following.values()):
            if not done.done():
                done.set_exception(ConnectionError(f"the socket was closed: {self._socket.close_code}"))

    def _take(self, event: Json, now: float) -> None:
        if event["type"] == "message.accepted":
            heard, done = self._asked.pop(event["client_id"])
            heard.accepted_at = now
            self._following[event["generations"][0]["generation_id"]] = heard, done
        elif event["type"] == "error":
            _, done = self._asked.pop(event["client_id"])
            done.set_exception(RuntimeError(f"refused: {event['message']}"))
        elif (generation_id := event.get("generation_id")) in self._following:
            heard, done = self._following[generation_id]
            heard.take(event, now)
            if heard.end:
                del self._following[generation_id]
                done.set_result(heard)


def question() -> str:
    """A question nobody asked before."""
    return f"Tell me about {uuid4()}, please."
