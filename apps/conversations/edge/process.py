"""What one web process shares between its doors: log reader, watch, places, and the word that it is about to stop."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from apps.conversations.connections import event_loop_redis
from apps.streaming.reader import LogReader
from apps.tenants.edge.watch import Watch

log = structlog.get_logger(__name__)


Person = tuple[UUID, UUID]


class Places:
    """The connections of one kind that this process carries. One person holds at most half of them.

    So do all who have not said who they are: however many connections somebody opens, others still find room.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: Counter[Person | None] = Counter()

    @property
    def held(self) -> int:
        return self._held.total()

    def has_room(self, who: Person | None) -> bool:
        """Whether one more is allowed for `who`, a tenant's and a user's id; None is somebody unknown."""
        return self.held < self.limit and self._held[who] < max(1, self.limit // 2)

    def take(self, who: Person | None) -> None:
        self._held[who] += 1

    def know(self, who: Person) -> bool:
        """Somebody unknown said who they are: their place becomes `who`'s. False where `who` may hold no more."""
        self.leave(None)
        if self.has_room(who):
            self.take(who)
            return True
        self.take(None)
        return False

    def leave(self, who: Person | None) -> None:
        self._held[who] -= 1
        if self._held[who] <= 0:
            del self._held[who]


class WebProcess:
    """Made on the first request, on the server's own event loop; servers differ in what they announce earlier."""

    def __init__(self) -> None:
        self.reader = LogReader(event_loop_redis(), max_queue_bytes=BACKLOG_BYTES)
        self.stopping = asyncio.Event()
        self.watch = Watch()
        self.sockets = Places(settings.WEBSOCKETS_PER_PROCESS)
        self.event_streams = Places(settings.EVENT_STREAMS_PER_PROCESS)
        self._loop = asyncio.get_running_loop()
        self._wrap_signals()

    def _stop(self) -> None:
        self.stopping.set()
        self.reader.let_go()

    def _wrap_signals(self) -> None:
        """First tell open streams to end by themselves, then let the server's own handler stop it.

        Left alone, servers cut streams in the middle of an event, and a reader could not tell that from a fault.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            earlier = signal.getsignal(number)
            try:
                signal.signal(number, self._handler(earlier))
            except ValueError:
                return  # not the main thread: an embedding program owns the signals

    def _handler(self, earlier: Any) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            self._loop.call_soon_threadsafe(self._stop)
            if callable(earlier):
                self._loop.call_soon_threadsafe(self._loop.call_later, GOODBYE_SECONDS, earlier, number, frame)
            else:
                raise SystemExit(128 + number)

        return handle


# What may wait for one reader before it is told to come back later.
BACKLOG_BYTES = 256 * 1024

# Long enough for every stream's last write, short enough for nobody to notice.
GOODBYE_SECONDS = 0.3

_process: WebProcess | None = None


def process() -> WebProcess:
    """This web process's shared parts. Call from the event loop."""
    global _process
    if _process is None:
        _process = WebProcess()
    return _process
