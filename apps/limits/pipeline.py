"""One connection for all commands of an event loop: what is asked in one turn of the loop leaves in one write, except
for a command that finds no other on its way: that leaves at once.

Each caller gets its own reply or error. The commands are not a transaction: others may run between them.
"""

import asyncio
from collections import deque
from typing import Any, NamedTuple

import hiredis
from redis._parsers import BaseParser
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from apps.limits.errors import LimitsUnavailable
from apps.limits.protocol import Command


class _Asked(NamedTuple):
    reply: asyncio.Future[Any]
    asked_at: float


class Pipeline:
    """Commands over one Redis server. What has no reply after `timeout_seconds` ends the connection.

    A connection that ends fails every command that waits on it with `LimitsUnavailable`, whether or not it has run. The
    next command opens another one.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._pool = ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )
        self._timeout_seconds = timeout_seconds
        self._link: _Link | None = None
        self._closed = False
        self.connections = 0

    async def aclose(self) -> None:
        self._closed = True
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def run(self, command: Command) -> Any:
        """Run the script once and return its reply. Raises `LimitsUnavailable`."""
        arguments = (len(command.keys), *command.keys, *command.args)
        try:
            return await self._send(("EVALSHA", command.script.sha, *arguments))
        except NoScriptError:
            return await self._send(("EVAL", command.script.text, *arguments))

    async def send(self, *parts: str | bytes | int) -> Any:
        """Send one command with this turn's others and return its reply. Raises `LimitsUnavailable`."""
        return await self._send(parts)

    async def _send(self, parts: tuple[str | bytes | int, ...]) -> Any:
        if self._closed:
            raise LimitsUnavailable("the connection for limits is closed")
        link = self._link
        if link is None or link.ended:
            connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            link = self._link = _Link(connection, self._timeout_seconds)
            self.connections += 1
        try:
            return await link.ask(hiredis.pack_command(parts))  # type: ignore[arg-type]
        except (OutOfMemoryError, ReadOnlyError) as error:
            raise LimitsUnavailable("the limits cannot be checked: Redis takes no writes") from error


class _Link(asyncio.Protocol):
    """One connection, from its opening to its end.

    The client library opens it; from then on commands are written and replies handed out here. Each admission waits for
    that, and the library's streams and tasks took it a fifteenth of a call's CPU.
    """

    def __init__(self, connection: AbstractConnection, timeout_seconds: float) -> None:
        self._connection = connection
        self._timeout_seconds = timeout_seconds
        self._loop = asyncio.get_running_loop()
        self._outgoing: list[bytes] = []
        self._asked: deque[_Asked] = deque()
        self._replies = hiredis.Reader(replyError=BaseParser.parse_error)
        self._watch: asyncio.TimerHandle | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._opening = self._loop.create_task(self._open())
        self.ended = False

    def ask(self, packed: bytes) -> asyncio.Future[Any]:
        reply: asyncio.Future[Any] = self._loop.create_future()
        now = self._loop.time()
        self._outgoing.append(packed)
        if not self._asked:
            self._flush()  # nobody is waiting: nothing would be gained by waiting for company
        elif len(self._outgoing) == 1:
            self._loop.call_soon(self._flush)
        self._asked.append(_Asked(reply, now))
        if self._watch is None:
            self._watch = self._loop.call_at(now + self._timeout_seconds, self._check_deadline)
        return reply

    async def close(self) -> None:
        self._end(None)
        await asyncio.wait([self._opening])
        await self._connection.disconnect(nowait=True)

    async def _open(self) -> None:
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call]
            transport = self._connection._writer.transport  # type: ignore[union-attr]
            transport.set_protocol(self)
            self._transport = transport
            self._flush()
        except (RedisError, OSError) as error:
            self._end(error)
        except asyncio.CancelledError:
            await self._connection.disconnect(nowait=True)
            raise

    def _flush(self) -> None:
        """Write what was asked since the last time. Until the connection is open, that waits."""
        if self._transport is not None and self._outgoing and not self.ended:
            packed, self._outgoing = self._outgoing, []
            self._transport.write(b"".join(packed))

    def data_received(self, data: bytes) -> None:
        self._replies.feed(data)
        try:
            while (reply := self._replies.gets()) is not False:
                self._take(reply)
        except hiredis.ProtocolError as error:
            self._end(error)

    def _take(self, reply: Any) -> None:
        if isinstance(reply, RedisError) and not isinstance(reply, ResponseError):
            self._end(reply)  # it says of the server, not of a command, that nothing is answered
        elif self._asked:
            asked = self._asked.popleft().reply
            if asked.done():
                return
            if isinstance(reply, Exception):
                asked.set_exception(reply)
            else:
                asked.set_result(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)

    def _check_deadline(self) -> None:
        self._watch = None
        if not self._asked:
            return
        until = self._asked[0].asked_at + self._timeout_seconds
        if until > self._loop.time():
            self._watch = self._loop.call_at(until, self._check_deadline)
        else:
            self._end(RedisTimeoutError("no reply in time"))

    def _end(self, error: BaseException | None) -> None:
        """Fail what waits. Nothing is asked here any more."""
        if self.ended:
            return
        self.ended = True
        if self._watch is not None:
            self._watch.cancel()
        for asked in self._asked:
            if not asked.reply.done():
                unavailable = LimitsUnavailable("the limits cannot be checked: Redis does not answer")
                unavailable.__cause__ = error
                asked.reply.set_exception(unavailable)
        self._asked.clear()
        if self._transport is not None:
            self._transport.abort()
        elif asyncio.current_task() is not self._opening:
            self._opening.cancel()
