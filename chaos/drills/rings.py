"""Drill 9: every Celery message delivered ten times; the broker's queue deleted with 100 answers queued."""

import asyncio

from chaos.cluster import Setup
from chaos.drills.cancelling import cancel
from chaos.trial import Drill, Trial

ANSWERS = 100
DELIVERIES = 10
STARTED_SECONDS = 10.0
QUEUE = "celery"
# Fewer slots than answers: what is queued waits for a slot, and then nobody rings. Few threads, because each holds
# a message or two that the deletion does not reach.
SLOTS, THREADS = 60, 2


async def duplicated(trial: Trial) -> None:
    """Ten copies of each message wait before any worker is there to take one."""
    cluster, crowd = trial.cluster, trial.crowd
    count = trial.count(ANSWERS)
    workers = [cluster.process(name) for name in ("worker-1", "worker-2")]
    await asyncio.gather(*(trial.do(worker.stop) for worker in workers))
    await crowd.ask_many(count, "short")
    with cluster.redis() as redis:
        await trial.until(lambda: int(redis.llen(QUEUE)) >= count, 10)
        messages = redis.lrange(QUEUE, 0, -1)
        for _ in range(DELIVERIES - 1):
            redis.lpush(QUEUE, *messages)
        trial.figure("messages", int(redis.llen(QUEUE)))
        if int(redis.llen(QUEUE)) < DELIVERIES * count:
            trial.fail("drill-broken", f"{redis.llen(QUEUE)} messages wait for {count} answers")
    for worker in workers:
        worker.start()

    evidence = await trial.settle(readers_seconds=60)
    asked = {id for question in crowd.questions for id in question.lanes}
    again = [row.id for row in evidence.generations.values() if row.fence != 1 or row.claims != 1]
    if again:
        trial.fail("claimed-again", f"{len(again)} answers were claimed more than once: {again[:3]}")
    trial.figure("claims", sum(times for (id, _), times in evidence.claims.items() if id in asked))


async def deleted(trial: Trial) -> None:
    """Every slot is taken; the queue of those who wait is deleted; then slots become free."""
    cluster, crowd = trial.cluster, trial.crowd
    blockers = await crowd.ask_many(2 * SLOTS, "blocker", follow=False)
    if (
        not await trial.until(lambda: cluster.count_running() >= 2 * SLOTS, 10)
        and cluster.count_running() < 1.8 * SLOTS
    ):
        trial.fail("drill-broken", f"only {cluster.count_running()} of {2 * SLOTS} slots are taken")
    waiting = await crowd.ask_many(trial.count(ANSWERS), "short")
    with cluster.redis() as redis:
        trial.figure("rings deleted", int(redis.llen(QUEUE)))
        redis.delete(QUEUE)
    ids = [id for question in waiting for id in question.lanes]
    unstarted = "SELECT count(*) FROM conversations_generation WHERE id = ANY(%s::uuid[]) AND fence = 0"
    trial.figure("queued", int(cluster.value(unstarted, ids)))
    if int(cluster.value(unstarted, ids)) < 0.5 * len(ids):
        trial.fail("drill-broken", "most answers found a slot before there was one")

    cancelled = await asyncio.gather(*(cancel(trial, id) for question in blockers for id in question.lanes))
    # From the first slot that became free: the others were not free before.
    free_at = min(one.acknowledged_at for one in cancelled)
    await trial.until(lambda: int(cluster.value(unstarted, ids)) == 0, 2 * STARTED_SECONDS)
    started = cluster.rows(
        "SELECT extract(epoch FROM started_at)::float8 FROM conversations_generation WHERE id = ANY(%s::uuid[])", ids
    )
    waits = [row[0] - free_at if row[0] is not None else float("inf") for row in started]
    trial.at_most("started-late", "all started after", max(waits), STARTED_SECONDS)
    await trial.settle(readers_seconds=30)


DRILLS = (
    Drill("9-duplicates", "every Celery message ten times", duplicated, mutations=("claim-unlocked",)),
    Drill(
        "9-queue",
        "broker queue deleted with 100 queued",
        deleted,
        setup=Setup(env={"WORKER_SLOTS": str(SLOTS), "WORKER_THREADS": str(THREADS)}),
        mutations=("poll-off",),
    ),
)
