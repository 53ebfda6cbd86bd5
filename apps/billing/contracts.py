"""What crosses the border of `billing`: what a call may cost, and what it did cost."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


@dataclass(frozen=True, slots=True)
class CallCost:
    """One call that asks to be admitted, with the most it can cost (the dearest affordable candidate).

    `tokens` is the most it can use, in and out. `model` is what was asked for: it names the ledger line of a call whose
    process died.
    """

    call_id: UUID
    amount_nanousd: int
    tokens: int = 0
    model: str = ""


@dataclass(frozen=True, slots=True)
class TokenBound:
    """The most tokens that one call may have, and whose limit that is, in words: “your team”."""

    tokens: int
    whose: str


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit that applies. `kind` as in `limits.contracts.LimitKind`; `whose` is the level's name.

    `reset_seconds`: until the limit is whole again, if nothing else is asked; 0 for calls at once.
    """

    kind: str
    whose: str
    limit: int
    remaining: int
    reset_seconds: float


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave to call providers for `call_id`, with `amount_nanousd` set aside. `routing.stream` takes nothing less.

    `allowances`: of the limits per minute, the one of each kind that leaves least.
    """

    call_id: UUID
    tenant_id: UUID
    user_id: UUID
    api_key_id: UUID | None
    amount_nanousd: int
    admitted_at: datetime
    tokens: int = 0
    allowances: tuple[Allowance, ...] = ()


class LineKind(StrEnum):
    """`charge`: the tenant pays. `absorbed`: the installation pays (failed over, lost with a worker)."""

    CHARGE = "charge"
    ABSORBED = "absorbed"


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """What one provider attempt used and cost; `estimated` where the provider told no usage."""

    attempt_id: UUID
    kind: LineKind
    provider: str
    model: str
    price_id: UUID | None
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    amount_nanousd: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """Money left in the tightest budget that applies; None where no budget is set."""

    month_nanousd: int | None
    day_nanousd: int | None
