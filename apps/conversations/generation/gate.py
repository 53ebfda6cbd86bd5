"""The gate of a chat: no provider call without a row, a fresh lease and an open log."""

import asyncio
from collections.abc import Callable
from uuid import UUID

from apps.conversations.generation import attempts
from apps.conversations.generation.claim import Claimed
from apps.conversations.generation.finish import Answer
from apps.routing.contracts import AttemptEnd, Candidate
from apps.tenants.scope import database_step

_LEASE_POLL_SECONDS = 0.1


class ChatGate:
    """Implements `routing.contracts.Gate` for one claimed generation."""

    def __init__(self, claimed: Claimed, answer: Answer, *, lease_is_fresh: Callable[[], bool]) -> None:
        self._claimed = claimed
        self._answer = answer
        self._lease_is_fresh = lease_is_fresh

    async def begin(self, candidate: Candidate, number: int) -> UUID:
        """Hold still while the lease is overdue, then write the attempt. Raises `Fenced` or `CancelAsked`."""
        while not self._lease_is_fresh():
            await asyncio.sleep(_LEASE_POLL_SECONDS)
        # Shielded: a cancelled task must not leave a row that nobody will close; the row's writer is a thread that
        # cannot be stopped anyway.
        writing = asyncio.ensure_future(database_step(attempts.begin, self._claimed, candidate, number))
        try:
            return await asyncio.shield(writing)
        except asyncio.CancelledError:
            await self._close_unused(writing, candidate, number)
            raise

    async def _close_unused(self, writing: "asyncio.Future[UUID]", candidate: Candidate, number: int) -> None:
        try:
            attempt_id = await writing
        except Exception:  # no row was written, so there is nothing to close
            return
        self.ended(AttemptEnd.never_made(attempt_id, candidate, number))

    def ended(self, end: AttemptEnd) -> None:
        self._answer.ends.append(end)
