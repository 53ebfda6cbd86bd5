"""Refusals of money and limits.

Problem
├── LimitReached
│   ├── RateLimited         too many requests in this minute
│   ├── TokensRateLimited   too many tokens in this minute
│   ├── TooManyParallel     too many calls at once
│   ├── OverTokenQuota      the call could use more tokens than the day or month has left
│   └── OverBudget          the call could cost more than the budget has left
└── AdmissionUnavailable    the counters are being rebuilt, or do not answer
    └── SnapshotStale       what the caller knows of the tenant is older than its last change
"""

from apps.problems import Problem, Unavailable


class LimitReached(Problem):
    """A limit of the tenant, team, user or key says no. Nothing was consumed.

    `kind`, `limit`, `remaining` and `reset_seconds` say which one, as in `contracts.Allowance`.
    """

    status = 429
    retryable = True

    def __init__(
        self,
        detail: str,
        *,
        kind: str = "",
        limit: int = 0,
        remaining: int = 0,
        reset_seconds: float = 0.0,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail, retry_after_seconds=retry_after_seconds)
        self.kind = kind
        self.limit = limit
        self.remaining = remaining
        self.reset_seconds = reset_seconds


class RateLimited(LimitReached):
    code = "rate_limit_exceeded"


class TokensRateLimited(LimitReached):
    code = "rate_limit_exceeded"


class TooManyParallel(LimitReached):
    code = "too_many_parallel_calls"


class OverTokenQuota(LimitReached):
    """The day or month has fewer tokens left than the calls could use at most."""

    code = "insufficient_quota"
    retryable = False


class OverBudget(LimitReached):
    """The budget does not cover what the calls could cost at most; `left_nanousd` would be covered."""

    code = "insufficient_quota"
    retryable = False

    @property
    def left_nanousd(self) -> int:
        return self.remaining


class AdmissionUnavailable(Unavailable):
    """Limits cannot be checked at this moment, so nothing is admitted."""

    code = "admission_unavailable"


class SnapshotStale(AdmissionUnavailable):
    """Keys, limits or models of the tenant have changed. What was known is dropped: resolve, plan and ask once more."""
