"""What a call has cost is added once, to the right period, and never lost in silence."""

from datetime import UTC, datetime, timedelta

from apps.limits.client import Limits
from apps.limits.contracts import Admitted, Allowance, Cold, LimitKind, Overview, Settled
from tests.limits.records import ALICE, TENANT, Records, budget, calls

WHAT = [budget(TENANT, month=100, day=50), budget(ALICE, month=40)]


def _admit(limits: Limits, tenant: str, records: Records, name: str, amount: int) -> None:
    decision = limits.admit_warm(tenant, WHAT, calls(name, amount=amount), lease_seconds=30, load=records.load)
    assert isinstance(decision, Admitted)


def _rows(limits: Limits, tenant: str) -> list[Allowance]:
    overview = limits.peek(tenant, WHAT)
    assert isinstance(overview, Overview)
    return list(overview.allowances)


def test_settling_moves_money_from_reserved_to_spent(limits: Limits, tenant: str, records: Records) -> None:
    _admit(limits, tenant, records, "a", 30)
    assert [(row.used, row.reserved, row.remaining) for row in _rows(limits, tenant)] == [
        (0, 30, 20),
        (0, 30, 70),
        (0, 30, 10),
    ]
    assert limits.settle(tenant, [TENANT, ALICE], "a", 12) == Settled(repeated=False, dirty=False)
    assert [(row.used, row.reserved, row.remaining) for row in _rows(limits, tenant)] == [
        (12, 0, 38),
        (12, 0, 88),
        (12, 0, 28),
    ]


def test_settling_twice_adds_once(limits: Limits, tenant: str, records: Records) -> None:
    _admit(limits, tenant, records, "a", 30)
    limits.settle(tenant, [TENANT, ALICE], "a", 12)
    assert limits.settle(tenant, [TENANT, ALICE], "a", 12) == Settled(repeated=True, dirty=False)
    assert {row.used for row in _rows(limits, tenant)} == {12}


def test_an_overrun_is_counted_and_shown_as_nothing_left(limits: Limits, tenant: str, records: Records) -> None:
    _admit(limits, tenant, records, "a", 1)
    limits.settle(tenant, [TENANT, ALICE], "a", 45)
    assert [row.remaining for row in _rows(limits, tenant)] == [5, 55, 0]


def test_settling_without_a_reservation_is_counted_and_said(limits: Limits, tenant: str, records: Records) -> None:
    limits.rebuild(tenant, records.load)
    _admit(limits, tenant, records, "a", 30)
    limits.release(tenant, ["a"])
    assert limits.settle(tenant, [TENANT, ALICE], "a", 12) == Settled(repeated=False, dirty=True)
    overview = limits.peek(tenant, WHAT)
    assert isinstance(overview, Overview) and overview.dirty
    assert {row.used for row in overview.allowances} == {12}
    # The records know better: nothing was written down for this call.
    limits.rebuild(tenant, records.load)
    assert {row.used for row in _rows(limits, tenant)} == {0}


def test_the_time_of_the_record_decides_the_period(limits: Limits, tenant: str, records: Records) -> None:
    _admit(limits, tenant, records, "a", 30)
    long_ago = datetime.now(UTC) - timedelta(days=40)
    limits.settle(tenant, [TENANT, ALICE], "a", 12, at=long_ago)
    assert {(row.used, row.reserved) for row in _rows(limits, tenant)} == {(0, 0)}
    _admit(limits, tenant, records, "b", 30)
    limits.settle(tenant, [TENANT, ALICE], "b", 12, at=datetime.now(UTC))
    assert {(row.used, row.reserved) for row in _rows(limits, tenant)} == {(12, 0)}


def test_a_missing_counter_is_never_taken_for_zero(limits: Limits, tenant: str, records: Records) -> None:
    limits.rebuild(tenant, records.load)
    cold = limits.peek(tenant, [budget(TENANT, month=5)])
    assert isinstance(cold, Cold) and not cold.whole
    limits.settle(tenant, [TENANT], "a", 3)
    records.settle("a", 3, TENANT)
    assert isinstance(limits.peek(tenant, [budget(TENANT, month=5)]), Cold)
    limits.rebuild(tenant, records.load, missing=cold.missing)
    overview = limits.peek(tenant, [budget(TENANT, month=5)])
    assert isinstance(overview, Overview)
    assert [(row.kind, row.used) for row in overview.allowances] == [(LimitKind.BUDGET_MONTH, 3)]
