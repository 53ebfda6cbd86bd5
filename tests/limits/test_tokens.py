"""Tokens per minute, day and month: debited by the bound, settled by use."""

import time

import pytest

from apps.limits.client import Limits
from apps.limits.contracts import (
    Admitted,
    Call,
    Decision,
    LimitKind,
    OpenCall,
    Overview,
    Refused,
    ScopeLimits,
    SettledCall,
)
from tests.limits.records import ALICE, TENANT, Records

KINDS = (LimitKind.TOKENS_PER_MINUTE, LimitKind.TOKENS_PER_DAY, LimitKind.TOKENS_PER_MONTH)


def of(kind: LimitKind, limit: int) -> list[ScopeLimits]:
    return [ScopeLimits(TENANT, **{kind.value: limit}), ScopeLimits(ALICE)]


def ask(limits: Limits, tenant: str, records: Records, what: list[ScopeLimits], name: str, tokens: int) -> Decision:
    call = Call(name, 0, tokens)
    return limits.admit_warm(tenant, what, [call], lease_seconds=30, load=records.load)


def left(limits: Limits, tenant: str, what: list[ScopeLimits]) -> int:
    overview = limits.peek(tenant, what)
    assert isinstance(overview, Overview)
    return overview.allowances[0].remaining


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_is_debited_and_what_was_not_used_comes_back(
    limits: Limits, tenant: str, records: Records, kind: LimitKind
) -> None:
    what = of(kind, 1_000)
    assert isinstance(ask(limits, tenant, records, what, "a", 700), Admitted)
    refused = ask(limits, tenant, records, what, "b", 400)
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.scope, refused.limit) == (kind, TENANT, 1_000)
    assert 300 <= refused.remaining < 320  # a minute's bucket refills by one each 60 ms
    limits.settle(tenant, [TENANT, ALICE], "a", 0, tokens=100)
    assert 900 <= left(limits, tenant, what) < 920
    assert isinstance(ask(limits, tenant, records, what, "b", 850), Admitted)
    limits.settle(tenant, [TENANT, ALICE], "b", 0, tokens=900)  # more than its bound
    assert left(limits, tenant, what) <= 20
    assert limits.settle(tenant, [TENANT, ALICE], "b", 0, tokens=900).repeated


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_never_used_is_given_back_whole(
    limits: Limits, tenant: str, records: Records, kind: LimitKind
) -> None:
    what = of(kind, 1_000)
    ask(limits, tenant, records, what, "a", 1_000)
    assert limits.release(tenant, ["a"]) == ("a",)
    assert left(limits, tenant, what) == 1_000


def test_a_minutes_tokens_refill_and_the_wait_is_told(limits: Limits, tenant: str, records: Records) -> None:
    what = of(LimitKind.TOKENS_PER_MINUTE, 60_000)
    ask(limits, tenant, records, what, "a", 60_000)
    refused = ask(limits, tenant, records, what, "b", 100)
    assert isinstance(refused, Refused) and refused.retry_after_seconds is not None
    assert 0 < refused.retry_after_seconds <= 0.1
    time.sleep(refused.retry_after_seconds + 0.005)
    assert isinstance(ask(limits, tenant, records, what, "b", 100), Admitted)
    never = ask(limits, tenant, records, what, "c", 60_001)
    assert isinstance(never, Refused) and never.retry_after_seconds is None


def test_a_refund_after_a_refill_gives_no_more_than_the_limit(limits: Limits, tenant: str, records: Records) -> None:
    what = of(LimitKind.TOKENS_PER_MINUTE, 600_000)  # ten a millisecond
    ask(limits, tenant, records, what, "a", 500)
    time.sleep(0.06)
    limits.settle(tenant, [TENANT], "a", 0, tokens=0)
    assert left(limits, tenant, what) == 600_000


def test_tokens_come_back_from_the_records(limits: Limits, tenant: str, records: Records) -> None:
    now = records.at()
    records.ledger.append(SettledCall("old", 5, (TENANT,), now, tokens=200))
    records.reserved["open"] = OpenCall("open", 5, (TENANT,), tokens=300)
    records.requests = {TENANT: 2}
    records.tokens = {TENANT: 500}
    for kind in KINDS:
        assert isinstance(ask(limits, tenant, records, of(kind, 1_000), "open", 300), Admitted)
        assert 500 <= left(limits, tenant, of(kind, 1_000)) < 540, kind


def test_a_daily_quota_refuses_until_midnight(limits: Limits, tenant: str, records: Records) -> None:
    what = of(LimitKind.TOKENS_PER_DAY, 100)
    ask(limits, tenant, records, what, "a", 100)
    held = ask(limits, tenant, records, what, "b", 50)
    assert isinstance(held, Refused) and held.retry_after_seconds == 1.0
    limits.settle(tenant, [TENANT], "a", 0, tokens=100)
    spent = ask(limits, tenant, records, what, "b", 50)
    assert isinstance(spent, Refused) and spent.retry_after_seconds is not None and spent.retry_after_seconds > 1.0
