"""Settlements with records go into one stream, once; a noted call leaves its note where nobody tells its end."""

import time
from datetime import UTC, datetime

import pytest
from redis import Redis

from apps.limits.client import Limits
from apps.limits.contracts import (
    MAX_NOTE_BYTES,
    Admitted,
    Call,
    Level,
    OpenCall,
    Overview,
    Scope,
    ScopeLimits,
    Settlement,
)
from apps.limits.errors import AlreadySettled, OutOfRange
from tests.limits.records import TENANT, Records, budget

WHAT = [budget(TENANT, month=100)]
NOTE = 'who "it" was\nand when'


@pytest.fixture(autouse=True)
def _warm(limits: Limits, tenant: str, records: Records) -> None:
    limits.admit_warm(tenant, WHAT, [Call("warm", 0)], lease_seconds=30, load=records.load)
    limits.release(tenant, ["warm"])


def admit(limits: Limits, tenant: str, name: str, *, lease_seconds: float = 30, note: str = NOTE) -> None:
    decision = limits.admit(tenant, WHAT, [Call(name, 10, 7, note)], lease_seconds=lease_seconds)
    assert isinstance(decision, Admitted)


def stream(limits: Limits, tenant: str, grace_seconds: float = 60.0) -> tuple[Settlement, ...]:
    return limits.settlements(tenant, grace_seconds=grace_seconds).settlements


def row(limits: Limits, tenant: str) -> tuple[int, int]:
    overview = limits.peek(tenant, WHAT)
    assert isinstance(overview, Overview)
    return overview.allowances[0].used, overview.allowances[0].reserved


def test_records_are_appended_once(limits: Limits, tenant: str) -> None:
    admit(limits, tenant, "a")
    first = limits.settle(tenant, [TENANT], "a", 4, records=["one", "two"])
    again = limits.settle(tenant, [TENANT], "a", 4, records=["one", "two"])
    assert (first.repeated, again.repeated, again.stream_id) == (False, True, first.stream_id)
    assert [one.record for one in stream(limits, tenant)] == ["one", "two"]
    assert row(limits, tenant) == (4, 0)
    limits.drained(tenant, first.stream_id)
    assert stream(limits, tenant) == ()
    assert limits.settle(tenant, [TENANT], "a", 4, records=["one"]).stream_id == first.stream_id


def test_the_stream_is_read_in_parts_and_trimmed_to_the_id(limits: Limits, tenant: str) -> None:
    for number in range(5):
        admit(limits, tenant, f"c{number}")
        limits.settle(tenant, [TENANT], f"c{number}", 1, records=[str(number)])
    first = limits.settlements(tenant, grace_seconds=60, count=2)
    assert [one.record for one in first.settlements] == ["0", "1"]
    rest = limits.settlements(tenant, grace_seconds=60, after=first.settlements[-1].id)
    assert [one.record for one in rest.settlements] == ["2", "3", "4"] and rest.waiting == 0
    limits.drained(tenant, first.settlements[-1].id)
    assert [one.record for one in stream(limits, tenant)] == ["2", "3", "4"]


def test_a_lapsed_call_is_waited_for_and_then_abandoned(limits: Limits, tenant: str) -> None:
    admit(limits, tenant, "a", lease_seconds=0.02)
    admit(limits, tenant, "plain", lease_seconds=0.02, note="")
    time.sleep(0.03)
    collected = limits.settlements(tenant, grace_seconds=60)
    assert collected.settlements == () and collected.waiting == 1
    assert row(limits, tenant) == (0, 0)  # it holds nothing meanwhile
    (left,) = stream(limits, tenant, grace_seconds=0)
    assert (left.record, left.abandoned, left.call_id) == (NOTE, True, "a")
    assert (left.amount_nanousd, left.tokens) == (10, 7)
    assert stream(limits, tenant, grace_seconds=0) == (left,)
    # Its caller comes back too late: one end for each call.
    assert limits.settle(tenant, [TENANT], "a", 4, records=["late"]).repeated
    assert limits.register(tenant, [OpenCall("a", 10, (TENANT,), 7, NOTE)], lease_seconds=30) == ()
    assert stream(limits, tenant) == (left,) and row(limits, tenant) == (0, 0)
    with pytest.raises(AlreadySettled):
        limits.admit(tenant, WHAT, [Call("a", 10)], lease_seconds=30)


@pytest.mark.parametrize("back", ["settled", "registered", "admitted"])
def test_a_slow_caller_comes_back_in_time(limits: Limits, tenant: str, back: str) -> None:
    admit(limits, tenant, "a", lease_seconds=0.02)
    time.sleep(0.03)
    assert limits.settlements(tenant, grace_seconds=60).waiting == 1
    if back == "registered":
        assert limits.register(tenant, [OpenCall("a", 10, (TENANT,), 7, NOTE)], lease_seconds=30) == ("a",)
    elif back == "admitted":
        admit(limits, tenant, "a")
    if back != "settled":
        assert stream(limits, tenant, grace_seconds=0) == () and row(limits, tenant) == (0, 10)
    assert not limits.settle(tenant, [TENANT], "a", 4, records=["mine"]).repeated
    assert [one.record for one in stream(limits, tenant, grace_seconds=0)] == ["mine"]
    assert row(limits, tenant) == (4, 0)


def test_released_calls_leave_nothing_and_abandoned_ones_their_note(limits: Limits, tenant: str) -> None:
    for name in ("released", "abandoned"):
        admit(limits, tenant, name)
    admit(limits, tenant, "plain", note="")
    assert limits.release(tenant, ["released"]) == ("released",)
    assert limits.abandon(tenant, ["abandoned", "plain", "unknown"]) == ("abandoned", "plain")
    assert [(one.call_id, one.record) for one in stream(limits, tenant)] == [("abandoned", NOTE)]
    assert row(limits, tenant) == (0, 0)


def test_a_settlement_that_redis_forgot_is_named(limits: Limits, tenant: str, redis: Redis, records: Records) -> None:
    admit(limits, tenant, "a")
    admit(limits, tenant, "open")
    settled = limits.settle(tenant, [TENANT], "a", 4, records=["one"])
    told = limits.tend(tenant, ["open"], ["a"], lease_seconds=30)
    assert (told.lost, told.forgotten, told.drained_id) == ((), (), "0-0")
    limits.drained(tenant, settled.stream_id)
    told = limits.tend(tenant, ["open"], ["a"], lease_seconds=30)
    assert told.forgotten == () and int(told.drained_id.split("-")[0]) > int(settled.stream_id.split("-")[0])
    redis.flushall()
    told = limits.tend(tenant, ["open"], ["a"], lease_seconds=30)
    assert (told.lost, told.forgotten) == (("open",), ("a",))
    limits.register(tenant, [OpenCall("open", 10, (TENANT,), 7, NOTE)], lease_seconds=30)
    limits.settle(tenant, [TENANT], "a", 4, at=datetime.now(UTC), records=["one"])
    assert [one.record for one in stream(limits, tenant)] == ["one"]


def test_a_quota_that_was_set_meanwhile_counts_the_call_too(limits: Limits, tenant: str, records: Records) -> None:
    team = Scope(Level.TEAM, "research")
    admit(limits, tenant, "a")
    what = [*WHAT, budget(team, month=50)]
    limits.admit_warm(tenant, what, [Call("b", 1)], lease_seconds=30, load=records.load)
    limits.settle(tenant, [TENANT, team], "a", 4, records=["one"])
    overview = limits.peek(tenant, what)
    assert isinstance(overview, Overview)
    assert [(one.used, one.reserved) for one in overview.allowances] == [(4, 1), (4, 1)]


def test_a_note_has_a_bound() -> None:
    Call("a", 1, 0, "ü" * (MAX_NOTE_BYTES // 2))
    for note in ("x" * (MAX_NOTE_BYTES + 1), "ü" * (MAX_NOTE_BYTES // 2 + 1)):
        with pytest.raises(OutOfRange):
            Call("a", 1, 0, note)


def test_busy_tenants_are_named_until_they_are_idle(limits: Limits, tenant: str, redis: Redis) -> None:
    redis.zadd("test:limits:busy", {tenant: 1_000})
    seen = limits.busy()[tenant]
    redis.zadd("test:limits:busy", {tenant: 1_001})
    limits.mark_idle(tenant, seen)
    assert limits.busy()[tenant] == "1001"
    limits.mark_idle(tenant, "1001")
    assert tenant not in limits.busy()


def test_scopes_without_limits_cost_nothing_and_still_count(limits: Limits, tenant: str, records: Records) -> None:
    limits.admit(tenant, [ScopeLimits(TENANT)], [Call("a", 0, 0)], lease_seconds=30)
    decision = limits.admit(tenant, [ScopeLimits(TENANT, parallel_calls=1)], [Call("b", 0)], lease_seconds=30)
    assert not isinstance(decision, Admitted)
