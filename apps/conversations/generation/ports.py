"""What a generation needs from the process it runs in."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from apps.streaming.writer import LogWriter


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one answer, from the settings."""

    connect_seconds: float
    first_token_seconds: float
    gap_seconds: float
    answer_max_bytes: int


@dataclass(frozen=True, slots=True)
class Ports:
    """The worker's shared parts. `announce(tenant_id, user_id, conversation_id)` hints that an answer ended."""

    writer: LogWriter
    lease_is_fresh: Callable[[], bool]
    announce: Callable[[UUID, UUID, UUID], Awaitable[None]]
    limits: Limits
