"""Redis may lose a tenant's counters: they are rebuilt from ledger and reservations, and never taken for zero."""

from collections.abc import Callable

import pytest

from apps.billing import services
from apps.billing.errors import LimitReached, OverBudget, RateLimited, TooManyParallel
from apps.tenants.contracts import Principal
from tests.billing.conftest import all_at_once, open_call, spend, write_end

LoseCounters = Callable[[Principal], None]


def test_spent_and_reserved_money_survives(alice: Principal, bob: Principal, lose_counters: LoseCounters) -> None:
    services.set_quota(tenant_id=alice.tenant_id, budget_month_nanousd=10_000, budget_day_nanousd=8_000)
    services.set_quota(tenant_id=alice.tenant_id, user_id=bob.user_id, budget_month_nanousd=5_000)
    spend(alice, 2_000, 1_500)
    spend(bob, 1_000, 600)
    open_call(alice, 1_000)
    open_call(bob, 400)
    before = services.budget_left(alice), services.budget_left(bob)
    assert [(one.month_nanousd, one.day_nanousd) for one in before] == [(6_500, 4_500), (4_000, 4_500)]
    for _ in range(2):
        lose_counters(alice)
        assert (services.budget_left(alice), services.budget_left(bob)) == before


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        ({"budget_month_nanousd": 3_000}, OverBudget),
        ({"budget_day_nanousd": 3_000}, OverBudget),
        ({"parallel_calls": 3}, TooManyParallel),
        ({"requests_per_minute": 3}, RateLimited),
    ],
)
def test_no_limit_is_forgotten(
    alice: Principal, lose_counters: LoseCounters, limits: dict[str, int], refusal: type[LimitReached]
) -> None:
    services.set_quota(tenant_id=alice.tenant_id, user_id=None, **limits)
    for _ in range(3):
        open_call(alice, 1_000)
    for _ in range(2):
        with pytest.raises(refusal):
            open_call(alice, 1_000)
        lose_counters(alice)


def test_a_settlement_into_lost_counters_is_counted_once(alice: Principal, lose_counters: LoseCounters) -> None:
    services.set_quota(tenant_id=alice.tenant_id, budget_month_nanousd=10_000)
    call_id = open_call(alice, 4_000)
    write_end(alice, call_id, 1_000)
    lose_counters(alice)
    services.settle_counters(alice.tenant_id, alice.user_id, [call_id], 1_000)
    open_call(alice, 500)
    services.repeat_settlements()
    assert services.budget_left(alice).month_nanousd == 8_500


def test_a_storm_on_lost_counters_admits_exactly_what_is_left(alice: Principal, lose_counters: LoseCounters) -> None:
    services.set_quota(tenant_id=alice.tenant_id, budget_month_nanousd=10_000, requests_per_minute=1_000)
    spend(alice, 2_000, 2_000)
    lose_counters(alice)

    def ask() -> bool:
        try:
            open_call(alice, 1_000)
        except OverBudget:
            return False
        return True

    assert sum(all_at_once(ask, 40)) == 8
    assert services.budget_left(alice).month_nanousd == 0
