"""Which beginning of a prompt was seen before: what a provider with a prompt cache bills for less.

Deterministic, and without the real one's minimum length: what a key marked within the last five minutes is read, what
is marked and was not seen is written.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

_LIFETIME_SECONDS = 300.0
# How many blocks before a marker may hold the end of what is known.
_LOOK_BACK_BLOCKS = 20
_KEPT_PREFIXES = 50_000


@dataclass(frozen=True, slots=True)
class Block:
    """One part of a prompt: what tells it from others, its tokens, and whether everything up to it is to be cached."""

    content: bytes
    tokens: int
    marked: bool


class PromptCache:
    """The prefixes that were marked lately, per key and model."""

    def __init__(self) -> None:
        self._expires_at: dict[bytes, float] = {}

    def use(self, key: str, model: str, blocks: Sequence[Block]) -> tuple[int, int]:
        """Tokens read from the cache and tokens written to it, by a call whose prompt has these blocks."""
        marks = [place for place, block in enumerate(blocks) if block.marked]
        if not marks:
            return 0, 0
        now = time.monotonic()
        prefixes = _prefixes(key, model, blocks)
        known = max((place for mark in marks if (place := self._known(prefixes, mark, now)) is not None), default=None)
        for mark in marks:
            self._keep(prefixes[mark][0], now)
        if known is not None:
            self._keep(prefixes[known][0], now)
        read = 0 if known is None else prefixes[known][1]
        return read, max(0, prefixes[marks[-1]][1] - read)

    def _known(self, prefixes: Sequence[tuple[bytes, int]], mark: int, now: float) -> int | None:
        places = range(mark, max(-1, mark - _LOOK_BACK_BLOCKS), -1)
        return next((place for place in places if self._expires_at.get(prefixes[place][0], 0.0) > now), None)

    def _keep(self, prefix: bytes, now: float) -> None:
        self._expires_at.pop(prefix, None)
        self._expires_at[prefix] = now + _LIFETIME_SECONDS
        while len(self._expires_at) > _KEPT_PREFIXES:
            del self._expires_at[next(iter(self._expires_at))]


def _prefixes(key: str, model: str, blocks: Sequence[Block]) -> list[tuple[bytes, int]]:
    """Digest and tokens of everything up to and with each block."""
    digest = blake2b(f"{len(key)}:{key}{model}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
    tokens, prefixes = 0, []
    for block in blocks:
        digest = blake2b(digest + block.content, digest_size=16).digest()
        tokens += block.tokens
        prefixes.append((digest, tokens))
    return prefixes
