"""The deadlines of one attempt: to the first token, between two tokens, and in all."""

import asyncio

import aiohttp

from apps.routing.contracts import Deadlines
from apps.routing.errors import FirstTokenTimeout, GapTimeout, ProviderFailed, TotalTimeout
from apps.routing.providers.base import Progress

USAGE_WAIT_SECONDS = 2.0  # after the finish reason
# An answer in one piece shows no first token. It is waited for as long as a slow model would write it.
_WHOLE_TOKENS_PER_SECOND = 25.0


class Clock:
    """The deadlines of one attempt, in the loop's time."""

    __slots__ = (
        "_first_seconds",
        "_gap_seconds",
        "_heard",
        "_loop",
        "_progress",
        "_provider",
        "_silent_since",
        "_timer",
        "_timer_at",
        "_total_at",
        "_wait_ends",
        "_waiting",
        "now",
    )

    def __init__(self, deadlines: Deadlines, progress: Progress, provider: str, whole_tokens: int = 0) -> None:
        """`whole_tokens`: so many may come in one piece, before which nothing is heard."""
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._silent_since = self.now()
        self._total_at = self._silent_since + deadlines.total_seconds
        self._heard = False
        self._first_seconds = deadlines.first_token_seconds + whole_tokens / _WHOLE_TOKENS_PER_SECOND
        self._gap_seconds = deadlines.gap_seconds
        self._progress = progress
        self._provider = provider
        self._waiting: aiohttp.StreamReader | None = None
        self._wait_ends = self._timer_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def heard(self) -> None:
        """A token came, so the silence ended."""
        self._heard = True
        if self._progress.first_token_seconds is None:
            self._progress.first_token_seconds = self.now() - self._silent_since

    def silent_until(self) -> float:
        """When the wait that begins now must end. The gap counts from the first wait after a token: the time that the
        reader of our stream took is not the provider's, and comments do not end a silence."""
        if self._heard:
            self._heard = False
            self._silent_since = self.now()
        if self._progress.finish_reason is not None:
            allowed_seconds = USAGE_WAIT_SECONDS
        elif self._progress.first_token_seconds is None:
            allowed_seconds = self._first_seconds
        else:
            allowed_seconds = self._gap_seconds
        return min(self._total_at, self._silent_since + allowed_seconds)

    async def next_bytes(self, content: aiohttp.StreamReader) -> bytes:
        """What arrives next; empty at the end. Raises `TimeoutError` at the deadline.

        One timer watches all waits of an attempt, and is set anew only where a deadline comes earlier than it rings: a
        timer for each wait would cost a tenth of a chunk.
        """
        self._wait_ends = ends = self.silent_until()
        if self._timer is None or ends < self._timer_at:
            self._set_timer(ends)
        self._waiting = content
        try:
            return await content.readany()
        finally:
            self._waiting = None

    def stop(self) -> None:
        """No wait follows."""
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiting is None:
            return  # the next wait sets it again
        if self.now() < self._wait_ends:
            self._set_timer(self._wait_ends)
        else:
            self._waiting.set_exception(TimeoutError())

    def expired(self) -> ProviderFailed:
        """The error for the deadline that passed."""
        if self.now() >= self._total_at:
            return TotalTimeout("The answer took longer than allowed. Try again, or ask for a shorter one.")
        if self._progress.first_token_seconds is None:
            return FirstTokenTimeout(
                f"{self._provider} did not begin to answer within {self._first_seconds:g} s. Try again."
            )
        return GapTimeout(f"{self._provider} fell silent in its answer for {self._gap_seconds:g} s. Try again.")
