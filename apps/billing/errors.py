"""Refusals of money and limits.

Problem
├── LimitReached
│   ├── RateLimited       too many requests in this minute
│   └── TooManyParallel   too many calls at once
├── OverBudget            the call could cost more than the budget has left
└── AdmissionUnavailable  the counters are being rebuilt, or do not answer
"""

from apps.problems import Problem, Unavailable


class LimitReached(Problem):
    """A limit of the tenant, team, user or key says no. Nothing was consumed."""

    status = 429
    retryable = True


class RateLimited(LimitReached):
    code = "rate_limit_exceeded"


class TooManyParallel(LimitReached):
    code = "too_many_parallel_calls"


class OverBudget(LimitReached):
    """The budget does not cover what the calls could cost at most; `left_nanousd` would be covered."""

    code = "insufficient_quota"
    retryable = False

    def __init__(self, detail: str, *, left_nanousd: int = 0, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds)
        self.left_nanousd = left_nanousd


class AdmissionUnavailable(Unavailable):
    """Limits cannot be checked at this moment, so nothing is admitted."""

    code = "admission_unavailable"
