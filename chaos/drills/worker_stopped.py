"""Drill 2: SIGSTOP a worker for 10 s, then SIGCONT. What it held belongs to others by then."""

import asyncio
import signal
import time

from chaos.trial import Drill, Trial, percentile

ANSWERS = 60
STOPPED_SECONDS = 10.0
CALLS_CLOSED_SECONDS = 2.0


async def run(trial: Trial) -> None:
    cluster, crowd = trial.cluster, trial.crowd
    count = trial.count(ANSWERS)
    await crowd.ask_many(count, "long")
    await trial.until(lambda: cluster.count_running() >= count, 20)
    await asyncio.sleep(trial.dice.uniform(0.5, 2.0))

    zombie = trial.dice.choice(("worker-1", "worker-2"))
    orphans = cluster.running_of(cluster.worker_id(zombie))
    trial.figure("orphans", len(orphans))
    if len(orphans) < count // 8:
        trial.fail("drill-broken", f"{zombie} holds only {len(orphans)} of {count} answers")
    cluster.kill(zombie, signal.SIGSTOP)
    await asyncio.sleep(STOPPED_SECONDS)
    taken = cluster.value(
        "SELECT count(*) FROM conversations_generation WHERE id = ANY(%s::uuid[]) AND fence > 1", orphans
    )
    trial.figure("taken over", int(taken))
    resumed_at = time.time()
    cluster.kill(zombie, signal.SIGCONT)

    evidence = await trial.settle(readers_seconds=60)
    calls = {call["attempt_id"]: call for call in evidence.bill}
    late = [
        calls[attempt.id]["ended_at"] - resumed_at
        for attempt in evidence.attempts.values()
        if attempt.generation_id in orphans and attempt.fence == 1 and attempt.id in calls
    ]
    still_open = [seconds for seconds in late if seconds > 0]
    trial.figure("calls open at SIGCONT", len(still_open))
    if not still_open:
        trial.fail("drill-broken", "no call of the stopped worker was open when it woke")
    trial.at_most("zombie-call", "zombie's calls closed", percentile(still_open, 100), CALLS_CLOSED_SECONDS)
    _nothing_of_the_zombie(trial, set(orphans))


def _nothing_of_the_zombie(trial: Trial, orphans: set[str]) -> None:
    """No reader was told anything under an old fence once it knew of a new one."""
    for generation_id in orphans:
        for events in trial.crowd.events_of(generation_id):
            highest = 0
            for event in events:
                if event.fence < highest:
                    trial.fail("zombie-event", f"{generation_id}: {event.position} after fence {highest}")
                highest = max(highest, event.fence)


DRILLS = (Drill("2", "SIGSTOP a worker 10 s, then SIGCONT", run, mutations=("unfenced-log",)),)
