"""HTTP as these doors need it: a request read with bounds, an answer written whole or piece by piece."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import TracebackType
from typing import Any

from apps.tenants.edge.parsers import MAX_BYTES
from apps.tenants.edge.slow_bodies import Begun, before, deadline
from apps.tenants.errors import PayloadTooLarge

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Proxies and clients give up on connections that are silent for a minute or less.
KEEPALIVE_SECONDS = 15.0
_LOOK_AFTER_SECONDS = 0.05
# Whoever reads nothing for so long has left, whatever its connection says: a call, its lease and its provider would
# wait with it for ever.
STALLED_SECONDS = 60.0
SOONEST_SECONDS = 1.0
# What fits into the buffers of a connection is taken at once.
_BUFFERED_BYTES = 32 * 1024


class HungUp(Exception):
    """The caller went away before the request was complete."""


class Request:
    """What a caller sent. Header names are small letters; a repeated header is one value with commas, as everywhere in
    HTTP, so that a credential that is shown twice is none."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.scheme: str = scope.get("scheme", "http")
        # What the log says of it beside its method and status.
        self.facts: dict[str, Any] = {}
        # A call that is to end whether or not its caller waits for it is not attended.
        self.attended = True
        self._receive = receive
        self._headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            self._headers[name] = value if name not in self._headers else self._headers[name] + b"," + value

    def header(self, name: bytes) -> str | None:
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    def raw_header(self, name: bytes) -> bytes | None:
        """As it came, without the blanks around it."""
        value = self._headers.get(name)
        return None if value is None else value.strip(b" \t")

    async def body(self) -> bytes:
        """The whole body. Raises `PayloadTooLarge`, `BodyTooSlow` or `HungUp`."""
        declared = self._headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > MAX_BYTES:
            raise _too_large()
        parts: list[bytes] = []
        size_bytes, until = 0, 0.0
        while True:
            begun = Begun(self._receive())
            if begun.done:
                message = begun.result
            else:
                until = until or deadline()
                message = await before(until, begun)
            if message["type"] == "http.disconnect":
                raise HungUp
            part = message.get("body", b"")
            size_bytes += len(part)
            if size_bytes > MAX_BYTES:
                raise _too_large()
            parts.append(part)
            if not message.get("more_body"):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def while_here(self) -> AbstractAsyncContextManager[None]:
        """What runs inside is cancelled when the caller hangs up, and `HungUp` raised. Enter it after the body."""
        return WhileHere(self._receive) if self.attended else nullcontext()


class WhileHere:
    """See `Request.while_here`. Most answers are told before anybody looks: a look is a task of its own."""

    __slots__ = ("_receive", "_task", "_timer", "_watch")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be told that its caller hung up")
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(_LOOK_AFTER_SECONDS, self._look)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        watch = self._watch
        if watch is None:
            return
        # A server that shuts down cancels too, and must see that it was heard.
        heard = isinstance(error, asyncio.CancelledError) and watch.done() and not watch.cancelled()
        watch.cancel()
        if heard and self._task.uncancel() == 0:
            raise HungUp from None

    def _look(self) -> None:
        self._watch = self._task.get_loop().create_task(self._gone())

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._task.cancel()


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {MAX_BYTES // 1024 // 1024} MB.")


class Response:
    """What the caller is told: `whole`, or `start` and then `write` until `end`."""

    def __init__(self, send: Send) -> None:
        self.status: int | None = None
        self._send = send
        self._written_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._keep_alive = b""
        self._keeping_alive: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[Any] | None = None
        self._stalled = False

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        await self._begin(status, {**headers, "content-length": str(len(body))})
        await self._last({"type": "http.response.body", "body": body})

    async def start(self, status: int, headers: Mapping[str, str], keep_alive: bytes) -> None:
        """Begin an answer that comes piece by piece; `keep_alive` is said in long silences.

        A caller that stops reading is given up: whoever writes to it is cancelled, and `is_given_up` says so.
        """
        self._keep_alive = keep_alive
        await self._begin(status, headers)
        loop = asyncio.get_running_loop()
        self._written_at = loop.time()
        self._timer = loop.call_later(KEEPALIVE_SECONDS, self._tick)

    async def write(self, piece: bytes) -> None:
        task = asyncio.current_task()
        if task is self._keeping_alive:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            return
        self._written_at = asyncio.get_running_loop().time()
        self._waiting = task
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        self._waiting = None

    async def end(self, piece: bytes = b"", *, cut: bool = False) -> None:
        """`cut`: what was told is no whole answer."""
        self.stop()
        await self._last({"type": "http.response.body", "body": piece})

    def stop(self) -> None:
        """Say nothing more by itself. Harmless when repeated."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._keeping_alive is not None:
            self._keeping_alive.cancel()

    def is_given_up(self) -> bool:
        """Whether that is why the running task was cancelled, and nothing else."""
        task = asyncio.current_task()
        return self._stalled and (task is None or task.uncancel() == 0)

    async def _last(self, message: dict[str, Any]) -> None:
        if not self._written_at and len(message["body"]) <= _BUFFERED_BYTES:
            await self._send(message)
            return
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self._send(message)
        except TimeoutError:
            self._stalled = True
            raise asyncio.CancelledError from None

    async def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": lines})

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        silent_seconds = loop.time() - self._written_at
        if self._waiting is not None:
            if silent_seconds >= STALLED_SECONDS:
                self._stalled = True
                self._waiting.cancel()
                return
        elif silent_seconds >= KEEPALIVE_SECONDS and (self._keeping_alive is None or self._keeping_alive.done()):
            self._keeping_alive = loop.create_task(self.write(self._keep_alive))
            self._written_at, silent_seconds = loop.time(), 0.0
        self._timer = loop.call_later(max(KEEPALIVE_SECONDS - silent_seconds, SOONEST_SECONDS), self._tick)
