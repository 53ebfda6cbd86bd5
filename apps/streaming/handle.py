"""One generation's side of the writer: what was appended, what Redis is known to hold, and who waits for it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

import orjson

from apps.streaming.entries import log_key
from apps.streaming.errors import Fenced, LogClosed, LogOverflow, StreamingError
from apps.streaming.ids import EventId
from apps.streaming.script import KEEP_OPEN, AppendCommand, pack_entry

Body = Mapping[str, object] | bytes


@dataclass(frozen=True, slots=True)
class LogLimits:
    """Bounds of one generation's log, in bytes as kept in memory and sent.

    `max_send_bytes` bounds what one flush sends of a single generation, so that a long replay delays nobody.
    """

    max_generation_bytes: int
    max_entry_bytes: int
    max_send_bytes: int
    abandon_after_seconds: int


class LogHandle:
    """Appends to one generation's log under one fence. Use on the writer's event loop only.

    Appending puts the entry into memory and returns; the writer sends it within milliseconds. Entries stay in memory
    until the log is closed, so that they can be sent again to a Redis that lost them.
    """

    def __init__(
        self, generation_id: UUID, fence: int, limits: LogLimits, on_work: Callable[["LogHandle"], None]
    ) -> None:
        self.generation_id = generation_id
        self.fence = fence
        self.fenced = asyncio.Event()
        self._limits = limits
        self._on_work = on_work
        self._append = AppendCommand(log_key(generation_id), fence, limits.abandon_after_seconds)
        # Sealed entries, packed for the wire; the position is the seq. Text still waiting follows them.
        self._entries: list[bytes] = []
        self._text_type = ""
        self._text: list[str] = []
        self._text_bytes = 0
        self._bytes = 0
        self._last_seq = -1
        self._held_seq = -1
        self._close_ttl_seconds = KEEP_OPEN
        self._ended: StreamingError | None = None
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        # The writer's own notes: whether it has this handle on its list, and when Redis last confirmed.
        self.listed = False
        self.confirmed_at = 0.0

    # For the generation's pipeline.

    @property
    def last_id(self) -> EventId:
        """The id of the last entry appended so far, sent or not."""
        return EventId(self.fence, max(self._last_seq, 0))

    def next_id(self) -> EventId:
        """The id that the next entry of another type gets; right before `close`, the terminal entry's."""
        return EventId(self.fence, self._last_seq + 1)

    def text(self, type: str, text: str) -> None:
        """Append a piece of text as `{"text": ...}`. Pieces of one type that still wait become one entry.

        Raises `Fenced`, `LogClosed`, `LogOverflow` (nothing was taken), `UnicodeEncodeError` for lone surrogates.
        """
        if self._ended is not None:
            raise self._ended
        size = len(text) if text.isascii() else len(text.encode())
        if not size:
            return
        if self._bytes + size > self._limits.max_generation_bytes:
            raise LogOverflow("The answer is longer than its log may be.")
        if self._text and (type != self._text_type or self._text_bytes + size > self._limits.max_entry_bytes):
            self._seal()
        if size > self._limits.max_entry_bytes:
            text, size = self._split(type, text, size)
        if not self._text:
            self._text_type = type
            self._last_seq += 1
        self._text.append(text)
        self._text_bytes += size
        self._bytes += size
        if not self.listed:
            self._on_work(self)

    def append(self, type: str, body: Body) -> None:
        """Append one entry; `body` is a JSON object, or its bytes.

        Raises `Fenced`, `LogClosed`, `LogOverflow` (nothing was taken), `TypeError` for what JSON cannot hold.
        """
        if self._ended is not None:
            raise self._ended
        entry = _packed(type, body)
        if self._bytes + len(entry) > self._limits.max_generation_bytes:
            raise LogOverflow("The answer is longer than its log may be.")
        self._add(entry)

    async def flushed(self) -> None:
        """Return once Redis has confirmed everything appended so far. Raises `Fenced` or `LogClosed`."""
        if self._ended is not None and self._close_ttl_seconds == KEEP_OPEN:
            raise self._ended
        await self._held(self._last_seq)

    async def close(self, type: str, body: Body, ttl_seconds: int) -> None:
        """Append the terminal entry, let the log expire `ttl_seconds` later, and return once Redis has both.

        The cap does not count here. If the caller is cancelled, the writer still sends what was appended.
        Raises `Fenced` or `LogClosed`.
        """
        if ttl_seconds < 1:
            raise ValueError("ttl_seconds must be at least 1")
        if self._ended is not None:
            raise self._ended
        entry = _packed(type, body)
        self._close_ttl_seconds = ttl_seconds
        self._ended = LogClosed("This log is closed.")
        self._add(entry)
        await self._held(self._last_seq)

    # For the writer.

    def start(self, start_body: Body) -> None:
        self._add(_packed("message.started", start_body))

    @property
    def has_unsent(self) -> bool:
        return self._held_seq < self._last_seq

    @property
    def finished(self) -> bool:
        """Closed, with everything confirmed."""
        return self._close_ttl_seconds != KEEP_OPEN and not self.has_unsent

    def pack(self) -> bytes:
        """One append command with what Redis lacks, as far as one flush may carry; without any it is a question."""
        if self._text:
            self._seal()
        first = self._held_seq + 1
        last, size = first, 0
        # By index: mostly one entry is new, and passing over those before it would cost more with every one.
        while last < len(self._entries):
            size += len(self._entries[last])
            if size > self._limits.max_send_bytes and last > first:
                break
            last += 1
        closing = last > self._last_seq
        ttl_seconds = self._close_ttl_seconds if closing else KEEP_OPEN
        return self._append.pack(first, self._entries[first:last], last - first, ttl_seconds)

    def confirm(self, held_seq: int) -> None:
        """Redis holds everything up to `held_seq`. A smaller number than before means that it lost entries."""
        self._held_seq = min(held_seq, len(self._entries) - 1)
        if self._waiters:
            waiting = self._waiters
            self._waiters = []
            for seq, future in waiting:
                if seq > self._held_seq:
                    self._waiters.append((seq, future))
                elif not future.done():
                    future.set_result(None)

    def end(self, reason: StreamingError) -> None:
        """Nothing more goes through: waiters are told why, memory is given back."""
        self._ended = reason
        self._close_ttl_seconds = KEEP_OPEN
        if isinstance(reason, Fenced):
            self.fenced.set()
        self.forget()
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(reason)
        self._waiters = []

    def forget(self) -> None:
        self._entries, self._text, self._text_bytes = [], [], 0

    # Inside.

    def _add(self, entry: bytes) -> None:
        if self._text:
            self._seal()
        self._entries.append(entry)
        self._bytes += len(entry)
        self._last_seq += 1
        if not self.listed:
            self._on_work(self)

    def _seal(self) -> None:
        """Make one entry of the waiting text. From here on its bytes never change: it may be sent more than once."""
        entry = pack_entry(self._text_type.encode(), orjson.dumps({"text": "".join(self._text)}))
        self._entries.append(entry)
        self._bytes += len(entry) - self._text_bytes
        self._text, self._text_bytes = [], 0

    def _split(self, type: str, text: str, size: int) -> tuple[str, int]:
        """Make entries of all but the last part of a long text; give that part and its bytes."""
        # A character takes at most four bytes.
        step = max(1, self._limits.max_entry_bytes // (1 if size == len(text) else 4))
        parts = [text[start : start + step] for start in range(0, len(text), step)]
        for part in parts[:-1]:
            self._add(pack_entry(type.encode(), orjson.dumps({"text": part})))
        return parts[-1], len(parts[-1].encode())

    async def _held(self, seq: int) -> None:
        if self._held_seq >= seq:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((seq, future))
        await future


def _packed(type: str, body: Body) -> bytes:
    return pack_entry(type.encode(), body if isinstance(body, bytes) else orjson.dumps(body))
