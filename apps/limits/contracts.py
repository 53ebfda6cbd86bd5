"""Values that callers pass in and get back. Money is whole nano-dollars (1e-9 USD).

Redis counts in 64-bit integers, but its scripts compare in doubles, which are exact up to 2**53. Limits and amounts
are therefore bounded by `MAX_NANOUSD`: nine million USD per period. Larger ones raise `OutOfRange`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from apps.limits.errors import OutOfRange
from apps.limits.scopes import MAX_COUNT, MAX_NANOUSD, Level, LimitKind, Scope, ScopeLimits, amount, tokens, word

__all__ = ["MAX_COUNT", "MAX_NANOUSD", "Level", "LimitKind", "Scope", "ScopeLimits", "amount", "tokens", "word"]

MAX_NOTE_BYTES = 1024
MAX_LEASE_SECONDS = 6 * 86_400.0
# A bucket counts in this part of a unit.
_MINUTE = 60_000


def _noted(note: str) -> None:
    if len(note) > MAX_NOTE_BYTES or (not note.isascii() and len(note.encode()) > MAX_NOTE_BYTES):
        raise OutOfRange(f"a note has at most {MAX_NOTE_BYTES} bytes")


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


class Left(NamedTuple):
    """What the counters of one scope say, beside its limits; as the scripts pack them."""

    limits: ScopeLimits
    running: float
    held: float
    held_tokens: float
    requests: float
    requests_at: float
    tokens: float
    tokens_at: float
    tokens_rate: float
    day: float
    day_spent: float
    day_tokens: float
    month: float
    month_spent: float
    month_tokens: float

    @property
    def requests_left(self) -> int:
        """Of the limit per minute, where there is one; possibly below zero."""
        return int(((self.limits.requests_per_minute or 0) * _MINUTE - self.requests) // _MINUTE)

    @property
    def tokens_left(self) -> int:
        """Of the limit per minute, where there is one; possibly below zero."""
        return int(((self.limits.tokens_per_minute or 0) * _MINUTE - self.tokens) // _MINUTE)

    def allowances(self) -> Iterator[Allowance]:
        """One for each limit that is set."""
        most = self.limits
        if most.requests_per_minute is not None:
            yield self._row(LimitKind.REQUESTS_PER_MINUTE, most.requests_per_minute, self.requests_left)
        if most.parallel_calls is not None:
            yield self._row(LimitKind.PARALLEL_CALLS, most.parallel_calls, most.parallel_calls - int(self.running))
        if most.tokens_per_minute is not None:
            yield self._row(LimitKind.TOKENS_PER_MINUTE, most.tokens_per_minute, self.tokens_left)
        for kind, limit, spent, held in (
            (LimitKind.BUDGET_DAY, most.budget_day_nanousd, self.day_spent, self.held),
            (LimitKind.BUDGET_MONTH, most.budget_month_nanousd, self.month_spent, self.held),
            (LimitKind.TOKENS_PER_DAY, most.tokens_per_day, self.day_tokens, self.held_tokens),
            (LimitKind.TOKENS_PER_MONTH, most.tokens_per_month, self.month_tokens, self.held_tokens),
        ):
            if limit is not None:
                left = max(0, limit - int(spent) - int(held))
                yield Allowance(most.scope, kind, limit, int(spent), int(held), left)

    def _row(self, kind: LimitKind, limit: int, left: int) -> Allowance:
        return Allowance(self.limits.scope, kind, limit, limit - left, 0, max(0, left))


def _allowances(left: Iterable[Left]) -> tuple[Allowance, ...]:
    return tuple(row for each in left for row in each.allowances())


@dataclass(frozen=True, slots=True)
class Admitted:
    """All calls of the set may run. `repeated`: they were open already and nothing was consumed again.

    `dirty`: a counter may be too high or too low by a lost settlement; call `rebuild` soon.
    """

    left: tuple[Left, ...]
    repeated: bool = False
    dirty: bool = False

    @property
    def allowances(self) -> tuple[Allowance, ...]:
        """Each limit that applies, and what is left of it."""
        return _allowances(self.left)


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

    left: tuple[Left, ...]
    epoch: int
    dirty: bool

    @property
    def allowances(self) -> tuple[Allowance, ...]:
        """Each limit that applies, and what is left of it."""
        return _allowances(self.left)


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A reservation that the caller's records hold.

    `fresh`: it was admitted less than a minute ago, and only its caller knows; see `Limits.register`.
    """

    call_id: str
    amount_nanousd: int
    scopes: tuple[Scope, ...]
    tokens: int = 0
    note: str = ""
    fresh: bool = False

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
