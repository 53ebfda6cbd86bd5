"""Drill 1: SIGKILL one of two workers with 100 answers in flight."""

import asyncio
import time

from chaos.history import first_delta_after
from chaos.readers import headers
from chaos.trial import Drill, Trial, percentile

ANSWERS = 100
CANCELLED_MEANWHILE = 4


async def run(trial: Trial) -> None:
    cluster, crowd = trial.cluster, trial.crowd
    count = trial.count(ANSWERS)
    await crowd.ask_many(count - count // 5, "steady")
    await crowd.ask_many(count // 10, "steady", "steady")  # side by side: two lanes in one stream
    await trial.until(lambda: cluster.count_running() >= count, 20)
    await asyncio.sleep(trial.dice.uniform(0.5, 2.5))

    held = {name: cluster.running_of(cluster.worker_id(name)) for name in ("worker-1", "worker-2")}
    victim = max(held, key=lambda name: len(held[name]))
    orphans = held[victim]
    trial.figure("in flight", sum(map(len, held.values())))
    trial.figure("orphans", len(orphans))
    if len(orphans) < count // 5:
        trial.fail("drill-broken", f"{victim} holds only {len(orphans)} of {count} answers")
    killed_at = time.time()
    cluster.kill(victim)
    cancelled = trial.dice.sample(orphans, min(CANCELLED_MEANWHILE, len(orphans)))
    await _cancel(trial, cancelled)

    await trial.settle(readers_seconds=45)
    waits = []
    for generation_id in set(orphans) - set(cancelled):
        told = [first_delta_after(events, killed_at, above_fence=1) for events in crowd.events_of(generation_id)]
        waits += [at - killed_at for at in told if at is not None]
    trial.at_most("resumed-late", "resumed p50", percentile(waits, 50), 6.0)
    trial.at_most("resumed-late", "resumed p99", percentile(waits, 99), 10.0)
    lost = [id for id, row in _rows(trial).items() if row != "completed" and id not in cancelled]
    if lost:
        trial.fail("lost", f"{len(lost)} answers did not complete: {lost[:3]}")


def _rows(trial: Trial) -> dict[str, str]:
    assert trial.evidence is not None
    return {id: row.state for id, row in trial.evidence.generations.items()}


async def _cancel(trial: Trial, generation_ids: list[str]) -> None:
    """Stop answers whose worker is dead: whoever reaps must end them, and tell their readers."""
    owner = {id: question for question in trial.crowd.questions for id in question.lanes}
    for generation_id in generation_ids:
        address = f"{trial.cluster.web_urls[0]}/v1/chat/generations/{generation_id}/cancel"
        sent = headers(owner[generation_id].caller)
        async with trial.crowd.session.post(address, headers=sent) as response:
            if response.status != 202:
                trial.fail("cancel", f"{generation_id}: status {response.status}")


DRILLS = (Drill("1", "SIGKILL one of two workers", run, mutations=("reaper-off",)),)
