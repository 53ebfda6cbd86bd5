"""Drill 14: fifty parallel posts with one idempotency key, over two web processes; then the key with another body."""

import asyncio
from collections import Counter
from typing import Any

import aiohttp

from chaos.readers import Question, headers
from chaos.trial import Drill, Trial

POSTS = 50
OTHER_BODIES = 10
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


def _all_refused(trial: Trial, told: list[_Told], when: str) -> None:
    for status, body in told:
        if status != 422 or body.get("code") != "idempotency_mismatch":
            trial.fail("other-body", f"{when} another body with the same key was answered {status} {body}")


DRILLS = (Drill("14-chats", "50 posts, one idempotency key", chats, mutations=("key-unclaimed", "body-uncompared")),)
