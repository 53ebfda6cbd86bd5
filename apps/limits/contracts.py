"""Values that callers pass in and get back. Money is whole nano-dollars (1e-9 USD).

Redis counts in 64-bit integers, but its scripts compare in doubles, which are exact up to 2**53. Limits and amounts
are therefore bounded by `MAX_NANOUSD`: nine million USD per period. Larger ones raise `OutOfRange`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

from apps.limits.errors import OutOfRange

MAX_NANOUSD = 9_000_000_000_000_000
MAX_COUNT = 1_000_000_000
MAX_NOTE_BYTES = 1024
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


def tokens(count: int) -> int:
    """The tokens of one call, checked to be countable."""
    if not 0 <= count <= MAX_COUNT:
        raise OutOfRange(f"the tokens of a call lie between 0 and {MAX_COUNT}")
    return count


def _noted(note: str) -> None:
    if len(note) > MAX_NOTE_BYTES or (not note.isascii() and len(note.encode()) > MAX_NOTE_BYTES):
        raise OutOfRange(f"a note has at most {MAX_NOTE_BYTES} bytes")


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
    TOKENS_PER_MINUTE = "tokens_per_minute"
    TOKENS_PER_DAY = "tokens_per_day"
    TOKENS_PER_MONTH = "tokens_per_month"


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """Whose limit it is, such as one user."""

    level: Level
    id: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", word(self.id))

    def __str__(self) -> str:
        return f"{self.level}:{self.id}"

    @staticmethod
    @lru_cache(4096)
    def parse(text: str) -> "Scope":
        level, _, id = text.partition(":")
        return Scope(Level(level), id)


@dataclass(frozen=True, slots=True)
class ScopeLimits:
    """The limits of one scope; None means that this scope sets none. Calls are counted in every scope given.

    Keep it where the same limits are asked about often: its words for the scripts (`words`) are put together once.
    """

    scope: Scope
    requests_per_minute: int | None = None
    parallel_calls: int | None = None
    budget_day_nanousd: int | None = None
    budget_month_nanousd: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    words: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for count in (self.requests_per_minute, self.parallel_calls, self.tokens_per_minute):
            if count is not None and not 0 <= count <= MAX_COUNT:
                raise OutOfRange(f"limits lie between 0 and {MAX_COUNT}")
        for most in (self.tokens_per_day, self.tokens_per_month):
            if most is not None and not 0 <= most <= MAX_NANOUSD:
                raise OutOfRange(f"limits lie between 0 and {MAX_NANOUSD}")
        for budget in (self.budget_day_nanousd, self.budget_month_nanousd):
            if budget is not None:
                amount(budget)
        object.__setattr__(self, "words", self._words())

    def _words(self) -> tuple[str, ...]:
        limits = {
            LimitKind.REQUESTS_PER_MINUTE: self.requests_per_minute,
            LimitKind.PARALLEL_CALLS: self.parallel_calls,
            LimitKind.BUDGET_DAY: self.budget_day_nanousd,
            LimitKind.BUDGET_MONTH: self.budget_month_nanousd,
            LimitKind.TOKENS_PER_MINUTE: self.tokens_per_minute,
            LimitKind.TOKENS_PER_DAY: self.tokens_per_day,
            LimitKind.TOKENS_PER_MONTH: self.tokens_per_month,
        }
        pairs = [(kind.value, str(limit)) for kind, limit in limits.items() if limit is not None]
        return (str(self.scope), str(len(pairs)), *(word for pair in pairs for word in pair))


@dataclass(frozen=True, slots=True)
class Call:
    """One call that asks for leave, with the most it can cost and the most tokens it can use.

    `note` is kept as long as the call is open. Where nobody ever says how the call ended, it is what is left of it: see
    `Settlement`. Its caller's words, up to 1 KiB; a call without one leaves nothing.
    """

    call_id: str
    amount_nanousd: int
    tokens: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "call_id", word(self.call_id))
        amount(self.amount_nanousd)
        tokens(self.tokens)
        _noted(self.note)


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
    """One limit and what is left of it, never below zero.

    Of money, and of tokens per day or month, `used` is spent and `reserved` is held by open calls.
    """

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
    `remaining` and `limit` are in the unit of `kind`: requests, calls, tokens or nano-dollars.
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
    """`repeated`: settled before, nothing was added. `dirty`: no reservation was held; call `rebuild` soon.

    The call's records lie in the tenant's stream at `stream_id` or before.
    """

    repeated: bool
    dirty: bool
    stream_id: str = "0-0"


@dataclass(frozen=True, slots=True)
class Settlement:
    """One entry of a tenant's settlement stream: a record of `settle`, or (`abandoned`) the note of a call whose end
    nobody told, with what that call held."""

    id: str
    record: str
    abandoned: bool = False
    call_id: str = ""
    amount_nanousd: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Collected:
    """A part of the stream. `waiting`: calls of the tenant that are open, or whose caller is still waited for."""

    settlements: tuple[Settlement, ...]
    waiting: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Since when the server remembers anything (its own clock, an opaque mark), and for how long by now.

    Another mark than before: everything was lost in between.
    """

    since: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Tended:
    """`lost` calls hold nothing any more (`register` those still running); the settlements of `forgotten` ones are gone
    (settle them again). What lies in the stream at `drained_id` or before is written down elsewhere."""

    lost: tuple[str, ...]
    forgotten: tuple[str, ...]
    drained_id: str


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
    tokens: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "call_id", word(self.call_id))
        amount(self.amount_nanousd)
        tokens(self.tokens)
        _noted(self.note)


@dataclass(frozen=True, slots=True)
class SettledCall:
    """A call whose cost the caller's records hold; `at` decides the day and month (UTC) it counts in."""

    call_id: str
    amount_nanousd: int
    scopes: tuple[Scope, ...]
    at: datetime
    tokens: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "call_id", word(self.call_id))
        amount(self.amount_nanousd)
        tokens(self.tokens)
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

    `spent` has an entry for every counter wanted, zeros included; `spent_tokens` one for each that is not zero.
    `settled_calls` are those of the last minutes: they tell settlements that the snapshot holds from those that
    overtook it. `open_calls`, `recent_requests` (calls admitted in the last 60 s, by scope) and `recent_tokens` (used
    or held by these) are read only where the whole tenant is wanted.
    """

    spent: Mapping[Counter, int]
    spent_tokens: Mapping[Counter, int] = field(default_factory=dict)
    settled_calls: tuple[SettledCall, ...] = ()
    open_calls: tuple[OpenCall, ...] = ()
    recent_requests: Mapping[Scope, int] = field(default_factory=dict)
    recent_tokens: Mapping[Scope, int] = field(default_factory=dict)


Decision = Admitted | Refused | Cold | Stale
