"""A caller of the simulator's Anthropic door: reads the events that really are on the wire."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from tests.simulator.client import ASK, Client

HEADERS = {"x-api-key": "test", "anthropic-version": "2023-06-01", "Content-Type": "application/json"}


@dataclass(slots=True)
class Reading:
    """The events of one stream, in order; `broken` could not be parsed; `ended` is eof, reset or timeout."""

    status: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    ended: str = "open"

    @property
    def kinds(self) -> list[str]:
        """The types of all events, repeats in a row told once."""
        kinds = [event["type"] for event in self.events]
        return [kind for place, kind in enumerate(kinds) if place == 0 or kinds[place - 1] != kind]

    def joined(self, key: str = "text") -> str:
        return "".join(event["delta"].get(key, "") for event in self.of("content_block_delta"))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def deltas(self) -> int:
        return sum("text" in event["delta"] for event in self.of("content_block_delta"))

    @property
    def stop_reason(self) -> str | None:
        told = self.of("message_delta")
        return told[-1]["delta"]["stop_reason"] if told else None

    @property
    def input_usage(self) -> tuple[int, int, int]:
        """Tokens neither read nor written, written to the cache, read from it."""
        usage = self.of("message_start")[0]["message"]["usage"]
        return usage["input_tokens"], usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]


class AnthropicClient:
    def __init__(self, client: Client) -> None:
        self.session, self.url, self.bill = client.session, client.url, client.bill

    async def post(
        self, body: Any, *, path: str = "/v1/messages", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        async with self.session.post(
            self.url + path, data=data, headers=HEADERS if headers is None else headers
        ) as response:
            return response.status, dict(response.headers), orjson.loads(await response.read())

    async def whole(self, model: str, **body: Any) -> dict[str, Any]:
        status, _, answer = await self.post({"model": model, "messages": ASK, "max_tokens": 4096, **body})
        assert status == 200, answer
        found: dict[str, Any] = answer
        return found

    async def stream(
        self, model: str, *, within_seconds: float = 5.0, attempt: str = "", key: str = "test", **body: Any
    ) -> Reading:
        sent = {**HEADERS, "X-Switchboard-Attempt": attempt, "x-api-key": key}
        data = orjson.dumps({"model": model, "messages": ASK, "max_tokens": 4096, "stream": True, **body})
        reading = Reading()
        try:
            async with (
                asyncio.timeout(within_seconds),
                self.session.post(self.url + "/v1/messages", data=data, headers=sent) as response,
            ):
                reading.status = response.status
                named = ""
                async for line in response.content:
                    if line.startswith(b"event: "):
                        named = line[7:-1].decode()
                    elif line.startswith(b"data: "):
                        self._take(reading, named, line[6:-1])
            reading.ended = "eof"
        except TimeoutError:
            reading.ended = "timeout"
        except aiohttp.ClientError:
            reading.ended = "reset"
        return reading

    def _take(self, reading: Reading, named: str, data: bytes) -> None:
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            reading.broken.append(data.decode())
            return
        assert event["type"] == named
        reading.events.append(event)
