"""A log's key and its entries, as they stand in Redis."""

from typing import Any, NamedTuple
from uuid import UUID

from apps.streaming.ids import EventId

TYPE_FIELD = b"t"
BODY_FIELD = b"d"

# Types are a handful of constants: one string object each instead of one per entry.
_TYPE_NAMES: dict[bytes, str] = {}
_TYPE_NAMES_KEPT = 256


class LogEntry(NamedTuple):
    """One entry: `body` is a JSON object as bytes, without the envelope that doors add."""

    fence: int
    seq: int
    type: str
    body: bytes

    @property
    def id(self) -> EventId:
        return EventId(self.fence, self.seq)


def log_key(generation_id: UUID) -> bytes:
    """The key of a generation's stream; the braces keep all keys of a generation on one cluster node."""
    return b"{g:%s}:log" % str(generation_id).encode()


def parse_entry(raw: Any) -> LogEntry:
    """An entry of an XREAD or XRANGE reply: `[id, [name, value, ...]]` in bytes."""
    fence, _, seq = raw[0].partition(b"-")
    fields = raw[1]
    if len(fields) == 4 and fields[0] == TYPE_FIELD:
        type, body = fields[1], fields[3]
    else:
        named = dict(zip(fields[::2], fields[1::2], strict=True))
        type, body = named.get(TYPE_FIELD, b""), named.get(BODY_FIELD, b"{}")
    return LogEntry(int(fence), int(seq), _TYPE_NAMES.get(type) or _name(type), body)


def _name(type: bytes) -> str:
    name = type.decode()
    if len(_TYPE_NAMES) < _TYPE_NAMES_KEPT:
        _TYPE_NAMES[type] = name
    return name


def follows(fence: int, seq: int, cursor: tuple[int, int]) -> bool:
    """Whether this entry is the very next one after the cursor: no gap within a fence, a new fence from its start."""
    if fence == cursor[0]:
        return seq == cursor[1] + 1
    return fence > cursor[0] and seq == 0
