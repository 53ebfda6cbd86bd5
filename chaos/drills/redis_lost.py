"""Drill 4: Redis is killed with kill -9 and comes back with its append-only file; or loses everything (FLUSHALL)."""

import asyncio
import time
from typing import Any

import aiohttp

from chaos.cluster import Setup
from chaos.evidence import parallel_leases
from chaos.history import Seen
from chaos.readers import headers
from chaos.seed import PARALLEL_CALLS
from chaos.trial import Drill, Trial, percentile

ANSWERS = 100
AWAY_SECONDS = 2.0
RESUMED_SECONDS = 10.0
# A limit that cannot be checked is told within the time that clients wait for any answer of a door.
REFUSED_SECONDS = 3.0
# Beat repeats settlements that Redis did not hear, each 30 s.
REST_SECONDS = 45.0
# What a reader hears sooner may have been on its way before the loss.
IN_TRANSIT_SECONDS = 0.5


async def killed(trial: Trial) -> None:
    await _in_flight(trial)
    redis = trial.cluster.process("redis")
    away_at = time.time()
    trial.cluster.kill("redis")
    await trial.until(lambda: not redis.alive, 5, every_seconds=0.01)
    probes = asyncio.create_task(_probe_admission(trial, away_at + AWAY_SECONDS))
    await asyncio.sleep(AWAY_SECONDS)
    await trial.do(redis.start)
    back_at = time.time()
    trial.figure("away", back_at - away_at, " s")
    await probes
    await _accepts_again(trial)
    await _judge(trial, back_at)


async def flushed(trial: Trial) -> None:
    await _in_flight(trial)
    with trial.cluster.redis() as redis:
        redis.flushall()
    flushed_at = time.time()
    await _accepts_again(trial)
    await _counts_again(trial)
    await _judge(trial, flushed_at)


async def _in_flight(trial: Trial) -> None:
    count = trial.count(ANSWERS)
    await trial.crowd.ask_many(count, "long")
    await trial.until(lambda: trial.cluster.count_running() >= count, 20)
    await asyncio.sleep(trial.dice.uniform(0.5, 2.5))
    trial.figure("in flight", trial.cluster.count_running())


async def _judge(trial: Trial, lost_at: float) -> None:
    """All finish, and each reader heard something soon after Redis was there again."""
    crowd = trial.crowd
    running = {row[0] for row in trial.cluster.rows(
        "SELECT id::text FROM conversations_generation WHERE state = 'running' AND model_slug = 'long'"
    )}  # fmt: skip
    evidence = await trial.settle(readers_seconds=60, rest_seconds=REST_SECONDS)
    waits = [_first_after(events, lost_at) for id in running for events in crowd.events_of(id)]
    trial.at_most("resumed-late", "resumed p50", percentile(waits, 50), RESUMED_SECONDS)
    trial.at_most("resumed-late", "resumed p99", percentile(waits, 99), RESUMED_SECONDS)
    ended = [row.id for row in evidence.generations.values() if row.state != "completed"]
    if ended:
        trial.fail("lost", f"{len(ended)} answers did not complete: {ended[:3]}")


def _first_after(events: list[Seen], instant: float) -> float:
    return next((event.at - instant for event in events if event.at >= instant + IN_TRANSIT_SECONDS), float("inf"))


async def _post(trial: Trial) -> tuple[int, dict[str, Any], float, str | None]:
    """Ask once, without repeating: status, body, seconds, Retry-After."""
    question = trial.crowd.question("short")
    began = time.time()
    async with trial.crowd.session.post(
        f"{trial.dice.choice(trial.cluster.web_urls)}/v1/chat/messages",
        json={"message": question.text, "models": list(question.models)},
        headers=headers(question.caller) | {"Prefer": "respond-async", "Idempotency-Key": question.key},
        timeout=aiohttp.ClientTimeout(total=15),
    ) as response:
        body = await response.json(content_type=None)
        seconds = time.time() - began
        if response.status == 202:
            question.accept(body)
            trial.crowd.follow(question)
        else:
            trial.crowd.questions.remove(question)
        return response.status, body, seconds, response.headers.get("Retry-After")


async def _probe_admission(trial: Trial, until: float) -> None:
    """While Redis is away a message is refused quickly, as retryable; it never hangs and is never half accepted."""
    slowest, refused = 0.0, 0
    while time.time() < until:
        status, body, seconds, retry_after = await _post(trial)
        slowest = max(slowest, seconds)
        if status == 503 and body.get("retryable") and retry_after is not None:
            refused += 1
        elif status != 202:
            trial.fail("admission", f"status {status} (Retry-After {retry_after}) while Redis is away: {body}")
        await asyncio.sleep(0.2)
    trial.figure("refused meanwhile", refused)
    trial.at_most("admission", "slowest refusal", slowest, REFUSED_SECONDS)


async def _accepts_again(trial: Trial) -> None:
    """Once Redis answers, messages are accepted; counters that were lost are rebuilt first."""
    began = time.time()
    status = 0
    while status != 202 and time.time() - began < RESUMED_SECONDS:
        status, body, _, _ = await _post(trial)
        if status not in (202, 503):
            trial.fail("admission", f"status {status}: {body}")
            return
    trial.at_most("admission", "accepting after", time.time() - began, REFUSED_SECONDS)


async def _counts_again(trial: Trial) -> None:
    """After the loss admission counts every answer that is running, and no other."""
    query = "SELECT count(*) FROM billing_reservation WHERE state = 'open' AND tenant_id = %s"
    caller = trial.cluster.callers[(len(trial.crowd.questions) - 1) % len(trial.crowd.callers)]
    before = int(trial.cluster.value(query, caller.tenant_id))
    counted = parallel_leases(trial.cluster, [caller])
    after = int(trial.cluster.value(query, caller.tenant_id))
    trial.figure("counted again", f"{counted} of {after}")
    if not min(before, after) <= counted <= max(before, after) <= PARALLEL_CALLS:
        trial.fail("admission", f"admission counts {counted} calls, open are {before} to {after}")


DRILLS = (
    Drill("4-kill", "Redis kill -9 with AOF", killed, setup=Setup(beat=True), mutations=("reconnect-off",)),
    Drill("4-flushall", "Redis FLUSHALL", flushed, setup=Setup(beat=True), mutations=("replay-off",)),
)
