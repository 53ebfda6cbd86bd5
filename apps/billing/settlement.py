"""What a stateless call leaves behind, as text: the record of its settlement, and the note of an open one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from apps.billing.contracts import Admission, CallCost, LedgerLine, LineKind
from apps.limits.contracts import MAX_NANOUSD
from apps.tenants.contracts import Principal


@dataclass(frozen=True, slots=True)
class Record:
    """The ledger lines of one call, and whose they are. `at` is when it ended (UTC)."""

    call_id: UUID
    tenant_id: UUID
    user_id: UUID
    api_key_id: UUID | None
    at: datetime
    lines: tuple[LedgerLine, ...]


def record(admission: Admission, lines: tuple[LedgerLine, ...], state: str, at: datetime) -> str:
    """The record of a call that ended, as compact JSON."""
    told = [
        [
            str(line.attempt_id), line.kind, line.provider, line.model, line.price_id,
            _countable(line.input_tokens), _countable(line.cached_tokens), _countable(line.cache_write_tokens),
            _countable(line.output_tokens), _countable(line.reasoning_tokens), _countable(line.amount_nanousd),
            line.estimated,
        ]
        for line in lines
    ]  # fmt: skip
    return orjson.dumps(
        _whose(admission.call_id, admission, at) | {"state": state, "lines": told}, default=str
    ).decode()


def note(principal: Principal, cost: CallCost, at: datetime) -> str:
    """What must be known of a call whose process dies."""
    return orjson.dumps(_whose(cost.call_id, principal, at) | {"model": _plain(cost.model)}, default=str).decode()


def _whose(call_id: UUID, whose: Principal | Admission, at: datetime) -> dict[str, Any]:
    # What makes ids in the order of time has a class of its own, which orjson leaves to `str`.
    return {"call": str(call_id), "tenant": whose.tenant_id, "user": whose.user_id, "key": whose.api_key_id, "at": at}


def _countable(number: int) -> int:
    """A provider may claim any number. What no ledger can hold must not hold up those that it can."""
    return number if 0 <= number <= MAX_NANOUSD else min(max(0, number), MAX_NANOUSD)


def _plain(model: str) -> str:
    """A caller's word, as text that any database takes."""
    if model.isascii() and model.isprintable():
        return model[:120]
    return "".join(mark if " " <= mark <= "~" else "?" for mark in model[:120])


def read(text: str) -> Record:
    """The record that `record` wrote. Raises `ValueError` or `KeyError` where it is something else."""
    told = orjson.loads(text)
    lines = tuple(
        LedgerLine(UUID(attempt), LineKind(kind), provider, model, None if price is None else UUID(price), *counts)
        for attempt, kind, provider, model, price, *counts in told["lines"]
    )
    return _record(told, lines)


def read_abandoned(text: str, amount_nanousd: int, tokens: int) -> Record:
    """The record that stands for a call of which there is only a note, and what it held.

    Nobody saw what it used. Its process is gone, and the installation bears what it may have cost at most.
    """
    told = orjson.loads(text)
    line = LedgerLine(
        UUID(told["call"]),
        LineKind.ABSORBED,
        "unknown",
        told["model"],
        None,
        input_tokens=tokens,
        amount_nanousd=amount_nanousd,
        estimated=True,
    )
    return _record(told, (line,))


def _record(told: dict[str, str], lines: tuple[LedgerLine, ...]) -> Record:
    key = told["key"]
    return Record(
        call_id=UUID(told["call"]),
        tenant_id=UUID(told["tenant"]),
        user_id=UUID(told["user"]),
        api_key_id=None if key is None else UUID(key),
        at=datetime.fromisoformat(told["at"]),
        lines=lines,
    )
