"""The oracle H: what must hold after every drill, whatever died in it."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chaos import offers
from chaos.evidence import TERMINAL_STATES, AttemptRow, Evidence, LineRow
from chaos.history import Reading, show
from chaos.readers import Question

_CANARY = re.compile(r"canary-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Violation:
    """One promise broken. `code` names the promise, `detail` what was found."""

    code: str
    detail: str


def h(questions: Sequence[Question], readings: Sequence[Reading], evidence: Evidence) -> list[Violation]:
    """Every violation found; empty where H holds."""
    return [
        *_ends(questions, evidence),
        *_readers(readings, evidence),
        *_canaries(questions, readings, evidence),
        *_texts(evidence),
        *_ledger(evidence),
        *_stateless(evidence),
        *_calls(evidence),
        *_claims(evidence),
        *_rest(evidence),
    ]


def _ends(questions: Sequence[Question], evidence: Evidence) -> Iterator[Violation]:
    """Each generation of an accepted message is there, and final; its message says the same."""
    for question in questions:
        if not question.lanes:
            yield Violation("not-accepted", question.canary)
        for generation_id in question.lanes:
            row = evidence.generations.get(generation_id)
            if row is None:
                yield Violation("lost", generation_id)
            elif row.state not in TERMINAL_STATES:
                yield Violation("not-terminal", f"{generation_id} is {row.state} (fence {row.fence})")
            elif row.message_status != row.state:
                yield Violation("message-status", f"{generation_id} is {row.state}, its message {row.message_status}")


def _readers(readings: Sequence[Reading], evidence: Evidence) -> Iterator[Violation]:
    """Each reader met every event once and in order, and ends with the stored text and its one terminal event."""
    for reading in readings:
        for fault in reading.faults:
            yield Violation("reader", f"{reading.reader}: {fault}")
        if not reading.complete:
            yield Violation("reader-incomplete", f"{reading.reader} {_standing(reading)}")
        for generation_id, events in reading.lanes.items():
            shown = show(events)
            for disorder in shown.disorder:
                yield Violation("order", f"{reading.reader}: {disorder}")
            row = evidence.generations.get(generation_id)
            if row is None or shown.ending is None:
                continue
            if _sha256(shown.text) != _sha256(row.text):
                yield Violation("text", f"{reading.reader}: shows {_brief(shown.text)}, stored is {_brief(row.text)}")
            told = shown.ending.body
            if told["state"] != row.state:
                yield Violation("state", f"{reading.reader}: told {told['state']}, stored is {row.state}")
            if "text_sha256" in told and told["text_sha256"] != row.text_sha256:
                yield Violation("text", f"{reading.reader}: the end tells another sha256 than is stored")


def _canaries(questions: Sequence[Question], readings: Sequence[Reading], evidence: Evidence) -> Iterator[Violation]:
    """A text quotes the canary of its own question, and no other's."""
    owner = {generation_id: question for question in questions for generation_id in question.lanes}
    texts = [(row.id, row.text) for row in evidence.generations.values()]
    texts += [(id, "".join(one.text for one in events)) for read in readings for id, events in read.lanes.items()]
    for generation_id, text in texts:
        question = owner.get(generation_id)
        if question is None:
            continue
        if foreign := set(_CANARY.findall(text)) - {question.canary}:
            yield Violation("canary", f"{generation_id} of {question.canary} quotes {sorted(foreign)}")
    for row in evidence.generations.values():
        question = owner.get(row.id)
        if question is not None and row.state == "completed" and question.canary not in row.text:
            yield Violation("canary", f"{row.id} does not quote {question.canary}")
        if question is not None and row.tenant_id != str(question.caller.tenant_id):
            yield Violation("canary", f"{row.id} belongs to another tenant")


def _texts(evidence: Evidence) -> Iterator[Violation]:
    """The stored text is the winning attempt's, whole; where nothing won, it is the beginning of what one sent."""
    bill = {call["attempt_id"]: call for call in evidence.bill}
    attempts: dict[str, list[AttemptRow]] = defaultdict(list)
    for attempt in evidence.attempts.values():
        attempts[attempt.generation_id].append(attempt)
    for row in evidence.generations.values():
        if row.state not in TERMINAL_STATES:
            continue
        won = [one for one in attempts[row.id] if one.state == "won"]
        if row.text_sha256 not in (None, _sha256(row.text)) or (row.text and row.text_sha256 is None):
            yield Violation("stored-text", f"{row.id}: text and sha256 of the row differ")
        if row.state == "completed":
            if len(won) != 1:
                yield Violation("stored-text", f"{row.id} was won by {len(won)} attempts")
            elif bill.get(won[0].id, {}).get("text_sha256") != row.text_sha256:
                yield Violation("stored-text", f"{row.id}: the winning attempt sent another text")
        elif row.text and not any(_sent(bill.get(one.id)).startswith(row.text) for one in attempts[row.id]):
            yield Violation("stored-text", f"{row.id} ({row.state}): no attempt sent {_brief(row.text)}")


def _ledger(evidence: Evidence) -> Iterator[Violation]:
    """One line per attempt; exact where usage arrived, else flagged and within its bound; one charge at most."""
    lines: dict[str, list[LineRow]] = defaultdict(list)
    for line in evidence.lines:
        lines[line.attempt_id].append(line)
    for attempt_id in lines.keys() - evidence.attempts.keys():
        yield Violation("ledger-count", f"a line for the unknown attempt {attempt_id}")
    bill = {call["attempt_id"]: call for call in evidence.bill}
    for attempt in evidence.attempts.values():
        if len(lines[attempt.id]) != 1:
            yield Violation("ledger-count", f"{len(lines[attempt.id])} lines for {_name(attempt)}")
        for line in lines[attempt.id]:
            yield from _amount(attempt, line, bill.get(attempt.id))
    charged: Counter[str] = Counter()
    for line in evidence.lines:
        if line.kind == "charge":
            charged[line.call_id] += 1
    costs = _sums((line.call_id, line.amount_nanousd) for line in evidence.lines if line.kind == "charge")
    for row in evidence.generations.values():
        if charged[row.id] > 1 or (row.state == "completed" and charged[row.id] != 1):
            yield Violation("ledger-count", f"{charged[row.id]} charges for {row.id} ({row.state})")
        if (row.cost_nanousd or 0) != costs.get(row.id, 0):
            yield Violation("ledger-amount", f"{row.id} tells {row.cost_nanousd}, charged were {costs.get(row.id, 0)}")


def _amount(attempt: AttemptRow, line: LineRow, call: dict[str, Any] | None) -> Iterator[Violation]:
    if line.estimated:
        if not 0 <= line.amount_nanousd <= attempt.bound_nanousd:
            yield Violation("ledger-amount", f"{line.amount_nanousd} is beyond the bound of {_name(attempt)}")
        return
    if call is None or call["status"] != 200:
        if line.amount_nanousd:
            yield Violation("ledger-amount", f"{line.amount_nanousd} for {_name(attempt)}, which used nothing")
        return
    exact = offers.amount_nanousd(call)
    if line.amount_nanousd != exact:
        yield Violation("ledger-amount", f"{line.amount_nanousd}, not {exact}, for {_name(attempt)}")


def _stateless(evidence: Evidence) -> Iterator[Violation]:
    """What no row stands behind: one line per attempt, as exact as a chat's, for a call that was made."""
    bill = {call["attempt_id"]: call for call in evidence.bill}
    for attempt_id, times in Counter(line.attempt_id for line in evidence.stateless).items():
        if times > 1:
            yield Violation("ledger-count", f"{times} lines for the stateless attempt {attempt_id}")
    for line in evidence.stateless:
        call = bill.get(line.attempt_id)
        if call is None and not line.estimated:
            yield Violation("call-missing", f"a line for {line.attempt_id}, which was never called")
        elif call is not None and not line.estimated:
            exact = offers.amount_nanousd(call) if call["status"] == 200 else 0
            if line.amount_nanousd != exact:
                yield Violation("ledger-amount", f"{line.amount_nanousd}, not {exact}, for {line.attempt_id}")


def _calls(evidence: Evidence) -> Iterator[Violation]:
    """Calls in the simulator's bill are attempts in the database or stand in the ledger, each made once."""
    made = Counter(call["attempt_id"] for call in evidence.bill)
    known = evidence.attempts.keys() | {line.attempt_id for line in evidence.stateless}
    for attempt_id, times in made.items():
        if attempt_id not in known:
            yield Violation("call-unknown", f"the provider was called under {attempt_id}, which is no attempt")
        elif times > 1:
            yield Violation("call-twice", f"{times} calls under {attempt_id}")
    for line in evidence.lines:
        if line.attempt_id not in made and line.amount_nanousd and not line.estimated:
            yield Violation("call-missing", f"{line.amount_nanousd} for {line.attempt_id}, which was never called")


def _claims(evidence: Evidence) -> Iterator[Violation]:
    """One claim per fence, and no provider call without one."""
    for (generation_id, fence), times in evidence.claims.items():
        if times > 1:
            yield Violation("claim-twice", f"{generation_id} was claimed {times} times under fence {fence}")
    for attempt in evidence.attempts.values():
        if (attempt.generation_id, attempt.fence) not in evidence.claims:
            yield Violation("claim-missing", f"no worker logged the claim behind {_name(attempt)}")


def _rest(evidence: Evidence) -> Iterator[Violation]:
    """Nothing is reserved at rest."""
    if evidence.open_reservations:
        yield Violation("reserved", f"{evidence.open_reservations} reservations are open")
    if evidence.parallel_leases:
        yield Violation("reserved", f"admission counts {evidence.parallel_leases} calls as running")


def _standing(reading: Reading) -> str:
    """Where a reader stands in each lane, and how often it had to come back."""
    last = {
        id: f"{events[-1].type} {events[-1].position}" if events else "nothing" for id, events in reading.lanes.items()
    }
    return f"over {reading.over} after {len(reading.breaks)} breaks: {last}"


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for key, amount in pairs:
        total[key] += amount
    return total


def _sent(call: dict[str, Any] | None) -> str:
    return (call or {}).get("text") or ""


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _brief(text: str) -> str:
    return f"{len(text)} characters ending {text[-30:]!r}"


def _name(attempt: AttemptRow) -> str:
    return f"attempt {attempt.id} ({attempt.state}, fence {attempt.fence} of {attempt.generation_id})"
