"""The simulator's own bill: one line per call, written as it happens, whatever the caller believes."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

_KEPT_TEXT_BYTES = 64 * 1024
_RING_CALLS = 200_000
_RING_TEXT_BYTES = 256 * 1024 * 1024


class Entry:
    """One call, its times in Unix seconds.

    `tokens_sent` counts every output token handed to the connection, reasoning and tool arguments included; `text`
    is the answer of choice 0 without its reasoning, as far as it was sent; `completed` says that the finish reason was
    sent and the response ended as it should. `cached_tokens` is the part of the prompt that was read from a cache.
    """

    __slots__ = (
        "attempt_id",
        "cached_tokens",
        "call",
        "chunks_sent",
        "closed_by_caller",
        "completed",
        "content_sent",
        "content_tokens",
        "ended_at",
        "endpoint",
        "fault",
        "first_byte_at",
        "first_token_at",
        "model",
        "prompt_tokens",
        "reasoning_sent",
        "started_at",
        "status",
        "stream",
        "text",
        "text_sha256",
        "tokens_sent",
    )

    def __init__(self, call: int, endpoint: str, attempt_id: str | None) -> None:
        self.call = call
        self.endpoint = endpoint
        self.attempt_id = attempt_id
        self.model = ""
        self.stream = False
        self.fault: str | None = None
        self.status: int | None = None
        self.started_at = time.time()
        self.first_byte_at: float | None = None
        self.first_token_at: float | None = None
        self.ended_at: float | None = None
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.tokens_sent = 0
        self.reasoning_sent = 0
        self.chunks_sent = 0
        self.content_sent = 0
        self.content_tokens: Sequence[str] = ()
        self.completed = False
        self.closed_by_caller = False
        self.text: str | None = None
        self.text_sha256: str | None = None

    def sent(self, tokens: int) -> None:
        """Counts one delta of so many tokens as handed to the connection."""
        if self.first_token_at is None:
            self.first_token_at = time.time()
        self.tokens_sent += tokens
        self.chunks_sent += 1

    def describe(self) -> dict[str, Any]:
        """The public line; of a call still open, `ended_at` and `text_sha256` are null."""
        return {
            "call": self.call,
            "attempt_id": self.attempt_id,
            "endpoint": self.endpoint,
            "model": self.model,
            "stream": self.stream,
            "started_at": self.started_at,
            "first_byte_at": self.first_byte_at,
            "first_token_at": self.first_token_at,
            "ended_at": self.ended_at,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "tokens_sent": self.tokens_sent,
            "reasoning_tokens_sent": self.reasoning_sent,
            "chunks_sent": self.chunks_sent,
            "completed": self.completed,
            "closed_by_caller": self.closed_by_caller,
            "fault": self.fault,
            "status": self.status,
            "text_sha256": self.text_sha256,
            "text": self.text,
        }


class Bill:
    """A bounded ring of calls: the oldest go first, and old texts before old lines."""

    def __init__(self, *, ring_calls: int = _RING_CALLS, ring_text_bytes: int = _RING_TEXT_BYTES) -> None:
        self._entries: deque[Entry] = deque(maxlen=ring_calls)
        self._texts: deque[tuple[Entry, int]] = deque()
        self._text_bytes = 0
        self._text_bytes_limit = ring_text_bytes
        self._started_by_second: deque[tuple[int, int]] = deque(maxlen=11)
        self.calls = 0
        self.open_calls = 0
        self.open_streams = 0
        self.tokens_sent = 0
        self.chunks_sent = 0

    def open(self, endpoint: str, attempt_id: str | None) -> Entry:
        """Writes the line of a call that begins now."""
        self.calls += 1
        self.open_calls += 1
        entry = Entry(self.calls, endpoint, attempt_id)
        second = int(entry.started_at)
        if self._started_by_second and self._started_by_second[-1][0] == second:
            self._started_by_second[-1] = (second, self._started_by_second[-1][1] + 1)
        else:
            self._started_by_second.append((second, 1))
        self._entries.append(entry)
        return entry

    def streams(self, entry: Entry) -> None:
        """Notes that this open call is a stream."""
        entry.stream = True
        self.open_streams += 1

    def close(self, entry: Entry, *, completed: bool, closed_by_caller: bool = False) -> None:
        """Ends a call's line; later closings of the same line change nothing."""
        if entry.ended_at is not None:
            return
        entry.ended_at = time.time()
        entry.completed = completed
        entry.closed_by_caller = closed_by_caller
        self.open_calls -= 1
        self.open_streams -= entry.stream
        self.tokens_sent += entry.tokens_sent
        self.chunks_sent += entry.chunks_sent
        text = "".join(entry.content_tokens[: entry.content_sent])
        entry.content_tokens = ()
        encoded = text.encode("utf-8", "surrogatepass")
        entry.text_sha256 = hashlib.sha256(encoded).hexdigest()
        if len(encoded) <= _KEPT_TEXT_BYTES:
            self._keep_text(entry, text, len(encoded))

    def _keep_text(self, entry: Entry, text: str, size_bytes: int) -> None:
        entry.text = text
        self._texts.append((entry, size_bytes))
        self._text_bytes += size_bytes
        while self._text_bytes > self._text_bytes_limit or len(self._texts) > (self._entries.maxlen or 0):
            oldest, freed = self._texts.popleft()
            oldest.text = None
            self._text_bytes -= freed

    def select(self, *, attempt_id: str | None = None, since: float | None = None) -> Iterator[Entry]:
        """Calls, oldest first: all, those of one attempt, those started at or after a Unix time."""
        for entry in tuple(self._entries):
            if attempt_id is not None and entry.attempt_id != attempt_id:
                continue
            if since is not None and entry.started_at < since:
                continue
            yield entry

    def clear(self) -> int:
        """Forgets every line (open calls go on, unlisted) and says how many there were."""
        forgotten = len(self._entries)
        self._entries.clear()
        self._texts.clear()
        self._text_bytes = 0
        return forgotten

    def requests_per_second(self) -> float:
        """Mean rate of calls begun in the last ten whole seconds."""
        now = int(time.time())
        return sum(calls for second, calls in self._started_by_second if now - 10 <= second < now) / 10
