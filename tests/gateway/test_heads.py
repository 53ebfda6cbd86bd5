"""What the head of an answer tells of limits."""

import pytest

from apps.billing.contracts import Allowance
from apps.routing.edge.gateway import heads


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0ms"), (0.0201, "21ms"), (0.9999, "1000ms"), (1, "1s"), (1.41, "1.5s"), (60, "1m0s"), (359.99, "6m0s")],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, told: str) -> None:
    assert heads.duration(seconds) == told


def test_the_tightest_of_a_kind_is_told() -> None:
    allowances = [
        Allowance("requests_per_minute", "tenant", 600, 599, 0.1),
        Allowance("requests_per_minute", "user", 60, 3, 57.0),
        Allowance("tokens_per_minute", "tenant", 1_000_000, 990_000, 0.6),
        Allowance("budget_day", "tenant", 10, 1, 100.0),
        Allowance("parallel_calls", "tenant", 10, 9, 0.0),
    ]
    assert heads.limits(allowances) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-requests": "57s",
        "x-ratelimit-limit-tokens": "1000000",
        "x-ratelimit-remaining-tokens": "990000",
        "x-ratelimit-reset-tokens": "600ms",
    }
