"""Drill 11: every fault of a provider, to people and to programs, with and without another deployment to go to."""

import asyncio
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp

from chaos.cluster import Setup
from chaos.evidence import Evidence
from chaos.faults import FAULTS, FIRST_TOKEN_SECONDS, GAP_SECONDS, Fault, paper
from chaos.readers import Question, headers
from chaos.trial import Drill, Trial

ENDED_SECONDS = 25.0
# A won attempt whose call had one of these would be a cut answer taken for a complete one.
CUTTING = ("reset", "die", "no_finish", "silence", "drip", "slow", "keepalive")


async def run(trial: Trial) -> None:
    people: dict[str, Question] = {}
    programs: dict[str, dict[str, Any]] = {}
    at_once = asyncio.Semaphore(12)

    async def ask(slug: str) -> None:
        async with at_once:
            (people[slug],) = await trial.crowd.ask_many(1, slug)
        async with at_once:
            programs[slug] = await _post(trial, slug)

    await asyncio.gather(*(ask(slug) for fault in FAULTS for slug in fault.slugs))
    evidence = await trial.settle(readers_seconds=40)
    _forgive_the_garbled(trial, people, evidence)
    stories = _stories(trial)
    for fault in FAULTS:
        for slug in fault.slugs:
            told = programs[slug]
            generation_ids = [*people[slug].generation_ids, *([told["generation_id"]] if told else [])]
            for generation_id in generation_ids:
                _judge(trial, fault, slug, stories[generation_id])
            _judge_person(trial, fault, slug, people[slug], evidence)
            _judge_program(trial, fault, slug, told)
    _none_cut(trial, evidence)
    trial.figure("faults", len(FAULTS))
    target = os.environ.get("FAULTS_PAPER")
    if target and not trial.violations:
        await trial.do(lambda: Path(target).write_text(paper(), encoding="utf-8"))


async def _post(trial: Trial, slug: str) -> dict[str, Any]:
    """What a program gets that waits for the finished answer; empty where it was not told in time."""
    question = trial.crowd.question(slug)
    trial.crowd.questions.remove(question)
    try:
        async with trial.crowd.session.post(
            f"{trial.dice.choice(trial.cluster.web_urls)}/v1/chat/messages",
            json={"message": question.text, "models": [slug]},
            headers=headers(question.caller) | {"Idempotency-Key": question.key},
            timeout=aiohttp.ClientTimeout(total=ENDED_SECONDS),
        ) as response:
            body = await response.json(content_type=None)
            if response.status != 200:
                trial.fail("policy", f"{slug}: a program got status {response.status} {body}")
                return {}
            answer: dict[str, Any] = body["answers"][0]
            return answer
    except TimeoutError:
        trial.fail("hung", f"{slug}: a program waited {ENDED_SECONDS:g} s")
        return {}


def _stories(trial: Trial) -> dict[str, list[tuple[str, str | None]]]:
    """State and error code of each attempt, by generation, in order."""
    found: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for generation_id, state, code in trial.cluster.rows(
        "SELECT generation_id::text, state, error_code FROM conversations_attempt ORDER BY began_at"
    ):
        found[generation_id].append((state, code))
    return found


def _judge(trial: Trial, fault: Fault, slug: str, story: list[tuple[str, str | None]]) -> None:
    """The attempts are those of the policy."""
    expected: list[tuple[str, str | None]]
    if fault.code is None:
        expected = [("won", None)]
    elif slug.startswith("hurt-"):
        expected = [("failed", fault.code), ("won", None)]
    else:
        expected = [("failed", fault.code)] * fault.attempts
    if story != expected:
        trial.fail("policy", f"{slug}: attempts {story}, declared are {expected}")


def _judge_person(trial: Trial, fault: Fault, slug: str, question: Question, evidence: Evidence) -> None:
    """What readers were told: restarts where text had been shown, and the declared end in time."""
    rescued = slug.startswith("hurt-")
    state = "completed" if rescued else fault.state
    row = evidence.generations[question.generation_ids[0]]
    if row.state != state:
        trial.fail("policy", f"{slug}: {row.state}, declared is {state}")
    for events in trial.crowd.events_of(row.id):
        took = events[-1].at - question.accepted_at if events else float("inf")
        if took > ENDED_SECONDS:
            trial.fail("hung", f"{slug}: a person waited {took:.1f} s")
        restarts = [event.body["reason"] for event in events if event.type == "message.restarted"]
        expected = [fault.code] * ((1 if rescued else fault.attempts - 1) if fault.shown else 0)
        snapshots = any(event.type == "message.snapshot" for event in events)
        if restarts != expected and not snapshots:
            trial.fail("policy", f"{slug}: restarts {restarts}, declared are {expected}")


def _judge_program(trial: Trial, fault: Fault, slug: str, told: dict[str, Any]) -> None:
    if not told:
        return
    error = told["error"] or {}
    got = told["state"], error.get("code"), error.get("message", "")
    rescued = slug.startswith("hurt-")
    expected = ("completed", None, "") if rescued else (fault.state, fault.error, fault.sentence)
    if got != expected or (error and not error["retryable"]):
        trial.fail("policy", f"{slug}: a program got {got}, declared is {expected}")


def _forgive_the_garbled(trial: Trial, people: dict[str, Question], evidence: Evidence) -> None:
    """A skipped event is missing from the text, and that is the policy: nothing else may be."""
    bill = {call["attempt_id"]: call for call in evidence.bill}
    garbled = {id for slug, one in people.items() if slug.endswith("-garbled") for id in one.generation_ids}
    kept = []
    for violation in trial.violations:
        generation_id = violation.detail.partition(":")[0]
        if violation.code != "stored-text" or generation_id not in evidence.generations:
            kept.append(violation)
            continue
        won = [one for one in evidence.attempts.values() if one.generation_id == generation_id and one.state == "won"]
        call = bill.get(won[0].id, {}) if won else {}
        fault = str(call.get("fault") or "")
        if not fault.startswith("malformed") or not _lacks_one_piece(
            evidence.generations[generation_id].text, str(call.get("text"))
        ):
            kept.append(violation)
    trial.violations[:] = kept
    trial.figure("garbled answers", len(garbled))


def _lacks_one_piece(text: str, sent: str) -> bool:
    """Whether `text` is `sent` without one short piece."""
    common = next(
        (place for place, (one, other) in enumerate(zip(text, sent, strict=False)) if one != other), len(text)
    )
    return 0 < len(sent) - len(text) < 40 and sent.endswith(text[common:])


def _none_cut(trial: Trial, evidence: Evidence) -> None:
    bill = {call["attempt_id"]: call for call in evidence.bill}
    for attempt in evidence.attempts.values():
        fault = str(bill.get(attempt.id, {}).get("fault") or "")
        if attempt.state == "won" and fault.startswith(CUTTING):
            trial.fail("truncated", f"{attempt.generation_id} is complete by a call that had {fault}")


# Breakers would avoid what is to be met.
SETUP = Setup(
    env={
        "BREAKER_FAILURES": "1000000",
        "FIRST_TOKEN_TIMEOUT_SECONDS": str(FIRST_TOKEN_SECONDS),
        "GAP_TIMEOUT_SECONDS": str(GAP_SECONDS),
        "CONNECT_TIMEOUT_SECONDS": "2",
    }
)
DRILLS = (
    Drill("11", "every fault of a provider", run, setup=SETUP, mutations=("cut-is-complete", "silence-unlimited")),
)
