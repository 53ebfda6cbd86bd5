"""Values that callers pass in and get back. Money is whole nano-dollars (1e-9 USD).

Redis counts in 64-bit integers, but its scripts compare in doubles, which are exact up to 2**53. Limits and amounts
are therefore bounded by `MAX_NANOUSD`: nine million USD per period. Larger ones raise `OutOfRange`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from apps.limits.errors import OutOfRange

MAX_NANOUSD = 9_000_000_000_000_000
MAX_COUNT = 1_000_000_000
MAX_LEASE_SECONDS = 6 * 86_400.0

_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,80}", re.ASCII)


def word(value: str | UUID) -> str:
    """The id as it stands in keys and records; raises `OutOfRange` where it could be mistaken for a separator."""
    text = str(value)
    if not _WORD.fullmatch(text):
        raise OutOfRange("an id must be 1 to 80 letters, digits, '_', '.', ':' or '-'")
    return text


def amount(nanousd: int) -> int:
    """The amount itself, checked to be countable."""
    if not 0 <= nanousd <= MAX_NANOUSD:
        raise OutOfRange(f"amounts and budgets lie between 0 and {MAX_NANOUSD} nano-dollars")
    return nanousd


class Level(StrEnum):
    """Where in the chain a limit stands."""

    TENANT = "tenant"
    TEAM = "team"
    USER = "user"
    KEY = "key"


class LimitKind(StrEnum):
    REQUESTS_PER_MINUTE = "requests_per_minute"
    PARALLEL_CALLS = "parallel_calls"
    BUDGET_DAY = "budget_day"
    BUDGET_MONTH = "budget_month"


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """Whose limit it is, such as one user."""

    level: Level
    id: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", word(self.id))

    def __str__(self) -> str:
        return f"{self.level}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Scope":
        level, _, id = text.partition(":")
        return cls(Level(level), id)


@dataclass(frozen=True, slots=True)
class ScopeLimits:
    """The limits of one scope; None means that this scope sets none. Calls are counted in every scope given."""

    scope: Scope
    requests_per_minute: int | None = None
    parallel_calls: int | None = None
    budget_day_nanousd: int | None = None
    budget_month_nanousd: int | None = None

    def __post_init__(self) -> None:
        for count in (self.requests_per_minute, self.parallel_calls):
            if count is not None and not 0 <= count <= MAX_COUNT:
                raise OutOfRange(f"limits lie between 0 and {MAX_COUNT}")
        for budget in (self.budget_day_nanousd, self.budget_month_nanousd):
            if budget is not None:
                amount(budget)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that asks for leave, with the most it can cost."""

    call_id: str
    amount_nanousd: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "call_id", word(self.call_id))
        amount(self.amount_nanousd)


@dataclass(frozen=True, slots=True, order=True)
class Counter:
    """What one scope has spent in one period: `YYYY-MM-DD` or `YYYY-MM`, in UTC."""

    scope: Scope
    period: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d{4}-\d\d(-\d\d)?", self.period, re.ASCII):
            raise OutOfRange("a period is YYYY-MM-DD or YYYY-MM")

    @property
    def starts_at(self) -> datetime:
        """First instant of the period (UTC)."""
        day = self.period if len(self.period) == 10 else f"{self.period}-01"
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)

    def __str__(self) -> str:
        return f"{self.scope}|{self.period}"

    @classmethod
    def parse(cls, text: str) -> "Counter":
        scope, _, period = text.rpartition("|")
        return cls(Scope.parse(scope), period)


@dataclass(frozen=True, slots=True)
class Allowance:
    """One limit and what is left of it. Money: `used` is spent, `reserved` is held by open calls. Never below zero."""

    scope: Scope
    kind: LimitKind
    limit: int
    used: int
    reserved: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """All calls of the set may run. `repeated`: they were open already and nothing was consumed again.

    `dirty`: a counter may be too high or too low by a lost settlement; call `rebuild` soon.
    """

    allowances: tuple[Allowance, ...]
    repeated: bool = False
    dirty: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """No call of the set may run, and nothing was consumed. Of several reasons: the one that lasts longest.

    `retry_after_seconds` is None where waiting alone never helps (the set asks for more than the whole limit).
    `remaining` and `limit` are in the unit of `kind`: requests, calls or nano-dollars.
    """

    kind: LimitKind
    scope: Scope
    retry_after_seconds: float | None
    remaining: int
    limit: int


@dataclass(frozen=True, slots=True)
class Cold:
    """Counters are missing: rebuild, then ask again. `whole`: everything about the tenant is."""

    missing: tuple[Counter, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Stale:
    """The caller's view of keys and limits is older than `epoch`: reload it, then ask again with this epoch."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Settled:
    """`repeated`: settled before, nothing was added. `dirty`: no reservation was held; call `rebuild` soon."""

    repeated: bool
    dirty: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """What is left right now, for showing. Nothing is consumed."""

    allowances: tuple[Allowance, ...]
    epoch: int
    dirty: bool


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A reservation that the caller's records hold."""

    call_id: str
    amount_nanousd: int
    scopes: tuple[Scope, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "call_id", word(self.call_id))
        amount(self.amount_nanousd)


@dataclass(frozen=True, slots=True)
class SettledCall:
    """A call whose cost the caller's records hold; `at` decides the day and month (UTC) it counts in."""

    call_id: str
    amount_nanousd: int
    scopes: tuple[Scope, ...]
    at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "call_id", word(self.call_id))
        amount(self.amount_nanousd)
        if self.at.tzinfo is None:
            raise OutOfRange("`at` needs a time zone")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a rebuild must read: the sums of `counters`; with `whole` also everything else in `Projection`."""

    counters: tuple[Counter, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Projection:
    """What the caller's records say, read from one snapshot taken after the rebuild asked for it.

    `spent` has an entry for every counter wanted, zeros included. `settled_calls` are those of the last minutes: they
    tell settlements that the snapshot holds from those that overtook it. `open_calls` and `recent_requests` (calls
    admitted in the last 60 s, by scope) are read only where the whole tenant is wanted.
    """

    spent: Mapping[Counter, int]
    settled_calls: tuple[SettledCall, ...] = ()
    open_calls: tuple[OpenCall, ...] = ()
    recent_requests: Mapping[Scope, int] = field(default_factory=dict)


Decision = Admitted | Refused | Cold | Stale
