"""Appends to the logs of all generations of a process, in one pipeline every few milliseconds.

One flush is under way at a time, on one connection: commands of one generation never overtake each other. Redis
confirms the last seq it holds; whatever it lacks is sent again from memory, and the script skips what it has. So a
lost reply, a lost script, a lost second of the append-only file and a lost Redis all heal the same way.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ReadOnlyError

from apps.streaming.connection import BackOff, HeldConnection
from apps.streaming.errors import Fenced, LogClosed, LogUnavailable
from apps.streaming.handle import Body, LogHandle, LogLimits
from apps.streaming.script import LOAD, Result, Status

__all__ = ["LogHandle", "LogWriter"]

_MAX_FLUSH_BYTES = 1_048_576
_MAX_SEND_BYTES = 262_144
_PAUSE_SECONDS = 0.02
_REFUSED_SECONDS = 0.1

log = structlog.get_logger(__name__)


class LogWriter:
    """One per process and event loop. `may_append` is asked right before anything is sent.

    While `may_append()` is false (the worker's lease is overdue) entries wait in memory. `flush_interval_seconds` is
    the least time between flushes: after a quiet moment an entry goes out at once. Every `verify_after_seconds` an
    idle log is checked, so that a Redis that lost it is filled again even if the provider is silent.
    `abandon_after_seconds` is how long an open log outlives its last append at least; up to twice that.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        may_append: Callable[[], bool],
        flush_interval_seconds: float = 0.008,
        max_bytes: int = 8_388_608,
        max_entry_bytes: int = 16_384,
        abandon_after_seconds: int = 86_400,
        verify_after_seconds: float = 1.0,
        open_wait_seconds: float = 1.0,
        reply_timeout_seconds: float = 5.0,
    ) -> None:
        self._connection = HeldConnection(redis)
        self._may_append = may_append
        self._flush_interval_seconds = flush_interval_seconds
        self._verify_after_seconds = verify_after_seconds
        self._open_wait_seconds = open_wait_seconds
        self._reply_timeout_seconds = reply_timeout_seconds
        self._limits = LogLimits(max_bytes, max_entry_bytes, _MAX_SEND_BYTES, abandon_after_seconds)
        self._handles: set[LogHandle] = set()
        self._work: list[LogHandle] = []
        self._wake = asyncio.Event()
        self._flushed_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def open(self, generation_id: UUID, fence: int, start_body: Body) -> LogHandle:
        """`begin`, then wait for Redis' verdict, but not longer than `open_wait_seconds`.

        Raises `Fenced` if a higher fence is there, `LogClosed` after `aclose`.
        """
        handle = self.begin(generation_id, fence, start_body)
        try:
            async with asyncio.timeout(self._open_wait_seconds):
                await handle.flushed()
        except TimeoutError:
            log.warning("log.open_unconfirmed", generation_id=str(generation_id), fence=fence)
        except BaseException:
            self.discard(handle)
            raise
        return handle

    def begin(self, generation_id: UUID, fence: int, start_body: Body) -> LogHandle:
        """Send the start entry `<fence>-0` and return the handle at once: an answer may begin while Redis is away.

        Where a higher fence is there, the handle's next append raises `Fenced`. Raises `LogClosed` after `aclose`.
        """
        if self._closed:
            raise LogClosed("This writer is closed.")
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._flush_forever()), asyncio.create_task(self._verify_forever())]
        handle = LogHandle(generation_id, fence, self._limits, self._list)
        self._handles.add(handle)
        handle.start(start_body)
        return handle

    def discard(self, handle: LogHandle) -> None:
        """Forget a generation that is no longer ours: nothing more of it is sent, its memory is given back."""
        if handle in self._handles:
            self._drop(handle)
            handle.end(LogClosed("This log was discarded."))

    async def aclose(self, timeout_seconds: float = 1.0) -> None:
        """Send what waits, as far as the time allows, and stop. Whoever still waits gets `LogClosed`."""
        self._closed = True
        waiting = [handle.flushed() for handle in self._handles]
        if waiting:
            sending = asyncio.gather(*waiting, return_exceptions=True)
            try:
                async with asyncio.timeout(timeout_seconds):
                    await sending
            except TimeoutError:
                log.warning("log.closed_unsent", generations=len(self._handles))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for handle in list(self._handles):
            self.discard(handle)
        await self._connection.disconnect()

    # Inside.

    def _list(self, handle: LogHandle) -> None:
        """Note that a handle has something to send."""
        if not handle.listed and handle in self._handles:
            handle.listed = True
            self._work.append(handle)
            self._wake.set()

    def _drop(self, handle: LogHandle) -> None:
        self._handles.discard(handle)
        if handle.listed:
            handle.listed = False
            self._work.remove(handle)
            if not self._work:
                self._wake.clear()

    async def _verify_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._verify_after_seconds)
            due = loop.time() - self._verify_after_seconds
            for handle in self._handles:
                if handle.confirmed_at < due:
                    self._list(handle)

    async def _flush_forever(self) -> None:
        loop = asyncio.get_running_loop()
        back_off = BackOff()
        away = False
        while True:
            await self._wake.wait()
            wait_seconds = self._flushed_at + self._flush_interval_seconds - loop.time()
            if wait_seconds > 0:
                await asyncio.sleep(wait_seconds)
            try:
                if self._may_append():
                    await self._flush(loop)
                    back_off.reset()
                    away = False
                else:
                    await asyncio.sleep(_PAUSE_SECONDS)
            except LogUnavailable as error:
                if not away:
                    log.warning("log.redis_away", error=str(error.__cause__ or error))
                away = True
                await back_off.wait()
            except Exception:
                # Every generation of the process depends on this loop.
                log.exception("log.flush_failed")
                await back_off.wait()

    async def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._connection.connected:
            await self._connect()
            if not self._may_append():
                return
        self._flushed_at = loop.time()
        batch, commands = self._take()
        if not batch:
            return
        try:
            # Between the question to `may_append` and the send nothing else runs.
            replies = await self._connection.exchange(commands, len(batch), self._reply_timeout_seconds)
        except BaseException:
            for handle in batch:
                self._list(handle)
            raise
        now = loop.time()
        for handle, reply in zip(batch, replies, strict=True):
            if handle in self._handles:
                handle.confirmed_at = now
                self._take_reply(handle, reply, loop)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            await self._load_script()
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            # A demoted primary keeps its connections; a new one may find the new primary.
            await self._connection.disconnect()

    async def _connect(self) -> None:
        """After a new connection it is unknown what Redis still holds: load the script and ask for every log."""
        await self._connection.connect()
        await self._load_script()
        for handle in self._handles:
            self._list(handle)

    async def _load_script(self) -> None:
        (reply,) = await self._connection.exchange([LOAD], 1, self._reply_timeout_seconds)
        if isinstance(reply, Exception):
            raise LogUnavailable("Redis does not take the append script") from reply

    def _take(self) -> tuple[list[LogHandle], list[bytes]]:
        """The next flush; handles beyond its size stay listed."""
        batch: list[LogHandle] = []
        commands: list[bytes] = []
        size = 0
        for handle in self._work:
            command = handle.pack()
            size += len(command)
            if size > _MAX_FLUSH_BYTES and batch:
                break
            handle.listed = False
            batch.append(handle)
            commands.append(command)
        self._work = self._work[len(batch) :]
        if not self._work:
            self._wake.clear()
        return batch, commands

    def _take_reply(self, handle: LogHandle, reply: Any, loop: asyncio.AbstractEventLoop) -> None:
        if isinstance(reply, NoScriptError):
            self._list(handle)
            return
        if isinstance(reply, Exception):
            # Out of memory, read-only, still loading: Redis is there and cannot. Not so often, then.
            log.warning("log.append_refused", generation_id=str(handle.generation_id), error=str(reply))
            loop.call_later(_REFUSED_SECONDS, self._list, handle)
            return
        result = Result.parse(reply)
        if result.status is Status.FENCED:
            self._drop(handle)
            handle.end(Fenced("Another worker has taken over this generation."))
            return
        if result.status is not Status.OK:
            log.info("log.resent", generation_id=str(handle.generation_id), cause=result.status.name)
        handle.confirm(-1 if result.status is Status.NOLOG else result.value)
        if handle.finished:
            self._drop(handle)
            handle.forget()
        elif handle.has_unsent:
            self._list(handle)
