"""Bodies that come slowly, or never: no request waits for its own body for ever.

A body that is there at once, as nearly all are, costs no timer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any

import orjson
import structlog
from django.conf import settings

from apps.tenants.edge.client_address import Application
from apps.tenants.edge.problems import CONTENT_TYPE
from apps.tenants.errors import BodyTooSlow

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

# What is left of the body is not waited for, so its connection is of no further use.
HEADERS = {"connection": "close"}

log = structlog.get_logger(__name__)


class Begun:
    """An awaitable that has gone as far as it goes without waiting: `done` with a `result`, or to be awaited, once."""

    __slots__ = ("_awaited", "_steps", "done", "result")

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._steps = awaitable.__await__()
        self.done = False
        self.result: Any = None
        self._awaited: Any = None
        try:
            self._awaited = next(self._steps)
        except StopIteration as end:
            self.done, self.result = True, end.value

    def __await__(self) -> Generator[Any, Any, Any]:
        awaited = self._awaited
        while True:
            try:
                try:
                    yield awaited
                except BaseException as error:
                    awaited = self._steps.throw(error)
                else:
                    awaited = next(self._steps)
            except StopIteration as end:
                return end.value


async def before(until: float, begun: Begun) -> Message:
    """The message, if it comes before that time of the loop. Raises `BodyTooSlow`."""
    try:
        async with asyncio.timeout_at(until):
            message: Message = await begun
            return message
    except TimeoutError:
        raise BodyTooSlow("The body of the request came too slowly. Send it again.") from None


def deadline() -> float:
    """When a body that is waited for from now on must be there, in the loop's time."""
    return asyncio.get_running_loop().time() + settings.REQUEST_BODY_SECONDS


class BodiesInTime:
    """ASGI middleware for HTTP applications that wait for bodies without an end."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Callable[[Message], Awaitable[None]]
    ) -> None:
        until, whole = 0.0, False

        async def receive_in_time() -> Message:
            nonlocal until, whole
            begun = Begun(receive())
            if begun.done:
                message: Message = begun.result
            elif whole:
                message = await begun  # the end of the connection, which may be hours away
            else:
                until = until or deadline()
                try:
                    message = await before(until, begun)
                except BodyTooSlow as slow:
                    await _tell(slow, scope["path"], send)
                    return {"type": "http.disconnect"}
            whole = not message.get("more_body")
            return message

        await self._application(scope, receive_in_time, send)


async def _tell(slow: BodyTooSlow, path: str, send: Callable[[Message], Awaitable[None]]) -> None:
    log.info("request.body_too_slow", path=path)
    body = orjson.dumps(slow.body())
    told = {**HEADERS, "content-type": CONTENT_TYPE, "cache-control": "no-store", "content-length": str(len(body))}
    lines = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": slow.status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
