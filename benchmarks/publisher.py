"""Writes many logs at a steady rate straight into Redis. Run as a script in a Stack's environment.

`python -m benchmarks.publisher MODEL LOGS SECONDS`: prints the generations' ids, waits for a line on its input, opens
the logs, says `publishing`, and ends with its own figures. Each entry's text carries the time it was appended.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from uuid import UUID, uuid4

import django
import uvloop

from benchmarks.turns import start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")

ENTRIES_PER_SECOND = 20
_TICK_SECONDS = 0.005
_SETTLE_SECONDS = 3.0
_FENCE = 1


def prepare(model: str, count: int) -> list[UUID]:
    """Generations that look as if a worker answered them."""
    from django.db import connections

    ids = [id for turn in start(model, count) for id in turn]
    worker_id = uuid4()
    with connections["engine"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO conversations_worker (id, name, slots, lease_until) "
            "VALUES (%s, 'publisher', %s, clock_timestamp() + interval '1 hour')",
            [worker_id, count],
        )
        cursor.execute(
            "UPDATE conversations_generation SET state = 'running', owner = %s, fence = %s, claims = 1, "
            "started_at = clock_timestamp() WHERE id = ANY(%s)",
            [worker_id, _FENCE, ids],
        )
    connections.close_all()
    return ids


async def publish(ids: list[UUID], redis_url: str, seconds: float) -> dict[str, float]:
    """Append to every log twenty times a second, spread evenly over the time."""
    from apps.streaming import connect
    from apps.streaming.writer import LogWriter

    redis = connect(redis_url)
    writer = LogWriter(redis, may_append=lambda: True)
    body = {"model": "bench", "model_name": "Bench", "hue": 1, "fence": _FENCE, "keep": 0}
    handles = [await writer.open(id, _FENCE, body | {"message_id": str(id)}) for id in ids]
    await asyncio.sleep(_SETTLE_SECONDS)
    print("publishing", flush=True)
    groups = round(1 / ENTRIES_PER_SECOND / _TICK_SECONDS)
    loop = asyncio.get_running_loop()
    began, cpu_before, latest = loop.time(), time.process_time(), 0.0
    ticks = round(seconds / _TICK_SECONDS)
    for tick in range(ticks):
        wait_seconds = began + tick * _TICK_SECONDS - loop.time()
        latest = max(latest, -wait_seconds)
        await asyncio.sleep(max(0.0, wait_seconds))
        for handle in handles[tick % groups :: groups]:
            handle.text("token.delta", f"@{time.monotonic_ns()} of a quiet harbour")
    await asyncio.gather(*(handle.flushed() for handle in handles))
    took, cpu = loop.time() - began, time.process_time() - cpu_before
    await writer.aclose()
    await redis.aclose()
    appended = sum(len(handles[tick % groups :: groups]) for tick in range(ticks))
    return {"appended": appended, "seconds": took, "cpu_share": cpu / took, "latest_ms": 1000 * latest}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    django.setup()
    ids = prepare(sys.argv[1], int(sys.argv[2]))
    print(json.dumps([str(id) for id in ids]), flush=True)
    sys.stdin.readline()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(publish(ids, os.environ["REDIS_URL"], float(sys.argv[3])))
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
