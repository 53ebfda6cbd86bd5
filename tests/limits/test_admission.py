"""Who is let in, who is not, and that a refusal costs nothing."""

import time
from datetime import UTC, datetime

import pytest
from redis import Redis

from apps.limits.client import Limits
from apps.limits.contracts import (
    MAX_NANOUSD,
    Admitted,
    Cold,
    Decision,
    LimitKind,
    Overview,
    Refused,
    ScopeLimits,
    Stale,
)
from apps.limits.errors import AlreadySettled, LimitsUnavailable
from tests.limits.records import ALICE, DOLLAR, TENANT, Records, budget, calls


@pytest.fixture(autouse=True)
def _warm(limits: Limits, tenant: str, records: Records) -> None:
    limits.rebuild(tenant, records.load)


def _ask(
    limits: Limits, tenant: str, records: Records, what: list[ScopeLimits], *names: str, amount: int = 0
) -> Decision:
    return limits.admit_warm(tenant, what, calls(*names, amount=amount), lease_seconds=30, load=records.load)


def _left(limits: Limits, tenant: str, what: list[ScopeLimits]) -> dict[tuple[str, LimitKind], int]:
    overview = limits.peek(tenant, what)
    assert isinstance(overview, Overview)
    return {(str(row.scope), row.kind): row.remaining for row in overview.allowances}


def test_k_per_minute_admits_k_in_a_burst_and_refills(limits: Limits, tenant: str, records: Records) -> None:
    what = [ScopeLimits(TENANT, requests_per_minute=600)]
    began = time.monotonic()
    decisions = [_ask(limits, tenant, records, what, f"c{i}") for i in range(620)]
    admitted = sum(isinstance(each, Admitted) for each in decisions)
    # One more for each 100 ms that the burst took.
    assert 600 <= admitted <= 601 + (time.monotonic() - began) * 10
    while isinstance(refused := _ask(limits, tenant, records, what, "late"), Admitted):
        limits.release(tenant, ["late"])
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.scope, refused.limit) == (LimitKind.REQUESTS_PER_MINUTE, TENANT, 600)
    assert refused.retry_after_seconds is not None and 0 < refused.retry_after_seconds <= 0.1
    time.sleep(refused.retry_after_seconds + 0.005)
    assert isinstance(_ask(limits, tenant, records, what, "late"), Admitted)


def test_all_lanes_or_none(limits: Limits, tenant: str, records: Records) -> None:
    what = [ScopeLimits(TENANT, parallel_calls=4, requests_per_minute=5), budget(ALICE, month=10)]
    assert isinstance(_ask(limits, tenant, records, what, "a", "b", amount=2), Admitted)
    before = _left(limits, tenant, what)
    refused = _ask(limits, tenant, records, what, "c", "d", "e", amount=2)
    assert isinstance(refused, Refused) and refused.kind is LimitKind.PARALLEL_CALLS
    assert (refused.remaining, refused.limit) == (2, 4)
    refused = _ask(limits, tenant, records, what, "c", "d", amount=4)
    assert isinstance(refused, Refused) and refused.scope == ALICE
    assert (refused.kind, refused.remaining, refused.limit) == (LimitKind.BUDGET_MONTH, 6, 10)
    assert _left(limits, tenant, what) == before
    assert isinstance(_ask(limits, tenant, records, what, "c", "d", amount=3), Admitted)
    assert _left(limits, tenant, what)[("user:alice", LimitKind.BUDGET_MONTH)] == 0


def test_every_scope_of_the_chain_counts(limits: Limits, tenant: str, records: Records) -> None:
    wide, narrow = ScopeLimits(TENANT, parallel_calls=3), ScopeLimits(ALICE, parallel_calls=1)
    assert isinstance(_ask(limits, tenant, records, [wide, narrow], "a"), Admitted)
    refused = _ask(limits, tenant, records, [wide, narrow], "b")
    assert isinstance(refused, Refused) and refused.scope == ALICE
    assert isinstance(_ask(limits, tenant, records, [wide], "b", "c"), Admitted)
    refused = _ask(limits, tenant, records, [wide], "d")
    assert isinstance(refused, Refused) and refused.scope == TENANT


def test_a_set_larger_than_the_limit_is_told_that_waiting_is_no_use(
    limits: Limits, tenant: str, records: Records
) -> None:
    for what, amount in (
        (ScopeLimits(TENANT, requests_per_minute=1), 0),
        (ScopeLimits(TENANT, requests_per_minute=0), 0),
        (ScopeLimits(TENANT, parallel_calls=1), 0),
        (budget(TENANT, month=3), 2),
    ):
        refused = _ask(limits, tenant, records, [what], "a", "b", amount=amount)
        assert isinstance(refused, Refused) and refused.retry_after_seconds is None, what


def test_the_reason_that_lasts_longest_is_told(limits: Limits, tenant: str, records: Records) -> None:
    what = [ScopeLimits(TENANT, requests_per_minute=1, parallel_calls=1, budget_month_nanousd=1)]
    assert isinstance(_ask(limits, tenant, records, what, "a", amount=1), Admitted)
    refused = _ask(limits, tenant, records, what, "b", amount=1)
    assert isinstance(refused, Refused) and refused.kind is LimitKind.REQUESTS_PER_MINUTE
    assert refused.retry_after_seconds == pytest.approx(60, abs=2)


def test_spent_money_comes_back_with_the_next_period(limits: Limits, tenant: str, records: Records) -> None:
    what = [budget(TENANT, day=10, month=100)]
    assert isinstance(_ask(limits, tenant, records, what, "a", amount=10), Admitted)
    held = _ask(limits, tenant, records, what, "b", amount=10)
    assert isinstance(held, Refused) and held.retry_after_seconds == 1.0
    limits.settle(tenant, [TENANT], "a", 10)
    spent = _ask(limits, tenant, records, what, "b", amount=10)
    now = datetime.now(UTC)
    to_midnight = 86_400 - (now.hour * 3600 + now.minute * 60 + now.second)
    assert isinstance(spent, Refused) and spent.kind is LimitKind.BUDGET_DAY
    assert spent.retry_after_seconds == pytest.approx(to_midnight, abs=5)


def test_nine_million_dollars_are_counted_to_the_nano(limits: Limits, tenant: str, records: Records) -> None:
    what = [budget(TENANT, month=MAX_NANOUSD)]
    assert isinstance(_ask(limits, tenant, records, what, "a", amount=MAX_NANOUSD - 8), Admitted)
    limits.settle(tenant, [TENANT], "a", MAX_NANOUSD - 8)
    assert isinstance(_ask(limits, tenant, records, what, "b", amount=7), Admitted)
    refused = _ask(limits, tenant, records, what, "c", amount=2)
    assert isinstance(refused, Refused) and refused.remaining == 1
    admitted = _ask(limits, tenant, records, what, "c", amount=1)
    assert isinstance(admitted, Admitted) and admitted.allowances[0].remaining == 0
    assert (admitted.allowances[0].used, admitted.allowances[0].reserved) == (MAX_NANOUSD - 8, 8)


def test_the_same_call_id_consumes_once(limits: Limits, tenant: str, records: Records) -> None:
    what = [ScopeLimits(TENANT, requests_per_minute=2, parallel_calls=2, budget_month_nanousd=2 * DOLLAR)]
    first = _ask(limits, tenant, records, what, "a", "b", amount=DOLLAR)
    again = _ask(limits, tenant, records, what, "a", "b", amount=DOLLAR)
    assert isinstance(first, Admitted) and isinstance(again, Admitted)
    assert (first.repeated, again.repeated) == (False, True)
    assert first.allowances == again.allowances


def test_a_call_that_is_over_cannot_be_admitted_again(limits: Limits, tenant: str, records: Records) -> None:
    _ask(limits, tenant, records, [ScopeLimits(TENANT)], "a")
    limits.settle(tenant, [TENANT], "a", 1)
    with pytest.raises(AlreadySettled):
        _ask(limits, tenant, records, [ScopeLimits(TENANT)], "a")


def test_leases_expire_by_themselves_and_say_so(limits: Limits, tenant: str, records: Records) -> None:
    what = [ScopeLimits(TENANT, parallel_calls=1, budget_day_nanousd=5)]
    limits.admit_warm(tenant, what, calls("a", amount=5), lease_seconds=0.3, load=records.load)
    assert isinstance(_ask(limits, tenant, records, what, "b", amount=5), Refused)
    time.sleep(0.31)
    admitted = _ask(limits, tenant, records, what, "b", amount=5)
    # Nobody knows what the lost call has cost, hence the hint to recount.
    assert isinstance(admitted, Admitted) and admitted.dirty
    limits.rebuild(tenant, records.load)
    overview = limits.peek(tenant, what)
    assert isinstance(overview, Overview) and not overview.dirty


def test_renewed_leases_stay_and_lost_ones_are_named(limits: Limits, tenant: str, records: Records) -> None:
    what = [ScopeLimits(TENANT, parallel_calls=1)]
    limits.admit(tenant, what, calls("a"), lease_seconds=0.5)
    for _ in range(3):
        time.sleep(0.2)
        assert limits.renew(tenant, ["a", "gone"], lease_seconds=0.5) == ("gone",)
    assert isinstance(_ask(limits, tenant, records, what, "b"), Refused)
    time.sleep(0.51)
    assert limits.renew(tenant, ["a"], lease_seconds=0.5) == ("a",)


def test_a_release_gives_back_lease_and_money_but_not_the_request(
    limits: Limits, tenant: str, records: Records
) -> None:
    what = [ScopeLimits(TENANT, requests_per_minute=9, parallel_calls=1, budget_month_nanousd=5)]
    _ask(limits, tenant, records, what, "a", amount=5)
    assert limits.release(tenant, ["a", "b"]) == ("a",)
    assert limits.release(tenant, ["a"]) == ()
    left = _left(limits, tenant, what)
    assert sorted(left.values()) == [1, 5, 8]


def test_an_older_epoch_is_told_the_current_one(limits: Limits, tenant: str, records: Records) -> None:
    what = [ScopeLimits(TENANT, parallel_calls=2)]
    stale = limits.admit(tenant, what, calls("a"), lease_seconds=5, epoch=0)
    assert isinstance(stale, Stale)
    assert isinstance(limits.admit(tenant, what, calls("a"), lease_seconds=5, epoch=stale.epoch), Admitted)
    bumped = limits.bump_epoch(tenant)
    assert bumped > stale.epoch
    assert limits.admit(tenant, what, calls("b"), lease_seconds=5, epoch=stale.epoch) == Stale(bumped)
    assert _left(limits, tenant, what)[("tenant:acme", LimitKind.PARALLEL_CALLS)] == 1
    overview = limits.peek(tenant, what)
    assert isinstance(overview, Overview) and overview.epoch == bumped


def test_an_epoch_from_before_a_loss_is_stale_after_it(
    limits: Limits, tenant: str, records: Records, redis: Redis
) -> None:
    known = limits.bump_epoch(tenant)
    redis.flushall()
    time.sleep(0.002)
    limits.rebuild(tenant, records.load)
    decision = limits.admit(tenant, [ScopeLimits(TENANT)], calls("a"), lease_seconds=5, epoch=known)
    assert isinstance(decision, Stale) and decision.epoch > known


def test_an_epoch_given_out_right_after_a_loss_is_later(limits: Limits, tenant: str, redis: Redis) -> None:
    known = limits.bump_epoch(tenant)
    redis.flushall()
    time.sleep(0.002)
    assert limits.bump_epoch(tenant) > known


def test_forgotten_scripts_are_sent_again(limits: Limits, tenant: str, records: Records, redis: Redis) -> None:
    assert isinstance(_ask(limits, tenant, records, [ScopeLimits(TENANT)], "a"), Admitted)
    redis.script_flush()
    assert isinstance(_ask(limits, tenant, records, [ScopeLimits(TENANT)], "b"), Admitted)


def test_tenants_do_not_touch_each_other(limits: Limits, tenant: str, records: Records) -> None:
    what = [ScopeLimits(TENANT, parallel_calls=1)]
    assert isinstance(_ask(limits, tenant, records, what, "a"), Admitted)
    assert isinstance(limits.admit(f"{tenant}-2", what, calls("a"), lease_seconds=5), Cold)
    assert isinstance(_ask(limits, f"{tenant}-2", records, what, "a"), Admitted)


def test_a_dead_server_is_one_error_and_no_second_try() -> None:
    client = Limits("redis://127.0.0.1:1/0", timeout_seconds=0.5)
    began = time.monotonic()
    with pytest.raises(LimitsUnavailable) as caught:
        client.bump_epoch("t")
    assert caught.value.retryable and time.monotonic() - began < 0.5
    client.close()
