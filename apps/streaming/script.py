"""The append script's wire: commands packed by hand, for one pipeline over all streams of a process.

An entry is packed once, when it is appended; the same bytes serve the first sending and every replay.
"""

import hashlib
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

_SOURCE = Path(__file__).with_name("append.lua").read_bytes()
# Redis names scripts by SHA-1; nothing here depends on its strength.
SHA = hashlib.sha1(_SOURCE, usedforsecurity=False).hexdigest().encode()

# EVALSHA, hash, number of keys, key, fence, first seq, abandon seconds, close seconds.
_FIXED_ARGUMENTS = 8
KEEP_OPEN = -1


class Status(IntEnum):
    OK = 0
    FENCED = 1
    GAP = 2
    NOLOG = 3


_STATUSES = tuple(Status)  # an index is ten times as fast as asking the enumeration, once per append


class Result(NamedTuple):
    """`value` is the last seq held for OK and GAP, the higher fence for FENCED, and 0 for NOLOG."""

    status: Status
    value: int

    @classmethod
    def parse(cls, reply: list[int]) -> "Result":
        return cls(_STATUSES[reply[0]], reply[1])


def bulk(value: bytes) -> bytes:
    """One argument of a Redis command."""
    return b"$%d\r\n%s\r\n" % (len(value), value)


def command(*arguments: bytes) -> bytes:
    """A whole Redis command."""
    return b"*%d\r\n%s" % (len(arguments), b"".join(map(bulk, arguments)))


LOAD = command(b"SCRIPT", b"LOAD", _SOURCE)


def pack_entry(type: bytes, body: bytes) -> bytes:
    """One entry, as it stands in an append command."""
    return b"$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(type), type, len(body), body)


class AppendCommand:
    """Packs the appends of one generation under one fence."""

    __slots__ = ("_abandon", "_head")

    def __init__(self, key: bytes, fence: int, abandon_after_seconds: int) -> None:
        self._head = b"".join(map(bulk, (b"EVALSHA", SHA, b"1", key, b"%d" % fence)))
        self._abandon = bulk(b"%d" % abandon_after_seconds)

    def pack(self, first_seq: int, entries: Iterable[bytes], count: int, close_ttl_seconds: int = KEEP_OPEN) -> bytes:
        """`entries` are `count` results of `pack_entry`, the first of them with `first_seq`."""
        return b"*%d\r\n%s%s%s%s%s" % (
            _FIXED_ARGUMENTS + 2 * count,
            self._head,
            bulk(b"%d" % first_seq),
            self._abandon,
            bulk(b"%d" % close_ttl_seconds),
            b"".join(entries),
        )
