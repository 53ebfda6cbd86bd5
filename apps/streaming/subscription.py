"""One reader of one log: a position, a bounded queue, and where the entries come from at the moment."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from enum import Enum
from math import inf
from uuid import UUID

from apps.streaming.entries import LogEntry, follows
from apps.streaming.errors import LogClosed, SlowReader
from apps.streaming.ids import EventId

# What an entry costs in memory beside its body.
_ENTRY_OVERHEAD_BYTES = 150
# Loops round their timers to a millisecond.
_TIMER_SLACK_SECONDS = 0.001


class Source(Enum):
    REPLAY = "reads its own pages until it has caught up"
    LIVE = "shares the read of its stream"
    NONE = "closed or too slow"


class Subscription:
    """Entries after a position, each once and in order. One consumer at a time.

    `next` and `async for` raise `SlowReader` when the consumer fell too far behind the live log; a long replay waits
    for its consumer instead. `async for` ends when the subscription is closed.
    """

    def __init__(
        self,
        generation_id: UUID,
        after: EventId | None,
        max_queue_bytes: int,
        on_room: Callable[["Subscription"], None],
        on_close: Callable[["Subscription"], None],
    ) -> None:
        self.generation_id = generation_id
        # The last entry queued, as (fence, seq); fences begin at 1, so this stands before everything.
        self.cursor: tuple[int, int] = (0, 0) if after is None else (after.fence, after.seq)
        self.source = Source.REPLAY
        self.waits_for_room = False
        self.holes_met = 0
        self._max_queue_bytes = max_queue_bytes
        self._on_room = on_room
        self._on_close = on_close
        self._queue: deque[LogEntry] = deque()
        self._queued_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._wait_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._slow = False

    # For the consumer.

    async def next(self, timeout_seconds: float | None = None) -> LogEntry | None:
        """The next entry, or None when the time is over. Raises `SlowReader`, and `LogClosed` after `close`."""
        if not self._queue:
            if self.source is not Source.NONE:
                await self._wait(timeout_seconds)
            if not self._queue:
                if self._slow:
                    raise SlowReader("The reader did not keep up. Subscribe again after the last entry.")
                if self.source is Source.NONE:
                    raise LogClosed("This subscription is closed.")
                return None
        entry = self._queue.popleft()
        self._queued_bytes -= len(entry.body) + _ENTRY_OVERHEAD_BYTES
        if self.waits_for_room and self.has_room:
            self.waits_for_room = False
            self._on_room(self)
        return entry

    async def __aiter__(self) -> AsyncIterator[LogEntry]:
        while True:
            try:
                entry = await self.next()
            except LogClosed:
                return
            if entry is not None:
                yield entry

    def close(self) -> None:
        """Stop reading and forget what was queued. Harmless when repeated."""
        self._leave()

    # For the reader.

    @property
    def has_room(self) -> bool:
        """Whether another page may be queued."""
        return self._queued_bytes <= self._max_queue_bytes // 2

    def replay(self, page: Sequence[LogEntry]) -> bool:
        """Queue a page that was read after this position. False where the log has a hole there."""
        whole = True
        for entry in page:
            if not follows(entry.fence, entry.seq, self.cursor):
                whole = False
                break
            self._put(entry)
        self._rouse()
        return whole

    def deliver(self, entries: Sequence[LogEntry], read_after: tuple[int, int]) -> bool:
        """Queue what is new of a shared read that was sent with the position `read_after`. False at a hole.

        A read that began after our position is not for us: it cannot show what lies between.
        """
        if read_after > self.cursor:
            return True
        for entry in entries:
            fence, seq = entry.fence, entry.seq
            if (fence, seq) <= self.cursor:
                continue
            if not follows(fence, seq, self.cursor):
                self._rouse()
                return False
            if self._queue and self._queued_bytes + len(entry.body) > self._max_queue_bytes:
                self._slow = True
                self._leave()
                return True
            self._put(entry)
        self._rouse()
        return True

    def _put(self, entry: LogEntry) -> None:
        self._queue.append(entry)
        self._queued_bytes += len(entry.body) + _ENTRY_OVERHEAD_BYTES
        self.cursor = (entry.fence, entry.seq)

    def _leave(self) -> None:
        if self.source is not Source.NONE:
            self.source = Source.NONE
            self._queue.clear()
            self._queued_bytes = 0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._on_close(self)
            self._rouse(always=True)

    def _rouse(self, always: bool = False) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done() and (self._queue or always):
            waiter.set_result(None)

    async def _wait(self, timeout_seconds: float | None) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        if timeout_seconds is not None:
            self._arm(waiter.get_loop(), timeout_seconds)
        else:
            self._wait_until = inf
        try:
            await waiter
        finally:
            self._waiter = None

    def _arm(self, loop: asyncio.AbstractEventLoop, timeout_seconds: float) -> None:
        """One timer outlives many waits and looks when the present one ends: entries mostly come long before."""
        self._wait_until = loop.time() + timeout_seconds
        if self._timer is not None and self._timer.when() > self._wait_until:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = loop.call_at(self._wait_until, self._expire)

    def _expire(self) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done() or self._wait_until == inf:
            return
        loop = waiter.get_loop()
        if self._wait_until > loop.time() + _TIMER_SLACK_SECONDS:
            self._timer = loop.call_at(self._wait_until, self._expire)
        else:
            waiter.set_result(None)
