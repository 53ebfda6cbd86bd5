"""Whose limits there are, and which. See `contracts` for how their numbers are bounded."""

import re
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

from apps.limits.errors import OutOfRange

MAX_NANOUSD = 9_000_000_000_000_000
MAX_COUNT = 1_000_000_000

_PACKED = struct.Struct("<7d")

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
    _text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", word(self.id))
        object.__setattr__(self, "_text", f"{self.level}:{self.id}")

    def __str__(self) -> str:
        return self._text

    @staticmethod
    @lru_cache(4096)
    def parse(text: str) -> "Scope":
        level, _, id = text.partition(":")
        return Scope(Level(level), id)


@dataclass(frozen=True, slots=True)
class ScopeLimits:
    """The limits of one scope; None means that this scope sets none. Calls are counted in every scope given.

    Keep it where the same limits are asked about often: what the scripts are told of it is put together once.
    """

    scope: Scope
    requests_per_minute: int | None = None
    parallel_calls: int | None = None
    budget_day_nanousd: int | None = None
    budget_month_nanousd: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    name: str = field(init=False, repr=False, compare=False)
    packed: bytes = field(init=False, repr=False, compare=False)

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
        object.__setattr__(self, "name", str(self.scope))
        object.__setattr__(self, "packed", _PACKED.pack(*(-1 if most is None else most for most in self._most())))

    def _most(self) -> tuple[int | None, ...]:
        """In the order of the scripts, which is that of `LimitKind`."""
        return (
            self.requests_per_minute,
            self.parallel_calls,
            self.budget_day_nanousd,
            self.budget_month_nanousd,
            self.tokens_per_minute,
            self.tokens_per_day,
            self.tokens_per_month,
        )
