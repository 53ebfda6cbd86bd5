"""Drill 14: fifty parallel posts with one idempotency key, over two web processes; meanwhile and then another body.

At the native door they are one turn; at the gateway one call, whose answer all are told byte for byte, streams too,
also where some of them hang up.
"""

import asyncio
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from chaos.readers import Question, headers
from chaos.trial import Drill, Trial

POSTS = 50
OTHER_BODIES = 10
MOST_TRIES = 60
_ANSWER = aiohttp.ClientTimeout(total=40)
_Told = tuple[int, dict[str, Any]]


async def chats(trial: Trial) -> None:
    """One turn, one generation, one attempt, one charge: all posts are told of the same; another body is told no."""
    question = trial.crowd.question("short")
    told = await _post_many(trial, question, trial.count(POSTS))
    statuses = Counter(status for status, _ in told)
    trial.figure("posts", len(told))
    accepted = [body for status, body in told if status == 202]
    if len(accepted) != len(told):
        trial.fail("answered-strangely", f"posts with one key and one body were answered {dict(statuses)}")
    if not accepted:
        raise RuntimeError("nothing was accepted")
    question.accept(accepted[0])
    _count_turns(trial, accepted, question)
    others = await asyncio.gather(
        *(_post(trial, question, number, f"{question.text} of {number}") for number in range(OTHER_BODIES))
    )
    _all_refused(trial, others, "while the answer is under way")
    trial.crowd.follow(question)
    await trial.crowd.finished(30)
    status, body = await _post(trial, question, 1, question.text)
    if status != 202 or body["turn_id"] != question.turn_id:
        trial.fail("turns", f"after the answer the key was answered {status} {body}")
    _all_refused(trial, [await _post(trial, question, 0, "Something else")], "after the answer")
    evidence = await trial.settle(readers_seconds=5)
    if len(evidence.generations) != 1 or len(evidence.bill) != 1 or len(evidence.lines) != 1:
        sums = len(evidence.generations), len(evidence.bill), len(evidence.lines)
        trial.fail("turns", f"one question made {sums} generations, calls and ledger lines")


async def _post_many(trial: Trial, question: Question, count: int) -> list[_Told]:
    return list(await asyncio.gather(*(_post(trial, question, number, question.text) for number in range(count))))


async def _post(trial: Trial, question: Question, number: int, text: str) -> _Told:
    url = trial.cluster.web_urls[number % len(trial.cluster.web_urls)]
    sent = headers(question.caller) | {"Prefer": "respond-async", "Idempotency-Key": question.key}
    body = {"message": text, "models": list(question.models)}
    async with trial.crowd.session.post(
        f"{url}/v1/chat/messages", json=body, headers=sent, timeout=_ANSWER
    ) as response:
        return response.status, await response.json(content_type=None)


def _count_turns(trial: Trial, accepted: list[dict[str, Any]], question: Question) -> None:
    named = {body["turn_id"] for body in accepted}
    written = trial.cluster.value("SELECT count(*) FROM conversations_turn WHERE idempotency_key = %s", question.key)
    trial.figure("turns", written)
    if len(named) != 1 or written != 1:
        trial.fail("turns", f"one key made {written} turns, and its posts were told of {len(named)}")


@dataclass(slots=True)
class Wave:
    """One key at one door of the gateway, and what its posts were told: status and body, None of who hung up."""

    door: str
    body: dict[str, Any]
    key: str
    told: list[tuple[int, bytes]] = field(default_factory=list)
    replays: int = 0
    waited: int = 0


def _waves(trial: Trial) -> list[Wave]:
    asked = {"model": "short", "messages": [{"role": "user", "content": "The tide"}]}
    bodies = (
        ("/v1/chat/completions", {**asked, "stream": True}),
        ("/v1/messages", {**asked, "stream": True, "max_tokens": 500}),
        ("/v1/chat/completions", asked),
    )
    return [Wave(door, body, str(uuid.UUID(bytes=trial.dice.randbytes(16), version=4))) for door, body in bodies]


async def gateway(trial: Trial) -> None:
    waves = _waves(trial)
    for wave in waves:
        posts = [_come(trial, wave, number, hasty=number % 5 == 0) for number in range(trial.count(POSTS))]
        others = [_other_body(trial, wave, after_seconds=0.3) for _ in range(OTHER_BODIES)]
        await asyncio.gather(*posts, *others)
        await _come(trial, wave, 1, hasty=False)
        await _other_body(trial, wave, after_seconds=0.0)
        _judge_wave(trial, wave)
    trial.figure("replays", sum(wave.replays for wave in waves))
    trial.figure("came again", sum(wave.waited for wave in waves))

    def written() -> bool:
        return int(trial.cluster.value("SELECT count(*) FROM billing_ledgerentry")) >= len(waves)

    await trial.until(written, 10)
    evidence = await trial.settle(readers_seconds=5)
    kinds = Counter((line.kind, line.estimated) for line in evidence.stateless)
    trial.figure("calls", len(evidence.bill))
    if len(evidence.bill) != len(waves) or kinds != {("charge", False): len(waves)}:
        trial.fail("calls", f"{len(waves)} keys made {len(evidence.bill)} calls, and lines {dict(kinds)}")


async def _come(trial: Trial, wave: Wave, number: int, *, hasty: bool) -> None:
    """As clients do: again after a 409 or 503. Who is hasty leaves with the first piece."""
    url = trial.cluster.web_urls[number % len(trial.cluster.web_urls)]
    sent = headers(trial.cluster.callers[0]) | {"Idempotency-Key": wave.key}
    for _ in range(MOST_TRIES):
        async with trial.crowd.session.post(
            f"{url}{wave.door}", json=wave.body, headers=sent, timeout=_ANSWER
        ) as response:
            if response.status == 200 and hasty and wave.body.get("stream"):
                await response.content.readany()
                response.close()
                return
            body = await response.read()
            if response.status not in (409, 503):
                wave.replays += response.headers.get("Idempotency-Replayed") == "true"
                wave.told.append((response.status, body))
                return
            wave.waited += 1
        await asyncio.sleep(trial.dice.uniform(0.1, 0.5))
    wave.told.append((409, b""))


async def _other_body(trial: Trial, wave: Wave, after_seconds: float) -> None:
    await asyncio.sleep(after_seconds)
    url = trial.dice.choice(trial.cluster.web_urls)
    sent = headers(trial.cluster.callers[0]) | {"Idempotency-Key": wave.key}
    body = {**wave.body, "messages": [{"role": "user", "content": "The ebb"}]}
    async with trial.crowd.session.post(f"{url}{wave.door}", json=body, headers=sent, timeout=_ANSWER) as response:
        told = await response.read()
        if response.status != 422 or b"used for another request" not in told:
            trial.fail("other-body", f"another body with the same key was answered {response.status} {told[:200]!r}")


def _judge_wave(trial: Trial, wave: Wave) -> None:
    statuses, bodies = Counter(status for status, _ in wave.told), {body for _, body in wave.told}
    if set(statuses) != {200}:
        trial.fail("answered-strangely", f"{wave.door}: posts with one key and one body were answered {dict(statuses)}")
    if len(bodies) != 1:
        trial.fail("other-answer", f"{wave.door}: one key was told {len(bodies)} answers")


def _all_refused(trial: Trial, told: list[_Told], when: str) -> None:
    for status, body in told:
        if status != 422 or body.get("code") != "idempotency_mismatch":
            trial.fail("other-body", f"{when} another body with the same key was answered {status} {body}")


DRILLS = (
    Drill("14-chats", "50 posts, one idempotency key", chats, mutations=("key-unclaimed", "body-uncompared")),
    Drill("14-gateway", "the same at the gateway's doors", gateway, mutations=("key-unheld", "print-uncompared")),
)
