"""Calls at a fixed rate, whether or not the earlier ones are answered: how long each takes."""

from __future__ import annotations

import asyncio
import gc
import re
import time
from collections.abc import Callable

import aiohttp
import uvloop

from benchmarks.gateway.shapes import Shape
from benchmarks.gateway.targets import Target

# The first text of a stream. A role alone, which a gateway may send before it has heard anything, is none.
_TEXT = re.compile(rb'"content":\s*"[^"]')
_WARM_UP_CALLS = 10
_TIMEOUT_SECONDS = 30
_RESPITE_SECONDS = 0.2


def delays(target: Target, shape: Shape, per_second: float, seconds: float) -> tuple[list[float], int]:
    """Seconds from when each call was due until its answer was there (of a stream: its first text), and how many
    failed."""
    gc.collect()
    gc.disable()  # a pause of this program is none of theirs
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_delays(target, shape, per_second, seconds))
    finally:
        gc.enable()


async def _delays(target: Target, shape: Shape, per_second: float, seconds: float) -> tuple[list[float], int]:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=75)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=target.headers) as session:
        for _ in range(_WARM_UP_CALLS):
            await _one(session, target.url, shape, time.perf_counter)
        await asyncio.sleep(_RESPITE_SECONDS)
        began = time.perf_counter()
        calls = []
        for number in range(round(per_second * seconds)):
            due = began + number / per_second
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            calls.append((due, asyncio.create_task(_one(session, target.url, shape, time.perf_counter))))
        ends = await asyncio.gather(*(call for _, call in calls))
    taken = [end - due for (due, _), end in zip(calls, ends, strict=True) if end is not None]
    return taken, len(calls) - len(taken)


async def _one(session: aiohttp.ClientSession, url: str, shape: Shape, clock: Callable[[], float]) -> float | None:
    """When it was answered by this clock, None when it was not."""
    try:
        async with session.post(url, data=shape.body) as response:
            if response.status != 200:
                return None
            if not shape.stream:
                await response.read()
                return clock()
            found, seen = None, b""
            async for piece in response.content.iter_any():
                if found is None:
                    seen += piece
                    found = clock() if _TEXT.search(seen) else None
            return found
    except (aiohttp.ClientError, TimeoutError):
        return None
