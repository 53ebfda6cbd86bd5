"""The whole way at once: ask at both doors, one worker, one web process, and read to the end."""

from __future__ import annotations

import asyncio

import aiohttp

from benchmarks.doors import ChatSocket, Heard, ask_by_sse
from benchmarks.figures import Part
from benchmarks.lag import token_lags
from benchmarks.meter import CpuMeter, Memory, memory
from benchmarks.site import Site, active_streams, upstream_calls

_MODEL = "bench-short"
_ASKED_PER_SECOND = 25
_IDLE_SECONDS = 3.0


async def measure(site: Site, part: Part, streams: int, stream_seconds: int) -> None:
    """Ask `streams` questions, every other over a WebSocket of its own, and measure while all are answered."""
    await asyncio.sleep(_IDLE_SECONDS)
    idle = {name: memory(pid) for name, pid in site.pids().items()}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        sockets = [await ChatSocket.open(session, site.stack.url, site.key) for _ in range(streams // 2)]
        asking: list[asyncio.Task[Heard]] = []
        for number in range(streams):
            coroutine = (
                sockets[number // 2].ask(_MODEL)
                if number % 2
                else ask_by_sse(session, site.stack.url, site.key, _MODEL)
            )
            asking.append(asyncio.create_task(coroutine))
            await asyncio.sleep(1 / _ASKED_PER_SECOND)
        running = await _watch(site, session, streams, stream_seconds)
        async with asyncio.timeout(3 * stream_seconds + 60):
            heard = await asyncio.gather(*asking)
        for socket in sockets:
            await socket.close()
        ids = [one.generation_id for one in heard if one.generation_id is not None]
        calls = await upstream_calls(session, site, ids)
    lags = [
        lag for one in heard if one.generation_id in calls for lag in token_lags(one.arrivals, calls[one.generation_id])
    ]
    part.add("streams completed", sum(one.complete for one in heard), "", aim=streams, more_is_better=True)
    part.add_delays("a token's way from the simulator to the client", lags)
    _add_processes(part, idle, *running)


async def _watch(
    site: Site, session: aiohttp.ClientSession, streams: int, stream_seconds: int
) -> tuple[dict[str, float], dict[str, Memory], int]:
    """CPU and memory of every process over half a stream's length while the streams run; and how many ran."""
    waited = 0.0
    while await active_streams(session, site) < streams and waited < stream_seconds / 4:
        await asyncio.sleep(0.25)
        waited += 0.25
    cpu = CpuMeter(site.pids())
    await asyncio.sleep(stream_seconds / 2)
    loaded = {name: memory(pid) for name, pid in site.pids().items()}
    return cpu.shares(), loaded, await active_streams(session, site)


def _add_processes(
    part: Part, idle: dict[str, Memory], shares: dict[str, float], loaded: dict[str, Memory], running: int
) -> None:
    part.add("streams running while measured", running, "")
    for name in sorted(shares):
        part.add(f"{name}: CPU", 100 * shares[name], "% of a core")
    for name in sorted(shares):
        part.add(f"{name}: RSS idle", idle[name].rss_mb, "MB")
        part.add(f"{name}: RSS loaded", loaded[name].rss_mb, "MB")
        part.add(f"{name}: PSS idle", idle[name].pss_mb, "MB")
        part.add(f"{name}: PSS loaded", loaded[name].pss_mb, "MB")
    part.add("all processes: PSS idle", sum(one.pss_mb for one in idle.values()), "MB")
    part.add("all processes: PSS loaded", sum(one.pss_mb for one in loaded.values()), "MB")
