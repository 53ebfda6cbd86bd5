"""Follows any number of logs for any number of readers, with one blocking read per process.

A new subscription first reads its own pages (XRANGE) until it has caught up, then shares its stream's place in the
one XREAD. Every subscription keeps its own position and takes only the very next entry, so a reply that was asked
for with another position, or that comes after a reader has left and returned, can neither skip nor repeat anything.
Redis may lose logs and come back: positions stay, and what the writer sends again is followed from there.
"""

import asyncio
from itertools import count
from uuid import UUID, uuid4

import orjson
import structlog
from redis.asyncio import Redis

from apps.streaming.connection import BackOff, HeldConnection
from apps.streaming.entries import LogEntry, log_key, parse_entry
from apps.streaming.errors import LogClosed, LogUnavailable
from apps.streaming.ids import EventId
from apps.streaming.script import bulk, command
from apps.streaming.subscription import Source, Subscription

__all__ = ["LogEntry", "LogReader", "Subscription", "read_text"]

_BLOCK_SECONDS = 1.0
_REPLY_TIMEOUT_SECONDS = 3.0
_PAGE_ENTRIES = 128
_PAGES_AT_ONCE = 64
_WAKE_KEY_SECONDS = 60
# The read names every followed stream each time. With many streams it is asked less often and brings more at once.
_PACE_SECONDS_PER_STREAM = 0.00001
_LONGEST_PACE_SECONDS = 0.005
_TEXT_SECONDS = 1.0
_MAX_SEQ = 2**53
_HOLE_SECONDS = 0.05
_LONGEST_HOLE_SECONDS = 0.5

log = structlog.get_logger(__name__)


class _Feed:
    """One followed stream: its live subscriptions, and the position that the next shared read asks from."""

    __slots__ = ("cursor", "key", "live", "packed_cursor", "packed_key")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.packed_key = bulk(key)
        self.live: list[Subscription] = []
        self.cursor = (0, 0)
        self.packed_cursor = b""

    def move(self) -> None:
        """Ask from the hindmost reader's position: whoever is ahead skips what it has."""
        cursor = min(subscription.cursor for subscription in self.live)
        if cursor != self.cursor or not self.packed_cursor:
            self.cursor = cursor
            self.packed_cursor = bulk(b"%d-%d" % cursor)


class LogReader:
    """One per process and event loop. `max_queue_bytes` bounds what waits for one subscriber."""

    def __init__(self, redis: Redis, *, max_queue_bytes: int = 1_048_576) -> None:
        self._tail = HeldConnection(redis)
        self._pages = HeldConnection(redis)
        self._max_queue_bytes = max_queue_bytes
        self._feeds: dict[bytes, _Feed] = {}
        self._subscriptions: set[Subscription] = set()
        # In order of arrival; a dict because a subscription can leave from the middle.
        self._replaying: dict[Subscription, None] = {}
        self._pages_wanted = asyncio.Event()
        self._feeds_exist = asyncio.Event()
        self._packed_keys: bytes | None = None
        self._wake_key = b"{r:%s}:wake" % str(uuid4()).encode()
        self._wakes = count(1)
        self._last_wake = 0
        self._read_under_way = False
        self._wake_wanted = False
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    def subscribe(self, generation_id: UUID, after: EventId | None) -> Subscription:
        """Everything after `after` (None: from the start entry), then whatever comes. Call from the event loop.

        A log that does not exist yet, or not any more, is waited for. Raises `LogClosed` after `aclose`.
        """
        if self._closed:
            raise LogClosed("This reader is closed.")
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._follow_forever()), asyncio.create_task(self._replay_forever())]
        subscription = Subscription(generation_id, after, self._max_queue_bytes, self._replay, self._leave)
        self._subscriptions.add(subscription)
        self._replay(subscription)
        return subscription

    def let_go(self) -> None:
        """Close every subscription; their consumers get `LogClosed`. New ones may come."""
        for subscription in list(self._subscriptions):
            subscription.close()

    async def aclose(self) -> None:
        """Close every subscription and both connections."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.let_go()
        await self._tail.disconnect()
        await self._pages.disconnect()

    # Where a subscription gets its entries from.

    def _replay(self, subscription: Subscription) -> None:
        if subscription.source is Source.REPLAY:
            self._replaying[subscription] = None
            self._pages_wanted.set()

    def _go_live(self, subscription: Subscription) -> None:
        key = log_key(subscription.generation_id)
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = _Feed(key)
            self._packed_keys = None
            self._feeds_exist.set()
        subscription.source = Source.LIVE
        subscription.holes_met = 0
        feed.live.append(subscription)
        before = feed.packed_cursor
        feed.move()
        if feed.packed_cursor != before and self._read_under_way and not self._wake_wanted:
            self._wake_wanted = True
            self._pages_wanted.set()

    def _leave(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        self._replaying.pop(subscription, None)
        self._leave_feed(subscription)

    def _leave_feed(self, subscription: Subscription) -> None:
        key = log_key(subscription.generation_id)
        feed = self._feeds.get(key)
        if feed is None or subscription not in feed.live:
            return
        feed.live.remove(subscription)
        if not feed.live:
            del self._feeds[key]
            self._packed_keys = None
            if not self._feeds:
                self._feeds_exist.clear()

    def _read_again(self, subscription: Subscription) -> None:
        """After a hole: read pages of its own again, more slowly each time."""
        self._leave_feed(subscription)
        subscription.source = Source.REPLAY
        seconds = min(_HOLE_SECONDS * 2 ** min(subscription.holes_met, 8), _LONGEST_HOLE_SECONDS)
        subscription.holes_met += 1
        log.warning("log.hole", generation_id=str(subscription.generation_id), after=subscription.cursor)
        asyncio.get_running_loop().call_later(seconds, self._replay, subscription)

    # The shared read.

    async def _follow_forever(self) -> None:
        loop = asyncio.get_running_loop()
        back_off = BackOff()
        while True:
            await self._feeds_exist.wait()
            try:
                if not self._tail.connected:
                    await self._tail.connect()
                began = loop.time()
                await self._follow_once()
                back_off.reset()
                pace_seconds = min(_PACE_SECONDS_PER_STREAM * len(self._feeds), _LONGEST_PACE_SECONDS)
                await asyncio.sleep(max(0.0, began + pace_seconds - loop.time()))
            except LogUnavailable:
                await back_off.wait()
            except Exception:
                # Every reader of the process depends on this loop.
                log.exception("log.follow_failed")
                await self._tail.disconnect()
                await back_off.wait()

    async def _follow_once(self) -> None:
        asked = {key: feed.cursor for key, feed in self._feeds.items()}
        if not asked:
            return
        self._read_under_way = True
        try:
            timeout_seconds = _BLOCK_SECONDS + _REPLY_TIMEOUT_SECONDS
            (reply,) = await self._tail.exchange([self._pack_read()], 1, timeout_seconds)
        finally:
            self._read_under_way = False
        if isinstance(reply, Exception):
            raise LogUnavailable("Redis refuses to read logs") from reply
        for key, raw_entries in reply or ():
            feed = self._feeds.get(key)
            if feed is not None and key in asked:
                self._deliver(feed, [parse_entry(raw) for raw in raw_entries], asked[key])

    def _pack_read(self) -> bytes:
        """XREAD over all feeds and the wake key. Wakes sent before now are old news: this read has what they meant."""
        if self._packed_keys is None:
            self._packed_keys = bulk(self._wake_key) + b"".join(feed.packed_key for feed in self._feeds.values())
        return b"*%d\r\n%s%s%s%s" % (
            6 + 2 * (len(self._feeds) + 1),
            _READ_HEAD,
            self._packed_keys,
            bulk(b"%d-0" % self._last_wake),
            b"".join([feed.packed_cursor for feed in self._feeds.values()]),
        )

    def _deliver(self, feed: _Feed, entries: list[LogEntry], read_after: tuple[int, int]) -> None:
        for subscription in list(feed.live):
            if not subscription.deliver(entries, read_after):
                self._read_again(subscription)
        if feed.live:
            feed.move()

    # Pages for those who have not caught up, and waking the shared read when its streams have changed.

    async def _replay_forever(self) -> None:
        back_off = BackOff()
        while True:
            await self._pages_wanted.wait()
            try:
                if not self._pages.connected:
                    await self._pages.connect()
                await self._replay_once()
                back_off.reset()
            except LogUnavailable:
                await back_off.wait()
            except Exception:
                # Every new reader of the process depends on this loop.
                log.exception("log.replay_failed")
                await self._pages.disconnect()
                await back_off.wait()

    async def _replay_once(self) -> None:
        batch = list(self._replaying)[:_PAGES_AT_ONCE]
        commands = [_pack_page(log_key(one.generation_id), one.cursor) for one in batch]
        if self._wake_wanted:
            self._last_wake = next(self._wakes)
            commands.append(command(b"XADD", self._wake_key, b"MAXLEN", b"1", b"%d-0" % self._last_wake, b"w", b"1"))
            commands.append(command(b"EXPIRE", self._wake_key, b"%d" % _WAKE_KEY_SECONDS))
            self._wake_wanted = False
        if commands:
            replies = await self._pages.exchange(commands, len(commands), _REPLY_TIMEOUT_SECONDS)
            for subscription, reply in zip(batch, replies, strict=False):
                if isinstance(reply, Exception):
                    raise LogUnavailable("Redis refuses to read logs") from reply
                if subscription in self._replaying:
                    self._take_page(subscription, [parse_entry(raw) for raw in reply])
        if not self._replaying and not self._wake_wanted:
            self._pages_wanted.clear()

    def _take_page(self, subscription: Subscription, page: list[LogEntry]) -> None:
        if not subscription.replay(page):
            del self._replaying[subscription]
            self._read_again(subscription)
        elif not subscription.has_room:
            del self._replaying[subscription]
            subscription.waits_for_room = True
        elif len(page) < _PAGE_ENTRIES:
            del self._replaying[subscription]
            self._go_live(subscription)
        else:
            # To the back of the line: a long log lets others go first.
            del self._replaying[subscription]
            self._replaying[subscription] = None


_READ_HEAD = b"".join(
    map(bulk, (b"XREAD", b"COUNT", b"%d" % _PAGE_ENTRIES, b"BLOCK", b"%d" % (_BLOCK_SECONDS * 1000), b"STREAMS"))
)


def _pack_page(key: bytes, after: tuple[int, int], until: bytes = b"+") -> bytes:
    return command(b"XRANGE", key, b"(%d-%d" % after, until, b"COUNT", b"%d" % _PAGE_ENTRIES)


async def read_text(redis: Redis, generation_id: UUID, fence: int) -> str:
    """The answer's text that the log holds for this fence, since its last restart.

    For whoever ends a generation that nobody else can end. Best effort: empty where nothing is held, and where Redis
    does not answer within a second or so, because the end must not wait for it.
    """
    key = log_key(generation_id)
    connection = HeldConnection(redis)
    parts: list[str] = []
    cursor = (fence - 1, _MAX_SEQ)
    try:
        async with asyncio.timeout(_TEXT_SECONDS):
            await connection.connect()
            while True:
                request = _pack_page(key, cursor, until=b"%d" % fence)
                (reply,) = await connection.exchange([request], 1, _TEXT_SECONDS)
                if isinstance(reply, Exception):
                    raise LogUnavailable("Redis refuses to read logs") from reply
                for entry in map(parse_entry, reply):
                    if entry.type == "message.restarted":
                        parts.clear()
                    elif entry.type == "token.delta":
                        parts.append(orjson.loads(entry.body)["text"])
                    cursor = (entry.fence, entry.seq)
                if len(reply) < _PAGE_ENTRIES:
                    return "".join(parts)
    except (LogUnavailable, TimeoutError) as error:
        log.warning("log.text_unread", generation_id=str(generation_id), error=str(error.__cause__ or error))
        return ""
    finally:
        await connection.disconnect()
