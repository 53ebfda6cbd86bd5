"""Refusals and allowances of the admission script in the house's words."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from apps.billing.contracts import Allowance
from apps.billing.errors import (
    LimitReached,
    OverBudget,
    OverTokenQuota,
    RateLimited,
    TokensRateLimited,
    TooManyParallel,
)
from apps.limits.contracts import Left, Level, LimitKind, Refused

_DAY_SECONDS = 86_400
_REQUESTS, _TOKENS = LimitKind.REQUESTS_PER_MINUTE.value, LimitKind.TOKENS_PER_MINUTE.value
WHOSE = {
    Level.TENANT: "your organisation",
    Level.TEAM: "your team",
    Level.USER: "you",
    Level.KEY: "this key",
}


def tightest(left: Iterable[Left]) -> tuple[Allowance, ...]:
    """Of the limits per minute, the one of each kind that leaves least."""
    found: dict[str, Allowance] = {}
    for each in left:
        limits = each.limits
        if (limit := limits.requests_per_minute) is not None:
            _keep_least(found, _REQUESTS, each, limit, each.requests_left)
        if (limit := limits.tokens_per_minute) is not None:
            _keep_least(found, _TOKENS, each, limit, each.tokens_left)
    return tuple(found.values())


def _keep_least(found: dict[str, Allowance], kind: str, left: Left, limit: int, remaining: int) -> None:
    known = found.get(kind)
    remaining = max(0, remaining)
    if known is None or remaining < known.remaining:
        whose = left.limits.scope.level.value
        found[kind] = Allowance(kind, whose, limit, remaining, _refilled_seconds(limit, remaining))


def _refilled_seconds(limit: int, remaining: int) -> float:
    return 60.0 * (limit - remaining) / limit if limit else 60.0


def reset_seconds(kind: LimitKind, limit: int, remaining: int, now: float) -> float:
    """See `contracts.Allowance`; `now` in seconds since 1970."""
    match kind:
        case LimitKind.REQUESTS_PER_MINUTE | LimitKind.TOKENS_PER_MINUTE:
            return _refilled_seconds(limit, remaining)
        case LimitKind.PARALLEL_CALLS:
            return 0.0
        case LimitKind.BUDGET_DAY | LimitKind.TOKENS_PER_DAY:
            return _DAY_SECONDS - now % _DAY_SECONDS
        case _:
            return _month_ends(int(now // _DAY_SECONDS)) - now


@lru_cache(8)
def _month_ends(day: int) -> float:
    """The end of the month of a day counted from 1970 (UTC), in seconds since 1970."""
    first = datetime.fromtimestamp(day * _DAY_SECONDS, UTC).replace(day=1)
    return (first + timedelta(days=32)).replace(day=1).timestamp()


def refusal(refused: Refused) -> LimitReached:
    """The error that says which limit said no, and what to do."""
    whose = WHOSE[refused.scope.level]
    kind, detail = _told(refused, whose)
    return kind(
        detail,
        kind=refused.kind.value,
        limit=refused.limit,
        remaining=refused.remaining,
        reset_seconds=reset_seconds(refused.kind, refused.limit, refused.remaining, time.time()),
        retry_after_seconds=refused.retry_after_seconds,
    )


def is_refused(refused: Refused, enough_nanousd: int | None) -> bool:
    """Whether that is the last word: not where a budget leaves what the caller said would be enough."""
    is_budget = refused.kind in (LimitKind.BUDGET_DAY, LimitKind.BUDGET_MONTH)
    return not (is_budget and enough_nanousd is not None and refused.remaining >= enough_nanousd)


def _told(refused: Refused, whose: str) -> tuple[type[LimitReached], str]:
    match refused.kind:
        case LimitKind.REQUESTS_PER_MINUTE:
            return RateLimited, (
                f"The limit for {whose} is {refused.limit} requests per minute. Wait a moment and try again."
            )
        case LimitKind.TOKENS_PER_MINUTE:
            return TokensRateLimited, (
                f"The limit for {whose} is {refused.limit} tokens per minute, and this could use more than are left. "
                "Wait a moment, or ask for a shorter answer."
            )
        case LimitKind.PARALLEL_CALLS:
            return TooManyParallel, (
                f"The limit for {whose} is {refused.limit} answers at once. Wait for one, or ask fewer models."
            )
        case LimitKind.TOKENS_PER_DAY | LimitKind.TOKENS_PER_MONTH:
            period = "today" if refused.kind is LimitKind.TOKENS_PER_DAY else "this month"
            return OverTokenQuota, (
                f"This could use more tokens than {whose} may still use {period}: {refused.remaining} of "
                f"{refused.limit} are left. Ask for a shorter answer, or ask an administrator for more."
            )
        case _:
            return OverBudget, (
                f"This could cost more than the budget for {whose} has left. Ask fewer or cheaper models, "
                "or ask an administrator for more."
            )
