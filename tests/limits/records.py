"""What a database would hold: reservations and the ledger. The truth that counters are checked against."""

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from apps.limits.contracts import (
    Call,
    Counter,
    Level,
    OpenCall,
    Projection,
    Scope,
    ScopeLimits,
    SettledCall,
    Wanted,
)

# The counters of a scope as the scripts pack them, and where the day and the month stand that they speak of.
COUNTERS = struct.Struct("<14d")
DAY, MONTH = 8, 11
DOLLAR = 1_000_000_000
TENANT = Scope(Level.TENANT, "acme")
ALICE = Scope(Level.USER, "alice")
BOB = Scope(Level.USER, "bob")


def calls(*names: str, amount: int = 0) -> list[Call]:
    return [Call(name, amount) for name in names]


def budget(scope: Scope, *, month: int | None = None, day: int | None = None) -> ScopeLimits:
    return ScopeLimits(scope, budget_month_nanousd=month, budget_day_nanousd=day)


@dataclass
class Records:
    reserved: dict[str, OpenCall] = field(default_factory=dict)
    ledger: list[SettledCall] = field(default_factory=list)
    requests: dict[Scope, int] = field(default_factory=dict)
    tokens: dict[Scope, int] = field(default_factory=dict)
    loads: list[Wanted] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._turn = threading.Condition()
        self._accepting = 0
        self._reading = False

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """Admission and its row as one transaction: a snapshot sees both or neither (an advisory lock does this)."""
        with self._turn:
            self._turn.wait_for(lambda: not self._reading)
            self._accepting += 1
        try:
            yield
        finally:
            with self._turn:
                self._accepting -= 1
                self._turn.notify_all()

    def reserve(self, call_id: str, amount: int, *scopes: Scope, tokens: int = 0) -> None:
        self.reserved[call_id] = OpenCall(call_id, amount, scopes, tokens)

    def settle(self, call_id: str, amount: int, *scopes: Scope, tokens: int = 0) -> None:
        """The transaction that finishes a call."""
        self.reserved.pop(call_id, None)
        self.ledger.append(SettledCall(call_id, amount, scopes, datetime.now(UTC), tokens))

    def at(self) -> datetime:
        return datetime.now(UTC)

    def lines(self, counter: Counter) -> list[SettledCall]:
        return [
            line
            for line in self.ledger
            if counter.scope in line.scopes and f"{line.at:%Y-%m-%d}".startswith(counter.period)
        ]

    def load(self, wanted: Wanted) -> Projection:
        with self._turn:
            self._reading = True
            self._turn.wait_for(lambda: self._accepting == 0)
            self.loads.append(wanted)
            projection = self.snapshot(wanted)
            self._reading = False
            self._turn.notify_all()
        return projection

    def snapshot(self, wanted: Wanted) -> Projection:
        return Projection(
            spent={one: sum(line.amount_nanousd for line in self.lines(one)) for one in wanted.counters},
            spent_tokens={one: sum(line.tokens for line in self.lines(one)) for one in wanted.counters},
            settled_calls=tuple(self.ledger),
            open_calls=tuple(self.reserved.values()),
            recent_requests=dict(self.requests),
            recent_tokens=dict(self.tokens),
        )
