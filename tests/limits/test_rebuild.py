"""Counters that vanish come back exactly, by one process, whatever settles meanwhile."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from redis import Redis
from uuid6 import uuid7

from apps.limits.client import Limits
from apps.limits.contracts import (
    Admitted,
    Call,
    Cold,
    LimitKind,
    OpenCall,
    Overview,
    Projection,
    Refused,
    ScopeLimits,
    Wanted,
)
from apps.limits.errors import Rebuilding
from tests.limits.records import ALICE, BOB, COUNTERS, DAY, MONTH, TENANT, Records, budget, calls

WHAT = [budget(TENANT, month=100, day=100)]


def _overview(limits: Limits, tenant: str, what: list[ScopeLimits] = WHAT) -> Overview:
    overview = limits.peek(tenant, what)
    assert isinstance(overview, Overview)
    return overview


def _spent(limits: Limits, tenant: str, what: list[ScopeLimits] = WHAT) -> set[int]:
    return {row.used for row in _overview(limits, tenant, what).allowances}


def _state(tenant: str) -> str:
    return f"test:{{t:{tenant}}}:limits:counters"


def _counters(redis_url: str, tenant: str) -> dict[str, list[float]]:
    with Redis.from_url(redis_url) as redis:
        state = cast(dict[bytes, bytes], redis.hgetall(_state(tenant)))
    return {name[2:].decode(): list(COUNTERS.unpack(packed)) for name, packed in state.items() if name[:2] == b"c:"}


def _forget_periods(redis_url: str, tenant: str, *, days: int = -1, months: int = -1) -> None:
    """Have all counters speak of another day and month."""
    with Redis.from_url(redis_url) as redis:
        for name, counters in _counters(redis_url, tenant).items():
            counters[DAY], counters[MONTH] = days, months
            redis.hset(_state(tenant), f"c:{name}", COUNTERS.pack(*counters))


def _warm(limits: Limits, tenant: str, records: Records, what: list[ScopeLimits] = WHAT) -> None:
    cold = limits.peek(tenant, what)
    assert isinstance(cold, Cold)
    limits.rebuild(tenant, records.load, missing=cold.missing)


def test_everything_comes_back_from_the_records(limits: Limits, tenant: str, records: Records) -> None:
    records.settle("old", 20, TENANT, ALICE)
    records.reserve("open", 30, TENANT, ALICE)
    records.requests = {TENANT: 2}
    what = [ScopeLimits(TENANT, requests_per_minute=3, parallel_calls=9, budget_day_nanousd=100)]
    cold = limits.admit(tenant, what, calls("new", amount=50), lease_seconds=30)
    assert isinstance(cold, Cold) and cold.whole and len(cold.missing) == 1
    decision = limits.admit_warm(tenant, what, calls("new", amount=50), lease_seconds=30, load=records.load)
    assert isinstance(decision, Admitted)
    assert [row.remaining for row in decision.allowances] == [0, 7, 0]
    refused = limits.admit(tenant, what, calls("more", amount=0), lease_seconds=30)
    assert isinstance(refused, Refused)  # the bucket was not handed out full again


def test_calls_that_no_record_holds_are_in_the_buckets_of_the_minute_again(
    limits: Limits, tenant: str, records: Records
) -> None:
    """Registered before the rebuild or after it, once each; not where only their lease had run out."""
    what = [ScopeLimits(TENANT, requests_per_minute=6, tokens_per_minute=600, parallel_calls=100)]
    held = [OpenCall(str(uuid7()), 1, (TENANT,), 100, "noted", fresh=number < 4) for number in range(5)]

    def used() -> dict[LimitKind, int]:
        overview = limits.peek(tenant, what)
        assert isinstance(overview, Overview)
        return {one.kind: one.used for one in overview.allowances}

    limits.register(tenant, held[:2], lease_seconds=30)
    _warm(limits, tenant, records, what)
    limits.register(tenant, held[1:], lease_seconds=30)
    assert used() == {
        LimitKind.REQUESTS_PER_MINUTE: 4,
        LimitKind.PARALLEL_CALLS: 5,
        LimitKind.TOKENS_PER_MINUTE: 400,
    }
    limits.renew(tenant, [held[0].call_id], lease_seconds=0.01)
    time.sleep(0.02)
    assert limits.register(tenant, held[:1], lease_seconds=30) == (held[0].call_id,)
    assert used()[LimitKind.REQUESTS_PER_MINUTE] == 4
    asked = [Call("c1", 1), Call("c2", 1), Call("c3", 1)]
    assert isinstance(limits.admit(tenant, what, asked, lease_seconds=30), Refused)
    assert isinstance(limits.admit(tenant, what, asked[:2], lease_seconds=30), Admitted)


def test_only_what_is_missing_is_read(limits: Limits, tenant: str, records: Records) -> None:
    _warm(limits, tenant, records)
    assert records.loads[-1].whole
    what = [*WHAT, budget(BOB, day=5)]
    assert isinstance(limits.admit_warm(tenant, what, calls("a"), lease_seconds=30, load=records.load), Admitted)
    assert not records.loads[-1].whole
    assert [counter.scope for counter in records.loads[-1].counters] == [BOB]


def test_nothing_is_read_where_nothing_is_missing(limits: Limits, tenant: str, records: Records) -> None:
    _warm(limits, tenant, records)
    limits.rebuild(tenant, records.load)
    assert len(records.loads) == 1


def test_one_reads_while_many_wait(limits: Limits, tenant: str, records: Records) -> None:
    def slowly(wanted: Wanted) -> Projection:
        time.sleep(0.1)
        return records.load(wanted)

    def ask(number: int) -> bool:
        what = [budget(TENANT, month=100)]
        decision = limits.admit_warm(tenant, what, calls(f"c{number}", amount=20), lease_seconds=30, load=slowly)
        return isinstance(decision, Admitted)

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(16))) == 5
    assert len(records.loads) == 1


def test_waiting_ends_after_half_a_second(limits: Limits, tenant: str, records: Records) -> None:
    reading, enough = threading.Event(), threading.Event()

    def stuck(wanted: Wanted) -> Projection:
        reading.set()
        assert enough.wait(5)
        return records.load(wanted)

    with ThreadPoolExecutor(1) as pool:
        rebuilding = pool.submit(limits.rebuild, tenant, stuck)
        assert reading.wait(5)
        began = time.monotonic()
        with pytest.raises(Rebuilding) as caught:
            limits.rebuild(tenant, records.load)
        assert caught.value.retryable and 0.45 <= time.monotonic() - began < 1.5
        enough.set()
        rebuilding.result(5)
    assert isinstance(limits.peek(tenant, []), Overview)


def test_a_failed_reading_gives_the_lock_back(limits: Limits, tenant: str, records: Records) -> None:
    def broken(wanted: Wanted) -> Projection:
        raise OSError("no database")

    def incomplete(wanted: Wanted) -> Projection:
        return Projection(spent={})

    missing = limits.peek(tenant, WHAT)
    assert isinstance(missing, Cold)
    for load, error in ((broken, OSError), (incomplete, ValueError)):
        with pytest.raises(error):
            limits.rebuild(tenant, load, missing=missing.missing)
    began = time.monotonic()
    _warm(limits, tenant, records)
    assert time.monotonic() - began < 0.4


def test_a_loss_during_the_reading_starts_it_over(limits: Limits, tenant: str, records: Records, redis: Redis) -> None:
    def unlucky(wanted: Wanted) -> Projection:
        projection = records.load(wanted)
        if len(records.loads) == 1:
            redis.flushall()
            records.settle("a", 7, TENANT)
        return projection

    decision = limits.admit_warm(tenant, WHAT, calls("b"), lease_seconds=30, load=unlucky)
    assert isinstance(decision, Admitted) and len(records.loads) == 2
    assert _spent(limits, tenant) == {7}


BEFORE, DURING, AFTER = range(3)


@pytest.mark.parametrize("kept", ["everything", "the reservation", "nothing"])
@pytest.mark.parametrize(
    ("recorded", "settled"),
    [(BEFORE, BEFORE), (BEFORE, DURING), (BEFORE, AFTER), (DURING, DURING), (DURING, AFTER), (AFTER, AFTER)],
)
def test_a_settlement_racing_a_rebuild_counts_once(
    limits: Limits, tenant: str, records: Records, redis: Redis, redis_url: str, kept: str, recorded: int, settled: int
) -> None:
    """First the record, then its settlement in Redis. The reading sees what was recorded BEFORE, not DURING."""
    _warm(limits, tenant, records)
    limits.admit(tenant, WHAT, calls("a", amount=9), lease_seconds=30)
    records.reserve("a", 9, TENANT)
    if kept == "nothing":
        redis.flushall()
    elif kept == "the reservation":  # as at the turn of a month
        _forget_periods(redis_url, tenant)
    else:  # a recount of counters that are there
        limits.settle(tenant, [TENANT], "stray", 1)

    def act(moment: int) -> None:
        if recorded == moment:
            records.settle("a", 7, TENANT)
        if settled == moment:
            limits.settle(tenant, [TENANT], "a", 7, at=records.ledger[-1].at)

    def load(wanted: Wanted) -> Projection:
        projection = records.load(wanted)
        act(DURING)
        return projection

    act(BEFORE)
    missing = limits.peek(tenant, WHAT)
    limits.rebuild(tenant, load, missing=missing.missing if isinstance(missing, Cold) else ())
    assert len(records.loads) == 2
    act(AFTER)
    rows = {(row.used, row.reserved) for row in _overview(limits, tenant).allowances}
    if _overview(limits, tenant).dirty:
        # Too much for a moment is allowed where it is said; too little never.
        assert all(used >= 7 for used, _ in rows)
        limits.rebuild(tenant, records.load)
        rows = {(row.used, row.reserved) for row in _overview(limits, tenant).allowances}
    assert rows == {(7, 0)}


def test_a_lost_lease_is_registered_again(limits: Limits, tenant: str, records: Records) -> None:
    _warm(limits, tenant, records)
    limits.admit(tenant, WHAT, calls("a", amount=9), lease_seconds=0.02)
    records.reserve("a", 9, TENANT)
    time.sleep(0.03)
    assert limits.renew(tenant, ["a"], lease_seconds=30) == ("a",)
    assert limits.register(tenant, records.reserved.values(), lease_seconds=30) == ("a",)
    assert limits.register(tenant, records.reserved.values(), lease_seconds=30) == ()
    assert {row.reserved for row in _overview(limits, tenant).allowances} == {9}
    records.settle("a", 4, TENANT)
    limits.settle(tenant, [TENANT], "a", 4)
    assert limits.register(tenant, [], lease_seconds=30) == ()
    limits.rebuild(tenant, records.load)
    assert {(row.used, row.reserved) for row in _overview(limits, tenant).allowances} == {(4, 0)}


def test_a_process_that_dies_between_record_and_settlement_leaves_a_trace(
    limits: Limits, tenant: str, records: Records
) -> None:
    _warm(limits, tenant, records)
    limits.admit(tenant, WHAT, calls("a", amount=9), lease_seconds=0.02)
    records.settle("a", 9, TENANT)
    time.sleep(0.03)
    assert _overview(limits, tenant).dirty
    limits.rebuild(tenant, records.load)
    assert _spent(limits, tenant) == {9} and not _overview(limits, tenant).dirty


def test_doubts_that_arise_during_the_reading_stay(limits: Limits, tenant: str, records: Records) -> None:
    _warm(limits, tenant, records)
    limits.settle(tenant, [TENANT], "stray", 1)

    def load(wanted: Wanted) -> Projection:
        projection = records.load(wanted)
        limits.settle(tenant, [TENANT], "another", 1)
        return projection

    limits.rebuild(tenant, load)
    assert _overview(limits, tenant).dirty
    limits.rebuild(tenant, records.load)
    assert not _overview(limits, tenant).dirty and _spent(limits, tenant) == {0}


def test_periods_that_are_over_are_forgotten(
    limits: Limits, tenant: str, records: Records, redis: Redis, redis_url: str
) -> None:
    _warm(limits, tenant, records, [*WHAT, budget(BOB, month=5)])
    _forget_periods(redis_url, tenant, days=11_323, months=24_012)
    assert set(_counters(redis_url, tenant)) == {"tenant:acme", "user:bob"}
    redis.hset(_state(tenant), "swept", "11323")
    what = [budget(TENANT, month=100), budget(ALICE, day=1)]
    limits.admit_warm(tenant, what, calls("a"), lease_seconds=30, load=records.load)
    kept = {name: (each[DAY] > 0, each[MONTH] > 0) for name, each in _counters(redis_url, tenant).items()}
    assert kept == {"tenant:acme": (False, True), "user:alice": (True, False)}


def test_what_is_held_is_counted_anew_where_only_the_counters_are_lost(
    limits: Limits, tenant: str, records: Records, redis: Redis
) -> None:
    _warm(limits, tenant, records)
    limits.admit(tenant, WHAT, calls("a", "b", amount=9), lease_seconds=30)
    redis.delete(_state(tenant))
    _warm(limits, tenant, records)
    assert {row.reserved for row in _overview(limits, tenant).allowances} == {18}
    limits.release(tenant, ["a", "b"])
    assert {row.reserved for row in _overview(limits, tenant).allowances} == {0}
