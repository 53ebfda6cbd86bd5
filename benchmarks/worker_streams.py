"""How many streams one worker process holds, alone on a core, read by a few log readers and nobody else."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from uuid import UUID

import aiohttp
import orjson

from apps.streaming import connect
from apps.streaming.errors import StreamingError
from apps.streaming.reader import LogReader
from benchmarks.figures import Part, percentile
from benchmarks.lag import Arrivals, token_lags
from benchmarks.meter import cpu_seconds, memory
from benchmarks.site import Site, UpstreamCall, active_streams, upstream_calls

_SAMPLED = 20
_MODEL = "bench-long"
HOLDS_LAG_SECONDS = 0.5
AIM_STREAMS = 500
_START_SECONDS = 60.0
_END_MARGIN_SECONDS = 60.0


@dataclass(slots=True)
class Step:
    """What was seen of one number of streams."""

    streams: int
    ids: list[UUID] = field(default_factory=list)
    arrivals: dict[UUID, Arrivals] = field(default_factory=dict)
    subscribed_at: dict[UUID, float] = field(default_factory=dict)
    cpu_share: float = 0.0
    rss_mb: float = 0.0
    all_running: bool = False
    completed: int = 0
    steady_lags: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    commit_delays: list[float] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Every stream completed, all ran at once, and chunks arrived as fast as they were born."""
        keeps_up = percentile(self.steady_lags, 0.99) < HOLDS_LAG_SECONDS
        return keeps_up and self.all_running and self.completed == self.streams


async def measure(site: Site, part: Part, ramp: list[int], stream_seconds: int) -> None:
    """Try each number of streams in turn, until one does not hold."""
    held = 0
    for streams in ramp:
        step = await _try(site, "worker-1", streams, stream_seconds)
        _report(part, step)
        if not step.holds:
            break
        held = streams
    aim = AIM_STREAMS if max(ramp) >= AIM_STREAMS else None  # a short run does not try as many
    part.add("streams held", held, "", aim=aim, more_is_better=True)


async def measure_each(site: Site, part: Part, worker: str, streams: int, stream_seconds: int) -> None:
    """What one stream costs a worker: its share of a core, and of the memory above an idle worker's."""
    idle_mb = memory(site.pids()[worker]).rss_mb
    # The first answers load what is loaded once.
    await _try(site, worker, 2, stream_seconds)
    warm_mb = memory(site.pids()[worker]).rss_mb
    step = await _try(site, worker, streams, stream_seconds)
    part.add(f"{worker}: idle RSS", idle_mb, "MB")
    part.add(f"{worker}: RSS after two answers", warm_mb, "MB")
    part.add(f"{worker}: RSS with {streams} streams", step.rss_mb, "MB")
    part.add(f"{worker}: memory of a stream", 1000 * (step.rss_mb - warm_mb) / streams, "kB")
    part.add(f"{worker}: CPU with {streams} streams", 100 * step.cpu_share, "% of a core")
    part.add(f"{worker}: CPU of a stream", 1000 * step.cpu_share / streams, "ms a second")
    part.add_delays(f"{worker}: lag", step.steady_lags)
    part.add(f"{worker}: completed", step.completed, "", aim=streams, more_is_better=True)
    part.add(f"{worker}: all at once", float(step.all_running), "", aim=1, more_is_better=True)


def _report(part: Part, step: Step) -> None:
    name = f"{step.streams} streams"
    part.add(f"{name}: worker CPU", 100 * step.cpu_share, "% of a core")
    part.add(f"{name}: worker RSS", step.rss_mb, "MB")
    part.add_delays(f"{name}: lag while all run", step.steady_lags)
    part.add(f"{name}: lag from first start to last end, p99", 1000 * percentile(step.lags, 0.99), "ms")
    part.add(f"{name}: provider's end to commit, p50", 1000 * statistics.median(step.commit_delays or [-1]), "ms")
    part.add(f"{name}: provider's end to commit, longest", 1000 * max(step.commit_delays, default=-1), "ms")
    part.add(f"{name}: completed", step.completed, "", aim=step.streams, more_is_better=True)
    part.add(f"{name}: all at once", float(step.all_running), "", aim=1, more_is_better=True)


async def _try(site: Site, worker: str, streams: int, stream_seconds: int) -> Step:
    step = Step(streams)
    redis = connect(site.stack.env["REDIS_URL"])
    reader = LogReader(redis)
    samples: list[asyncio.Task[None]] = []
    async with aiohttp.ClientSession() as session:
        script = site.script("benchmarks.turns", _MODEL, str(streams))
        try:
            window = asyncio.create_task(_watch(site, session, worker, step, stream_seconds))
            await _collect_ids(script, step, reader, samples)
            began, ended = await window
            async with asyncio.timeout(stream_seconds + _END_MARGIN_SECONDS):
                await asyncio.gather(*samples)
                await _all_final(site, step)
        finally:
            script.kill()
            for task in samples:
                task.cancel()
            await reader.aclose()
            await redis.aclose()
        calls = await upstream_calls(session, site, step.ids)
    _evaluate(site, step, calls, began, ended)
    return step


async def _collect_ids(
    script: subprocess.Popen[str], step: Step, reader: LogReader, samples: list[asyncio.Task[None]]
) -> None:
    """Read the ids as turns are accepted, and follow every so many-th of them at once."""
    every = max(1, step.streams // _SAMPLED)
    assert script.stdout is not None
    while line := await asyncio.to_thread(script.stdout.readline):
        for text in json.loads(line):
            generation_id = UUID(text)
            if len(step.ids) % every == 0 and len(samples) < _SAMPLED:
                samples.append(asyncio.create_task(_sample(step, reader, generation_id)))
            step.ids.append(generation_id)
        await asyncio.sleep(0)
    if len(step.ids) != step.streams:
        raise RuntimeError(f"{len(step.ids)} of {step.streams} turns were accepted")


async def _sample(step: Step, reader: LogReader, generation_id: UUID) -> None:
    arrivals = step.arrivals[generation_id] = []
    subscription = reader.subscribe(generation_id, None)
    step.subscribed_at[generation_id] = time.time()
    try:
        while True:
            entry = await subscription.next()
            if entry is None:
                continue
            now = time.time()
            if entry.type == "token.delta":
                arrivals.append((now, orjson.loads(entry.body)["text"]))
            elif entry.type in ("message.completed", "message.error"):
                return
    except StreamingError as error:
        raise RuntimeError(f"a sampling reader failed: {error}") from error
    finally:
        subscription.close()


async def _watch(
    site: Site, session: aiohttp.ClientSession, worker: str, step: Step, stream_seconds: int
) -> tuple[float, float]:
    """Wait until all streams run, then measure the worker for half of a stream's length. Returns that window."""
    pid = site.pids()[worker]
    deadline = time.monotonic() + min(_START_SECONDS, 0.8 * stream_seconds)
    while time.monotonic() < deadline and not step.all_running:
        await asyncio.sleep(0.25)
        step.all_running = await active_streams(session, site) >= step.streams
    began, cpu_before = time.time(), cpu_seconds(pid)
    await asyncio.sleep(stream_seconds / 2 if step.all_running else stream_seconds / 10)
    step.all_running = step.all_running and await active_streams(session, site) >= step.streams
    ended = time.time()
    step.cpu_share = (cpu_seconds(pid) - cpu_before) / (ended - began)
    step.rss_mb = memory(pid).rss_mb
    return began, ended


async def _all_final(site: Site, step: Step) -> None:
    query = "SELECT count(*) FROM conversations_generation WHERE id = ANY(%s) AND finished_at IS NULL"
    while site.rows(query, step.ids)[0][0]:
        await asyncio.sleep(0.5)


def _evaluate(site: Site, step: Step, calls: dict[UUID, UpstreamCall], began: float, ended: float) -> None:
    query = "SELECT id, state, extract(epoch FROM finished_at)::float8 FROM conversations_generation WHERE id = ANY(%s)"
    rows = site.rows(query, step.ids)
    step.completed = sum(state == "completed" for _, state, _ in rows)
    step.commit_delays = [finished - calls[id].ended_at for id, _, finished in rows if id in calls]
    for generation_id, arrivals in step.arrivals.items():
        call = calls.get(generation_id)
        if call is None:
            continue
        step.lags += token_lags(arrivals, call, born_after=step.subscribed_at[generation_id])
        step.steady_lags += token_lags(arrivals, call, born_after=began, born_before=ended)
