"""Who and what a log line is about: bound once at the door, present in every line below it.

Context variables follow tasks and `asyncio.to_thread`; a plain executor needs `contextvars.copy_context().run`.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from structlog.contextvars import bind_contextvars, bound_contextvars
from uuid6 import uuid7

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)


@contextmanager
def bound(**fields: str | int | UUID | None) -> Iterator[None]:
    """Add fields (`request_id`, `tenant_id`, `generation_id`, ...) to every line logged inside. None adds nothing."""
    texts = {
        name: value if isinstance(value, int) else str(value) for name, value in fields.items() if value is not None
    }
    with bound_contextvars(**texts):
        yield


def bind(**fields: str) -> None:
    """`bound` for all that the running task still logs."""
    bind_contextvars(**fields)


def new_request_id() -> str:
    """A fresh id; later ids sort later."""
    return str(uuid7())


def request_id(header: str | None) -> str:
    """The caller's own id where it is harmless (8 to 64 letters, digits, '_' or '-'), else a fresh one."""
    if header is not None and _REQUEST_ID.fullmatch(header):
        return header
    return new_request_id()


@dataclass(frozen=True, slots=True)
class TraceParent:
    """A position in a distributed trace (W3C Trace Context): 32 and 16 hexadecimal digits."""

    trace_id: str
    parent_id: str
    sampled: bool

    @classmethod
    def new(cls, *, sampled: bool = False) -> "TraceParent":
        return cls(_nonzero_hex(16), _nonzero_hex(8), sampled)

    @classmethod
    def parse(cls, header: str | None) -> "TraceParent | None":
        """None where the header is absent or invalid: a new trace starts then."""
        match = _TRACEPARENT.fullmatch((header or "").strip())
        if match is None:
            return None
        version, trace_id, parent_id, flags, rest = match.groups()
        # Version 00 ends after the flags; later versions may go on, and ff is forbidden.
        if version == "ff" or (version == "00" and rest is not None):
            return None
        if not trace_id.strip("0") or not parent_id.strip("0"):
            return None
        return cls(trace_id, parent_id, bool(int(flags, 16) & 1))

    def child(self) -> "TraceParent":
        """The same trace, one step further down."""
        return TraceParent(self.trace_id, _nonzero_hex(8), self.sampled)

    def __str__(self) -> str:
        """The header's value."""
        return f"00-{self.trace_id}-{self.parent_id}-{'01' if self.sampled else '00'}"


def _nonzero_hex(size_bytes: int) -> str:
    while True:
        text = secrets.token_hex(size_bytes)
        if text.strip("0"):
            return text
