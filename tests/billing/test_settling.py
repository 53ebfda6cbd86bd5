"""What a call really cost replaces what was set aside for it, once, and the counters say what the ledger says."""

import pytest
from django.db.models import Sum
from uuid6 import uuid7

from apps.billing import services
from apps.billing.contracts import BudgetLeft, CallCost
from apps.billing.errors import OverBudget
from apps.billing.models import LedgerEntry, Reservation
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.billing.conftest import open_call, spend, write_end

BUDGET = 10_000


@pytest.fixture(autouse=True)
def budget(alice: Principal) -> None:
    services.set_quota(tenant_id=alice.tenant_id, budget_month_nanousd=BUDGET)


def left(principal: Principal) -> int | None:
    return services.budget_left(principal).month_nanousd


def charged(principal: Principal) -> int:
    with tenant_scope(principal.tenant_id):
        lines = LedgerEntry.objects.filter(kind="charge")
        return int(lines.aggregate(total=Sum("amount_nanousd"))["total"] or 0)


def test_an_open_call_holds_what_it_may_cost(alice: Principal) -> None:
    open_call(alice, 4_000)
    assert services.budget_left(alice) == BudgetLeft(month_nanousd=6_000, day_nanousd=None)


def test_a_settled_call_holds_what_it_did_cost(alice: Principal) -> None:
    for amount, cost in ((4_000, 1_500), (3_000, 0), (2_000, 2_000)):
        spend(alice, amount, cost)
    assert charged(alice) == 3_500
    assert left(alice) == BUDGET - 3_500
    with tenant_scope(alice.tenant_id):
        assert not Reservation.objects.filter(state="open").exists()


def test_what_is_absorbed_is_not_the_tenants(alice: Principal) -> None:
    call_id = open_call(alice, 4_000)
    write_end(alice, call_id, 700, absorbed_nanousd=3_000)
    services.settle_counters(alice.tenant_id, alice.user_id, [call_id], 700)
    services.repeat_settlements()
    assert left(alice) == BUDGET - 700


def test_settling_again_adds_nothing(alice: Principal) -> None:
    call_id = spend(alice, 4_000, 1_500)
    for _ in range(3):
        services.settle_counters(alice.tenant_id, alice.user_id, [call_id], 1_500)
    assert left(alice) == BUDGET - 1_500


def test_repeating_settlements_repeats_nothing_twice(alice: Principal) -> None:
    for _ in range(3):
        spend(alice, 1_000, 300)
    for _ in range(3):
        assert services.repeat_settlements() >= 3
    assert left(alice) == BUDGET - 900 == BUDGET - charged(alice)


def test_a_settlement_that_was_never_told_is_told_by_the_repeat(alice: Principal) -> None:
    call_id = open_call(alice, 4_000)
    write_end(alice, call_id, 1_000, 200)  # and the process died here
    assert left(alice) == BUDGET - 4_000
    services.repeat_settlements()
    services.repeat_settlements()
    assert left(alice) == BUDGET - 1_200 == BUDGET - charged(alice)


def test_what_was_never_written_down_is_given_back(alice: Principal) -> None:
    admissions = services.admit(alice, [CallCost(uuid7(), 5_000), CallCost(uuid7(), 4_000)])
    with pytest.raises(OverBudget):
        open_call(alice, 2_000)
    services.release(admissions)
    assert left(alice) == BUDGET
    open_call(alice, 2_000)


def test_a_line_of_an_attempt_is_written_once(alice: Principal) -> None:
    call_id = open_call(alice, 1_000)
    write_end(alice, call_id, 400)
    with tenant_scope(alice.tenant_id):
        (line,) = LedgerEntry.objects.filter(call_id=call_id, kind="charge")
        LedgerEntry.objects.bulk_create(
            [
                LedgerEntry(
                    tenant_id=alice.tenant_id,
                    user_id=alice.user_id,
                    call_id=call_id,
                    attempt_id=line.attempt_id,
                    kind="charge",
                    provider="test",
                    model="m",
                    input_tokens=1,
                    output_tokens=1,
                    amount_nanousd=999,
                )
            ],
            ignore_conflicts=True,
        )
    assert charged(alice) == 400


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [(0, "0"), (1, "0.000000001"), (1_500_000, "0.0015"), (2_000_000_000, "2"), (-5, "-0.000000005")],
)
def test_money_is_told_exactly(nanousd: int, text: str) -> None:
    assert services.usd(nanousd) == text
