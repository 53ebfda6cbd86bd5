"""Drill 3: SIGTERM a worker with 50 answers running, some shorter than its drain and some longer."""

import asyncio
import time

from chaos.trial import Drill, Trial

ANSWERS = 100  # for two workers
LEAVE_SECONDS = 30.0


async def run(trial: Trial) -> None:
    cluster, crowd = trial.cluster, trial.crowd
    count = trial.count(ANSWERS)
    outlasting = max(4, count // 5)
    await crowd.ask_many(count - outlasting, "drained")
    await crowd.ask_many(outlasting, "outlasting")
    await trial.until(lambda: cluster.count_running() >= count, 10)
    holding = {name: cluster.running_of(cluster.worker_id(name)) for name in ("worker-1", "worker-2")}
    slow = {id for question in crowd.questions if question.models[0] == "outlasting" for id in question.lanes}
    leaver = max(holding, key=lambda name: (len(slow.intersection(holding[name])), len(holding[name])))
    held = holding[leaver]
    if len(held) < count // 3:
        trial.fail("drill-broken", f"{leaver} holds {len(held)} of {count} answers")

    began = time.time()
    cluster.process(leaver).terminate()
    left = await trial.until(lambda: not cluster.process(leaver).alive, LEAVE_SECONDS + 20)
    trial.figure("running at SIGTERM", len(held))
    trial.at_most("left-late", "left after", time.time() - began if left else float("inf"), LEAVE_SECONDS)
    await _handed_over(trial, began)
    evidence = await trial.settle(readers_seconds=60)

    rows = {id: evidence.generations[id] for id in held}
    models = {id: question.models[0] for question in crowd.questions for id in question.lanes}
    cut = [id for id, row in rows.items() if models[id] == "drained" and row.fence != 1]
    if cut:
        trial.fail("cut-short", f"{len(cut)} answers would have ended within the drain: {cut[:3]}")
    handed = [row for row in rows.values() if row.fence > 1]
    trial.figure("handed over", len(handed))
    if not handed:
        trial.fail("drill-broken", "nothing outlasted the drain")
    counted = [row.id for row in handed if row.claims != 1]
    if counted:
        trial.fail("claim-counted", f"{len(counted)} claims count although the work was handed back: {counted[:3]}")
    ended = [row.id for row in rows.values() if row.state != "completed"]
    if ended:
        trial.fail("lost", f"{len(ended)} answers did not complete: {ended[:3]}")


async def _handed_over(trial: Trial, began: float) -> None:
    """When the last answer that is still running found its new worker."""
    query = "SELECT count(*) FROM conversations_generation WHERE state = 'queued'"
    while int(trial.cluster.value(query)) and time.time() - began < 2 * LEAVE_SECONDS:
        await asyncio.sleep(0.1)
    trial.at_most("left-late", "handed over after", time.time() - began, LEAVE_SECONDS)


DRILLS = (Drill("3", "SIGTERM with 50 running", run, mutations=("drain-off", "hand-back-off")),)
