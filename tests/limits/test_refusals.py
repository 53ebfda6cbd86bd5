"""How often a tenant was refused, in sliding windows."""

from redis import Redis

from apps.limits.client import Limits
from apps.limits.contracts import Call, Level, LimitKind, Refused, ScopeLimits
from tests.limits.records import ALICE, TENANT, Records


def test_refusals_are_counted_by_minute_and_by_hour(
    limits: Limits, tenant: str, records: Records, redis: Redis
) -> None:
    what = [ScopeLimits(TENANT, requests_per_minute=1), ScopeLimits(ALICE, parallel_calls=1)]
    limits.admit_warm(tenant, what, [Call("first", 0)], lease_seconds=30, load=records.load)
    for number in range(3):
        assert isinstance(limits.admit(tenant, what, [Call(f"c{number}", 0)], lease_seconds=30), Refused)
    both = [Call("x", 0), Call("y", 0)]
    assert isinstance(limits.admit(tenant, what[1:], both, lease_seconds=30), Refused)
    expected = {
        (LimitKind.REQUESTS_PER_MINUTE, Level.TENANT): 3,
        (LimitKind.PARALLEL_CALLS, Level.USER): 2,
    }
    assert limits.refusals(tenant, 60) == limits.refusals(tenant, 30 * 24 * 60) == expected
    key = f"test:{{t:{tenant}}}:limits:refused"
    redis.hset(key, mapping={"m 5 parallel_calls user": 7, "h 5 parallel_calls user": 7})
    assert limits.refusals(tenant, 60) == expected
    for name in list(map(str, redis.hkeys(key))):
        if name.startswith("h ") and name != "h 5 parallel_calls user":
            redis.hdel(key, name)  # as if an hour had begun
    assert isinstance(limits.admit(tenant, what, [Call("last", 0)], lease_seconds=30), Refused)
    assert not any(" 5 " in name for name in map(str, redis.hkeys(key))) and redis.pttl(key) > 0  # type: ignore[operator]


def test_who_comes_back_with_less_was_not_refused(limits: Limits, tenant: str, records: Records) -> None:
    what = [ScopeLimits(TENANT, budget_day_nanousd=100)]
    dear = [Call("dear", 150)]
    limits.admit_warm(tenant, what, [Call("first", 60)], lease_seconds=30, load=records.load)
    for enough, counted in ((40, 0), (0, 0), (41, 1), (None, 2)):
        refused = limits.admit(tenant, what, dear, lease_seconds=30, enough_nanousd=enough)
        assert isinstance(refused, Refused) and refused.remaining == 40
        assert limits.refusals(tenant, 60).get((LimitKind.BUDGET_DAY, Level.TENANT), 0) == counted
    # No other limit leaves room for less.
    busy = [ScopeLimits(TENANT, parallel_calls=0)]
    assert isinstance(limits.admit(tenant, busy, dear, lease_seconds=30, enough_nanousd=0), Refused)
    assert limits.refusals(tenant, 60)[LimitKind.PARALLEL_CALLS, Level.TENANT] == 1
