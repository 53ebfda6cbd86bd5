"""A tenant's cap on tokens per second, over all of its answers in all processes: whoever reads them is made to wait.

Tokens are estimated as they come and put right when the provider has counted them. A process asks Redis about a tenth
of a second's tokens at a time; while Redis is away it keeps to the cap by itself.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from uuid import UUID
from weakref import WeakKeyDictionary

from django.conf import settings

from apps.routing import access, durable
from apps.routing.contracts import Chunk, Finished, ReasoningDelta, TextDelta, ToolCallCompleted

# What may be told at once after a silence.
BURST_SECONDS = 1.0
_SHARE_SECONDS = 0.1
# A provider is read on meanwhile, so that it is measured by its own speed; what was received is settled.
_READ_AHEAD_CHUNKS = 4096
_CHARACTERS_PER_TOKEN = 5
_MOST_TENANTS = 10_000

_SCRIPT = durable.Script.read(Path(__file__).with_name("pace.lua"))


async def stream(tenant_id: UUID, total_at: float, answer: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
    """`answer`, no faster than the tenant's cap. Waits for a database that is away until `total_at`, as calls do."""
    rate = (await access.known(tenant_id, total_at)).catalogue.max_tokens_per_second
    if rate is None:
        async with aclosing(answer) as chunks:
            async for chunk in chunks:
                yield chunk
        return
    offered: asyncio.Queue[Chunk | None] = asyncio.Queue(_READ_AHEAD_CHUNKS)
    reading = asyncio.create_task(_read(answer, offered))
    pace, told = _pace(tenant_id, rate), 0.0
    try:
        while (next_one := await offered.get()) is not None:
            tokens = _tokens(next_one, told)
            told += tokens
            await pace.take(tokens)
            yield next_one
        await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _read(answer: AsyncGenerator[Chunk, None], offered: "asyncio.Queue[Chunk | None]") -> None:
    try:
        async with aclosing(answer) as chunks:
            async for chunk in chunks:
                await offered.put(chunk)
    except Exception:
        await offered.put(None)
        raise
    await offered.put(None)


def _tokens(chunk: Chunk, told: float) -> float:
    """About how many tokens a chunk has; of the last one, what the estimates before it were wrong by."""
    match chunk:
        case TextDelta(text) | ReasoningDelta(text):
            return max(1.0, len(text) / _CHARACTERS_PER_TOKEN)
        case ToolCallCompleted(arguments=arguments):
            return 1.0 + len(arguments) / _CHARACTERS_PER_TOKEN
        case Finished(usage=usage, parts=(), cache=None):
            return usage.output_tokens - told
    return 0.0


class Pace:
    """One tenant's, on one event loop."""

    def __init__(self, tenant_id: UUID, rate: int) -> None:
        self.rate = rate
        self._keys = (f"{settings.REDIS_PREFIX}{{t:{tenant_id}}}:pace",)
        self._unsaid = 0.0
        self._asking = False
        self._wait_until = 0.0
        self._even_at = 0.0

    async def take(self, tokens: float) -> None:
        """Wait until so many tokens may be told."""
        self._unsaid += tokens
        if not self._asking and abs(self._unsaid) >= max(1.0, self.rate * _SHARE_SECONDS):
            self._asking = True
            try:
                await self._ask()
            finally:
                self._asking = False
        while (wait_seconds := self._wait_until - time.monotonic()) > 0:
            await asyncio.sleep(wait_seconds)

    async def _ask(self) -> None:
        told, self._unsaid = self._unsaid, 0.0
        try:
            wait_seconds = int(await _SCRIPT.run(self._keys, told, self.rate, BURST_SECONDS)) / 1_000_000
        except durable.Away:
            wait_seconds = self._alone(told)
        self._wait_until = max(self._wait_until, time.monotonic() + wait_seconds)

    def _alone(self, told: float) -> float:
        """What `pace.lua` does, for this process by itself."""
        now = time.monotonic()
        self._even_at = max(self._even_at, now) + told / self.rate
        return max(0.0, self._even_at - now - BURST_SECONDS)


_paces: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[UUID, Pace]] = WeakKeyDictionary()


def _pace(tenant_id: UUID, rate: int) -> Pace:
    here = _paces.setdefault(asyncio.get_running_loop(), {})
    pace = here.get(tenant_id)
    if pace is None:
        if len(here) >= _MOST_TENANTS:
            here.clear()
        pace = here[tenant_id] = Pace(tenant_id, rate)
    pace.rate = rate
    return pace
