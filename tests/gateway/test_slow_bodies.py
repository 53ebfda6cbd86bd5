"""Bodies that come slowly, or never: told 408 in the form of the door, and nobody waits any longer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from apps.routing.edge.gateway.application import DOORS, BesideDjango
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal
from apps.tenants.edge.slow_bodies import Begun, BodiesInTime

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
Application = Callable[..., Awaitable[None]]


class Wire:
    """A connection: parts of a body, each after so many seconds; then nothing, until the caller hangs up."""

    def __init__(self, *parts: tuple[float, bytes, bool]) -> None:
        self.sent: list[dict[str, Any]] = []
        self._parts = list(parts)
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if not self._parts:
            await self.gone.wait()
            return {"type": "http.disconnect"}
        seconds, body, more = self._parts.pop(0)
        if seconds:
            await asyncio.sleep(seconds)
        return {"type": "http.request", "body": body, "more_body": more}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def through(self, application: Application, path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
        lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": path, "scheme": "http", "headers": lines}
        async with asyncio.timeout(5):
            await application(scope, self.receive, self.send)
        start, *bodies = self.sent
        told = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], told, json.loads(b"".join(one["body"] for one in bodies))


@pytest.fixture
def hasty(settings: Any) -> None:
    settings.REQUEST_BODY_SECONDS = 0.05


@pytest.fixture
def bearer(alice: Principal) -> str:
    return f"Bearer {tenants.create_api_key(alice, 'slow').secret}"


@pytest.mark.parametrize("parts", [(), ((0, b'{"mo', True),), tuple((0.02, b" ", True) for _ in range(200))])
async def test_each_door_says_it_in_its_own_form(hasty: None, bearer: str, parts: Any) -> None:
    for path in (CHAT, MESSAGES):
        status, headers, told = await Wire(*parts).through(DOORS[path], path, authorization=bearer)
        assert (status, headers["connection"]) == (408, "close")
        if path == CHAT:
            assert told["error"]["code"] == "request_timeout" and told["error"]["type"] == "invalid_request_error"
        else:
            assert (told["type"], told["error"]["type"]) == ("error", "invalid_request_error")
            assert told["request_id"] == headers["x-request-id"]


async def test_a_body_in_parts_that_comes_in_time_is_read(bearer: str) -> None:
    parts = [(0.01, bytes([byte]), True) for byte in b'{"a"'] + [(0, b": 1}", False)]
    status, _, told = await Wire(*parts).through(DOORS[CHAT], CHAT, authorization=bearer)
    assert (status, told["error"]["param"]) == (400, "a")


async def test_what_is_there_at_once_needs_no_timer(monkeypatch: pytest.MonkeyPatch, bearer: str) -> None:
    await Wire((0, b"{}", False)).through(DOORS[CHAT], CHAT, authorization=bearer)
    monkeypatch.setattr(asyncio, "timeout_at", None)
    status, _, _ = await Wire((0, b"{}", False)).through(DOORS[CHAT], CHAT, authorization=bearer)
    assert status == 400


async def _django(scope: Any, receive: Any, send: Any) -> None:
    """Reads a body as Django does, and then listens for the end of the connection as long as it takes."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body"):
            break
    assert (await receive())["type"] == "http.disconnect"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def test_what_django_answers_has_the_deadline_too(hasty: None) -> None:
    for parts in ((), ((0, b"{", True), (9, b"}", False))):
        status, headers, told = await Wire(*parts).through(BesideDjango(_django), "/v1/chat/messages")
        assert (status, told["code"], told["retryable"]) == (408, "request_timeout", True)
        assert (headers["content-type"], headers["connection"]) == ("application/problem+json", "close")
    patient = Wire((0.01, b"{", True), (0.01, b"}", False))
    asyncio.get_running_loop().call_later(0.15, patient.gone.set)
    status, _, _ = await patient.through(BodiesInTime(_django), "/v1/chat/messages")
    assert status == 200, "whose body is whole has no deadline any more"


async def test_who_waits_for_a_begun_message_can_be_cancelled() -> None:
    heard = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append(True)
            raise

    async def begin() -> None:
        await Begun(wait())

    task = asyncio.create_task(begin())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard
