"""Sends scripts at their pace: one timer wheel drives every open call of the process.

A script is an iterator of bytes (parts of a body) and directives. What a call will say, and how it will fail,
is all in its script; this module only knows time and connections.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from time import time

from simulator.bill import Entry

TICK_SECONDS = 0.004
_BURST_BYTES = 64 * 1024
_FULL_BUFFER_BYTES = 512 * 1024
_FULL_BUFFER_RETRY_SECONDS = 0.02
# A reset overtakes data that still sits in the caller's socket, so the last token gets this head start.
_RESET_GRACE_SECONDS = 0.02
_LINGER_ZERO = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Head:
    """Directive: send this status line and these headers; `is_chunked` frames the body chunk by chunk."""

    status: int
    data: bytes
    is_chunked: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """Directive: what follows comes that much later."""

    seconds: float


class Silence:
    """Directive: say nothing more and leave the connection open."""


class Reset:
    """Directive: reset the connection."""


Script = Iterator[bytes | Head | Pause | Silence | Reset]


class Wheel:
    """Calls back at a given loop time, rounded up to the next tick. One loop timer serves all who wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, list[Callable[[float], None]]] = {}
        self._ticks: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def at(self, when: float, callback: Callable[[float], None]) -> None:
        tick = int(when / TICK_SECONDS) + 1
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.append(callback)
            return
        self._buckets[tick] = [callback]
        heappush(self._ticks, tick)
        if self._ticks[0] == tick:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._ticks[0] * TICK_SECONDS, self._turn) if self._ticks else None

    def _turn(self) -> None:
        self._timer = None
        now = self._loop.time()
        # Loops round their timers to a millisecond, so the tick may be a little early.
        due = int((now + 0.001) / TICK_SECONDS)
        while self._ticks and self._ticks[0] <= due:
            for callback in self._buckets.pop(heappop(self._ticks)):
                callback(now)
        self._arm()


class Track:
    """One script on its way to one connection.

    `done` resolves to True when the script ran to its end, to False when it reset the connection. It never
    resolves after Silence: whoever waits for it is cancelled by the caller's hang-up. Body parts leave
    `interval_seconds` apart, counted from the first, so that lateness does not add up; 0 means as fast as the
    connection takes them.
    """

    __slots__ = (
        "_chunked",
        "_due",
        "_entry",
        "_interval",
        "_is_stopped",
        "_script",
        "_transport",
        "_wheel",
        "done",
    )

    def __init__(
        self,
        wheel: Wheel,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        script: Script,
        entry: Entry,
        interval_seconds: float,
    ) -> None:
        self._wheel = wheel
        self._transport = transport
        self._script = script
        self._entry = entry
        self._interval = interval_seconds
        self._chunked = False
        self._is_stopped = False
        self._due = loop.time()
        self.done: asyncio.Future[bool] = loop.create_future()
        self._advance(self._due)

    @property
    def is_through(self) -> bool:
        """Whether the script ran to its end."""
        return self.done.done() and not self.done.cancelled() and self.done.result()

    def stop(self) -> None:
        """Sends nothing more."""
        self._is_stopped = True

    def _advance(self, now: float) -> None:
        """Sends everything that is due, in one write, and books the next turn."""
        if self._is_stopped or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > _FULL_BUFFER_BYTES:
            self._wheel.at(now + _FULL_BUFFER_RETRY_SECONDS, self._advance)
            return
        out: list[bytes] = []
        size_bytes = 0
        try:
            wait = 0.0
            for step in self._script:
                if type(step) is bytes:
                    size_bytes += len(step)
                    out.append(b"%x\r\n%b\r\n" % (len(step), step) if self._chunked else step)
                    self._due += self._interval
                elif not self._obey(step, out, now):
                    return
                wait = self._due - now
                if wait > 0 or size_bytes > _BURST_BYTES:
                    break
            else:
                self._finish(out)
                return
        finally:
            if out:
                self._transport.write(b"".join(out) if len(out) > 1 else out[0])
        self._wheel.at(max(self._due, now), self._advance)

    def _obey(self, step: object, out: list[bytes], now: float) -> bool:
        """Carries out a directive; False when nothing follows it."""
        if isinstance(step, Head):
            out.append(step.data)
            self._chunked = step.is_chunked
            self._entry.status = step.status
            self._entry.first_byte_at = time()
            return True
        if isinstance(step, Pause):
            self._due += step.seconds
            return True
        if isinstance(step, Reset):
            self._wheel.at(now + _RESET_GRACE_SECONDS, self._reset)
        return False

    def _finish(self, out: list[bytes]) -> None:
        if self._chunked:
            out.append(b"0\r\n\r\n")
        if not self.done.done():
            self.done.set_result(True)

    def _reset(self, now: float) -> None:
        if self._is_stopped or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size():
            self._wheel.at(now + _RESET_GRACE_SECONDS, self._reset)
            return
        # `done` first, so that the connection's end is not taken for the caller's doing.
        if not self.done.done():
            self.done.set_result(False)
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self._transport.abort()
