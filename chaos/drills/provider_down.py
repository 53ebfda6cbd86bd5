"""Drills 12 and 21: a provider goes down and comes back; two of three go down at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from chaos.evidence import Evidence
from chaos.trial import Drill, Trial, percentile

DOWN_SECONDS = 60.0
SHORTEST_DOWN_SECONDS = 20.0
ASK_EVERY_SECONDS = 0.4
BACK_SECONDS = 30.0
# Every process has heard of an opening by then, and calls that had begun before have failed.
HEARD_SECONDS = 2.0
# Probes come after 2, 4, 8, 16, 16 ... seconds.
CALLS_PER_SECOND = 0.5
PRIMARY = "bench-primary"
TRIO = ("bench-trio-a", "bench-trio-b")


async def primary_down(trial: Trial) -> None:
    async with _traffic(trial, "paired"):
        await asyncio.sleep(4)
        down_at = time.time()
        await _break(trial, {PRIMARY: "reset"})
        await asyncio.sleep(trial.dice.uniform(6, 8))
        await _break(trial, {PRIMARY: "hang"})
        await _kill_prober(trial)
        await _break(trial, {PRIMARY: "reset"})
        down_seconds = max(SHORTEST_DOWN_SECONDS, DOWN_SECONDS * trial.scale)
        await asyncio.sleep(max(0.0, down_at + down_seconds - time.time()))
        healthy_at = await _break(trial, {})
        await _back(trial, PRIMARY, healthy_at)
    evidence = await trial.settle(readers_seconds=30)
    trial.figure("down", healthy_at - down_at, " s")
    _served(trial, evidence)
    _one_probe_at_a_time(trial, evidence, healthy_at)


async def two_down(trial: Trial) -> None:
    async with _traffic(trial, "trio"):
        await asyncio.sleep(3)
        down_at = await _break(trial, {TRIO[0]: "reset", TRIO[1]: "503"})
        await asyncio.sleep(max(SHORTEST_DOWN_SECONDS, DOWN_SECONDS * trial.scale / 2))
        healthy_at = await _break(trial, {})
        await _back(trial, TRIO[0], healthy_at)
    evidence = await trial.settle(readers_seconds=30)
    _served(trial, evidence)
    settled_at = down_at + HEARD_SECONDS + 2
    for name in TRIO:
        calls = [one for one in _calls(evidence, name) if settled_at < one["started_at"] < healthy_at]
        trial.at_most(
            "hammered",
            f"calls to {name}",
            float(len(calls)),
            CALLS_PER_SECOND * (healthy_at - settled_at),
            "while it was down",
        )
    waits = [
        (row[0] - row[1]).total_seconds()
        for row in trial.cluster.rows(
            "SELECT min(a.first_token_at), g.queued_at FROM conversations_generation g JOIN conversations_attempt a "
            "ON a.generation_id = g.id WHERE g.queued_at > to_timestamp(%s) AND a.state = 'won' GROUP BY g.id",
            settled_at,
        )
        if row[0] is not None
    ]
    trial.figure("first token p95 while down", percentile(waits, 95), " s")


@asynccontextmanager
async def _traffic(trial: Trial, slug: str) -> AsyncIterator[None]:
    """Somebody asks all the time."""

    async def ask() -> None:
        asking = set()
        while True:
            task = asyncio.create_task(trial.crowd.ask_many(1, slug))
            asking.add(task)
            task.add_done_callback(asking.discard)
            await asyncio.sleep(ASK_EVERY_SECONDS * trial.dice.uniform(0.5, 1.5))

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.sleep(1)


async def _break(trial: Trial, faults: dict[str, str]) -> float:
    """From now on these models have these faults, and no others have any."""
    control = f"{trial.cluster.simulator_url}/control/faults"
    async with trial.crowd.session.delete(control) as response:
        response.raise_for_status()
    for model, kind in faults.items():
        async with trial.crowd.session.post(control, json={"model": f"{model}.*", "kind": kind}) as response:
            response.raise_for_status()
    return time.time()


async def _kill_prober(trial: Trial) -> None:
    """SIGKILL the worker whose call to the primary hangs, and start it again later.

    A failed attempt's row is closed with its answer, so only an attempt that no other followed is a call under way.
    """
    query = (
        "SELECT g.owner FROM conversations_attempt a JOIN conversations_generation g ON g.id = a.generation_id "
        "WHERE a.state = 'begun' AND a.began_at < now() - interval '1 second' AND a.deployment_id = "
        "(SELECT id FROM routing_deployment WHERE upstream_model LIKE %s) AND NOT EXISTS (SELECT 1 FROM "
        "conversations_attempt b WHERE b.generation_id = a.generation_id AND (b.fence, b.number) > (a.fence, a.number))"
    )
    owners: list[Any] = []

    def found() -> bool:
        owners[:] = [row[0] for row in trial.cluster.rows(query, f"{PRIMARY}%")]
        return bool(owners)

    if not await trial.until(found, 25):
        trial.fail("drill-broken", "nobody probed the primary")
        return
    names = {trial.cluster.worker_id(name): name for name in ("worker-1", "worker-2")}
    victim = names[owners[0]]
    trial.cluster.kill(victim)
    trial.figure("prober killed", victim)
    await asyncio.sleep(1)
    await trial.do(trial.cluster.process(victim).start)


async def _back(trial: Trial, name: str, healthy_at: float) -> None:
    """Until an answer comes from it again."""
    query = (
        "SELECT count(*) FROM conversations_attempt a JOIN routing_deployment d ON d.id = a.deployment_id "
        "WHERE a.state = 'won' AND a.began_at > to_timestamp(%s) AND d.upstream_model LIKE %s"
    )
    came = await trial.until(lambda: trial.cluster.value(query, healthy_at, f"{name}%") > 0, BACK_SECONDS + 1)
    trial.at_most("back-late", "back after", time.time() - healthy_at if came else float("inf"), BACK_SECONDS)


def _served(trial: Trial, evidence: Evidence) -> None:
    ended = [row.id for row in evidence.generations.values() if row.state != "completed"]
    if ended:
        trial.fail("unserved", f"{len(ended)} answers did not complete: {ended[:3]}")


def _calls(evidence: Evidence, name: str) -> list[dict[str, Any]]:
    return [one for one in evidence.bill if str(one["model"]).startswith(name)]


def _one_probe_at_a_time(trial: Trial, evidence: Evidence, healthy_at: float) -> None:
    """While the breaker is open, no two calls to the primary overlap anywhere in the fleet."""
    opened = [_moment(one) for one in trial.cluster.logged("breaker.opened")]
    closed = [_moment(one) for one in trial.cluster.logged("breaker.closed") if _moment(one) > healthy_at]
    if not opened or not closed:
        trial.fail("two-probes", f"breakers opened {len(opened)} times and closed {len(closed)} times")
        return
    since, until = min(opened) + HEARD_SECONDS, min(closed)
    probes = [one for one in _calls(evidence, PRIMARY) if since < one["started_at"] < until]
    probes.sort(key=lambda one: float(one["started_at"]))
    busy_until = 0.0
    for one in probes:
        if one["started_at"] < busy_until:
            trial.fail("two-probes", f"{one['attempt_id']} began {busy_until - one['started_at']:.2f} s too early")
        busy_until = max(busy_until, one["ended_at"] or float("inf"))
    trial.figure("probes", len(probes))


def _moment(entry: dict[str, Any]) -> float:
    return datetime.fromisoformat(entry["timestamp"]).timestamp()


DRILLS = (
    Drill("12", "the primary provider down, then healthy", primary_down, mutations=("probe-unleased", "lease-eternal")),
    Drill("21", "two of three providers down at once", two_down, mutations=("breakers-off",)),
)
