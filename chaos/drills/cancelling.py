"""Drill 10: 200 cancels at random instants: queued, before the first token, in the answer, between two attempts."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import aiohttp

from chaos.cluster import Setup
from chaos.evidence import TERMINAL_STATES, Evidence
from chaos.readers import Question, headers
from chaos.trial import Drill, Trial, percentile

CANCELS = 200
MODELS = ("faltering", "faltering", "rescued", "steady")
LATEST_SECONDS = 3.5  # after acceptance
AT_ONCE = 2
ACKNOWLEDGED_SECONDS = 0.3
CONTROL_EVERY_SECONDS = 0.1
CLOSED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Cancel:
    """One cancel; times in Unix seconds. `state` is what the door told."""

    generation_id: str
    asked_at: float
    acknowledged_at: float
    state: str


async def cancel(trial: Trial, generation_id: str) -> Cancel:
    """Stop one answer. A refusal is a violation."""
    owner = next(question for question in trial.crowd.questions if generation_id in question.lanes)
    address = f"{trial.dice.choice(trial.cluster.web_urls)}/v1/chat/generations/{generation_id}/cancel"
    began = time.time()
    async with trial.crowd.session.post(
        address, headers=headers(owner.caller), timeout=aiohttp.ClientTimeout(total=10)
    ) as response:
        body = await response.json(content_type=None)
        if response.status != 202:
            trial.fail("cancel", f"{generation_id}: status {response.status} {body}")
        return Cancel(generation_id, began, time.time(), str(body.get("state")))


async def _bare_requests(trial: Trial, waits: list[float]) -> None:
    """The control: what a request takes that does nothing. It changes no verdict; it tells whose slowness is seen."""
    while True:
        began = time.time()
        async with trial.crowd.session.get(f"{trial.dice.choice(trial.cluster.web_urls)}/healthz") as response:
            await response.read()
        waits.append(time.time() - began)
        await asyncio.sleep(CONTROL_EVERY_SECONDS)


async def run(trial: Trial) -> None:
    crowd, count = trial.crowd, trial.count(CANCELS)
    cancels: list[Cancel] = []
    going = asyncio.Semaphore(AT_ONCE)

    async def stop_later(question: Question) -> None:
        await asyncio.sleep(trial.dice.uniform(0.0, LATEST_SECONDS))
        cancels.append(await cancel(trial, question.generation_ids[0]))

    async def ask_and_stop(model: str) -> "asyncio.Task[None]":
        async with going:
            (question,) = await crowd.ask_many(1, model)
            # Spread over the whole drill: what is measured is a cancel, not a burst of them.
            await asyncio.sleep(trial.dice.uniform(0.0, 0.4))
        return asyncio.create_task(stop_later(question))

    bare: list[float] = []
    control = asyncio.create_task(_bare_requests(trial, bare))
    tasks = await asyncio.gather(*(ask_and_stop(MODELS[number % len(MODELS)]) for number in range(count)))
    await asyncio.gather(*tasks)
    control.cancel()

    evidence = await trial.settle(readers_seconds=40)
    waits = [one.acknowledged_at - one.asked_at for one in cancels]
    trial.figure("cancels", len(cancels))
    trial.figure("acknowledged p50", 1000 * percentile(waits, 50), " ms")
    trial.figure("bare request p50", 1000 * percentile(bare, 50), " ms")
    trial.figure("bare request p99", 1000 * percentile(bare, 99), " ms")
    trial.at_most("acknowledged-late", "acknowledged p99", percentile(waits, 99), ACKNOWLEDGED_SECONDS)
    _judge(trial, evidence, cancels)


def _judge(trial: Trial, evidence: Evidence, cancels: list[Cancel]) -> None:
    """No attempt after the acknowledgement; calls that had begun are closed; and what the instants happened to hit."""
    calls = {call["attempt_id"]: call for call in evidence.bill}
    closed_after: list[float] = []
    between = 0
    for one in cancels:
        attempts = [row for row in evidence.attempts.values() if row.generation_id == one.generation_id]
        late = [row.id for row in attempts if row.began_at > one.acknowledged_at]
        if late:
            trial.fail("attempt-after-cancel", f"{one.generation_id}: {len(late)} attempts after the acknowledgement")
        ended = [calls[row.id]["ended_at"] for row in attempts if row.id in calls]
        if any(at is None for at in ended):
            trial.fail("call-open", f"{one.generation_id}: a call is open at the end of the drill")
        closed_after += [at - one.acknowledged_at for at in ended if at is not None and at > one.acknowledged_at]
        begun = [at for at in ended if at is not None and at < one.asked_at]
        between += bool(begun) and len(begun) == len(attempts)
    trial.at_most("call-open", "begun calls closed", max(closed_after, default=0.0), CLOSED_SECONDS)
    trial.figure("closed meanwhile", len(closed_after))
    trial.figure("between attempts", between)
    states = Counter(evidence.generations[one.generation_id].state for one in cancels)
    trial.figure("states", " ".join(f"{state}:{times}" for state, times in sorted(states.items())))
    for one in cancels:
        final = evidence.generations[one.generation_id].state
        if one.state in TERMINAL_STATES and one.state != final:
            trial.fail("cancel", f"{one.generation_id} was told to be {one.state} and is {final}")


# Cancels between two attempts need deployments that are called again however often they fail.
SETUP = Setup(env={"BREAKER_FAILURES": "1000000"})
DRILLS = (Drill("10", "200 cancels at random instants", run, setup=SETUP, mutations=("gate-open", "cancels-unheard")),)
