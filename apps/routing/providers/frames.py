"""Deltas joined into frames: what comes faster than people see is passed on some thirty times a second."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from apps.routing.contracts import ReasoningDelta, TextDelta
from apps.routing.providers.base import Delta

_FRAME_SECONDS = 0.03


class Frames:
    """One writer, one reader, on one loop. The first delta, and one after a pause, go at once."""

    def __init__(self, frame_seconds: float = _FRAME_SECONDS) -> None:
        self._frame_seconds = frame_seconds
        self._waiting: deque[Delta] = deque()
        self._there = asyncio.Event()
        self._ended = False
        self._given_at = float("-inf")

    def put(self, deltas: Sequence[Delta]) -> None:
        if deltas:
            self._waiting.extend(deltas)
            self._there.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._there.set()

    async def next(self) -> list[Delta] | None:
        """All that came since the last frame, once its time is over; None at the end."""
        await self._there.wait()
        now = asyncio.get_running_loop().time
        pause_seconds = self._given_at + self._frame_seconds - now()
        if pause_seconds > 0 and not self._ended:
            await asyncio.sleep(pause_seconds)
        self._given_at = now()
        return self.take() or None

    def take(self) -> list[Delta]:
        """What waits now, without waiting for more."""
        joined = _joined(self._waiting)
        self._waiting.clear()
        if not self._ended:
            self._there.clear()
        return joined


def _joined(deltas: Sequence[Delta]) -> list[Delta]:
    """Neighbours that are both text, or both thoughts, as one."""
    joined: list[Delta] = []
    texts: list[str] = []
    logprobs: list[Mapping[str, Any]] = []
    for place, delta in enumerate(deltas):
        if not isinstance(delta, TextDelta | ReasoningDelta):
            joined.append(delta)
            continue
        texts.append(delta.text)
        if isinstance(delta, TextDelta) and delta.logprobs:
            logprobs += delta.logprobs
        following = deltas[place + 1] if place + 1 < len(deltas) else None
        if type(following) is not type(delta):
            whole = "".join(texts)
            said = TextDelta(whole, tuple(logprobs) or None) if isinstance(delta, TextDelta) else ReasoningDelta(whole)
            joined.append(said)
            texts.clear()
            logprobs.clear()
    return joined
