"""The gate of a chat: no provider call without a row, a fresh lease and an open log."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog
from uuid6 import uuid7

from apps.conversations.errors import CancelAsked, Fenced
from apps.conversations.generation import attempts
from apps.conversations.generation.claim import Claimed
from apps.conversations.generation.finish import Answer
from apps.routing import services as routing
from apps.routing.contracts import AttemptEnd, Candidate
from apps.tenants.scope import DATABASE_AWAY, database_step

_POLL_SECONDS = 0.1
_LAST_WORD_SECONDS = 2.0

log = structlog.get_logger(__name__)


class ChatGate:
    """Implements `routing.contracts.Gate` for one claimed generation."""

    def __init__(self, claimed: Claimed, answer: Answer, *, lease_is_fresh: Callable[[], bool]) -> None:
        self._claimed = claimed
        self._answer = answer
        self._lease_is_fresh = lease_is_fresh
        self._begun = 0

    async def begin(self, candidate: Candidate) -> UUID:
        """Hold still while the lease is overdue, then write the attempt. Raises `Fenced` or `CancelAsked`."""
        attempt_id = uuid7()
        self._begun += 1
        # Shielded: a cancelled task must not leave a row that nobody will close; the row's writer is a thread that
        # cannot be stopped anyway.
        writing = asyncio.ensure_future(self._write(candidate, self._begun, attempt_id))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            if await self._was_written(writing):
                self.ended(AttemptEnd.never_made(attempt_id, candidate))
            raise
        return attempt_id

    async def _write(self, candidate: Candidate, number: int, attempt_id: UUID) -> None:
        while True:
            while not self._lease_is_fresh():
                await asyncio.sleep(_POLL_SECONDS)
            try:
                await database_step(attempts.begin, self._claimed, candidate, number, attempt_id)
                return
            except DATABASE_AWAY as error:
                log.warning("gate.retried", error=type(error).__name__)
                await asyncio.sleep(_POLL_SECONDS)

    async def _was_written(self, writing: "asyncio.Future[None]") -> bool:
        """Whether a row stands behind a begin that nobody waits for any more."""
        try:
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                await writing
        except (Fenced, CancelAsked, TimeoutError):
            return False
        return True

    def ended(self, end: AttemptEnd) -> None:
        self._answer.ends.append(end)
        routing.log_attempt(end)
