"""A caller of the simulator, for its tests: reads what really is on the wire."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

ASK = [{"role": "user", "content": "Compare tea and coffee"}]
FAST = "tps=0+ttft=0"


@dataclass(slots=True)
class Reading:
    """Everything one stream brought: parsed events, lines that were no JSON, and how it ended."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    comments: int = 0
    is_done: bool = False
    ended: str = "open"  # open, eof, reset or timeout
    first_token_seconds: float | None = None
    total_seconds: float = 0.0

    def joined(self, key: str = "content", index: int = 0) -> str:
        deltas = (c["delta"] for event in self.events for c in event.get("choices", ()) if c["index"] == index)
        return "".join(delta.get(key) or "" for delta in deltas)

    @property
    def finish_reasons(self) -> list[str]:
        return [c["finish_reason"] for e in self.events for c in e.get("choices", ()) if c["finish_reason"]]

    @property
    def deltas(self) -> int:
        return sum(bool(c["delta"].get("content")) for e in self.events for c in e.get("choices", ()))

    @property
    def usage(self) -> dict[str, Any] | None:
        return next((event["usage"] for event in self.events if event.get("usage")), None)

    def take(self, line: bytes, elapsed_seconds: float) -> None:
        if line.startswith(b":"):
            self.comments += 1
        if not line.startswith(b"data: "):
            return
        data = line[6:].rstrip(b"\n")
        if data == b"[DONE]":
            self.is_done = True
            return
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            self.broken.append(data.decode())
            return
        self.events.append(event)
        if self.first_token_seconds is None and self.joined():
            self.first_token_seconds = elapsed_seconds


class Client:
    """The simulator's HTTP interface as the tests use it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def post(
        self, path: str, body: Any, *, key: str | None = "test", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and the parsed body of one POST."""
        sent = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key is not None else {})}
        sent |= headers or {}
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        async with self.session.post(self.url + path, data=data, headers=sent) as response:
            return response.status, dict(response.headers), orjson.loads(await response.read())

    async def chat(self, model: str, *, messages: Any = None, **body: Any) -> dict[str, Any]:
        """A whole answer; the call must succeed."""
        asked = {"model": model, "messages": messages or ASK, **body}
        status, _, answer = await self.post("/v1/chat/completions", asked)
        assert status == 200, answer
        found: dict[str, Any] = answer
        return found

    async def content(self, model: str, **body: Any) -> str:
        """The text of a whole answer."""
        return str((await self.chat(model, **body))["choices"][0]["message"]["content"])

    async def stream(
        self,
        model: str,
        *,
        messages: Any = None,
        within_seconds: float = 5.0,
        attempt: str | None = None,
        headers: dict[str, str] | None = None,
        **body: Any,
    ) -> Reading:
        """Reads a stream to whatever end it has, but no longer than `within_seconds`."""
        sent = {"Authorization": "Bearer test", **(headers or {})}
        if attempt:
            sent["X-Switchboard-Attempt"] = attempt
        data = orjson.dumps({"model": model, "messages": messages or ASK, "stream": True, **body})
        reading = Reading()
        started = time.monotonic()
        try:
            async with (
                asyncio.timeout(within_seconds),
                self.session.post(self.url + "/v1/chat/completions", data=data, headers=sent) as response,
            ):
                reading.status, reading.headers = response.status, dict(response.headers)
                async for line in response.content:
                    reading.take(line, time.monotonic() - started)
            reading.ended = "eof"
        except TimeoutError:
            reading.ended = "timeout"
        except aiohttp.ClientError:
            reading.ended = "reset"
        reading.total_seconds = time.monotonic() - started
        return reading

    async def stream_text(self, model: str) -> str:
        """The text of a stream that must end as it should."""
        reading = await self.stream(model)
        assert reading.is_done
        return reading.joined()

    async def bill(self, attempt: str) -> dict[str, Any]:
        """The one line of an attempt, once it is closed."""
        deadline = time.monotonic() + 10
        while True:
            calls = await self.lines(attempt)
            if len(calls) == 1 and calls[0]["ended_at"] is not None:
                return calls[0]
            assert time.monotonic() < deadline, f"no closed line for {attempt}: {calls}"
            await asyncio.sleep(0.01)

    async def lines(self, attempt: str) -> list[dict[str, Any]]:
        """The lines of an attempt as they stand now."""
        async with self.session.get(f"{self.url}/control/bill", params={"attempt_id": attempt}) as response:
            found: list[dict[str, Any]] = (await response.json())["calls"]
            return found

    async def health(self) -> dict[str, Any]:
        async with self.session.get(f"{self.url}/control/health") as response:
            found: dict[str, Any] = await response.json()
            return found

    async def fault(self, **rule: Any) -> dict[str, Any]:
        """Posts a fault rule, which must be accepted."""
        status, _, body = await self.post("/control/faults", rule)
        assert status == 201, body
        found: dict[str, Any] = body
        return found
