"""A changed quota holds from the next admission on, in every process, whatever that process had read before."""

import subprocess
import sys

import pytest

from apps.billing import services
from apps.billing.contracts import BudgetLeft
from apps.billing.errors import LimitReached, OverBudget, RateLimited, TooManyParallel
from apps.tenants.contracts import Principal
from tests.billing.conftest import open_call
from tests.servers import ROOT

# Sets a tenant's quota as another process would, then ends.
_CHANGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
import django; django.setup()
from uuid import UUID
from apps.billing import services
services.set_quota(tenant_id=UUID(sys.argv[1]), requests_per_minute=int(sys.argv[2]))
"""


def change_elsewhere(principal: Principal, requests_per_minute: int) -> None:
    arguments = [sys.executable, "-c", _CHANGE, str(principal.tenant_id), str(requests_per_minute)]
    subprocess.run(arguments, cwd=ROOT, check=True, timeout=60)


def test_without_quotas_there_is_no_budget(alice: Principal) -> None:
    open_call(alice, 1_000_000_000_000)
    assert services.budget_left(alice) == BudgetLeft(month_nanousd=None, day_nanousd=None)


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        ({"budget_month_nanousd": 1_500}, OverBudget),
        ({"budget_day_nanousd": 1_500}, OverBudget),
        ({"parallel_calls": 1}, TooManyParallel),
        ({"requests_per_minute": 1}, RateLimited),
    ],
)
def test_a_lower_limit_holds_at_once(alice: Principal, limits: dict[str, int], refusal: type[LimitReached]) -> None:
    open_call(alice, 1_000)  # this process has read the old limits by now
    services.set_quota(tenant_id=alice.tenant_id, user_id=None, **limits)
    with pytest.raises(refusal) as refused:
        open_call(alice, 1_000)
    assert refused.value.retryable or refusal is OverBudget
    services.set_quota(tenant_id=alice.tenant_id)
    open_call(alice, 1_000)


def test_a_change_by_another_process_holds_at_once(alice: Principal) -> None:
    open_call(alice, 1_000)
    change_elsewhere(alice, 1)
    with pytest.raises(RateLimited) as refused:
        open_call(alice, 1_000)
    assert 0 < (refused.value.retry_after_seconds or 0) <= 60


def test_a_users_limit_is_that_users_alone(alice: Principal, bob: Principal) -> None:
    services.set_quota(tenant_id=alice.tenant_id, user_id=bob.user_id, budget_month_nanousd=1_000)
    open_call(bob, 1_000)
    with pytest.raises(OverBudget, match="for you"):
        open_call(bob, 1)
    open_call(alice, 5_000)
    assert services.budget_left(alice).month_nanousd is None


def test_a_tenants_limit_is_everybodys_there_and_nobodys_elsewhere(
    alice: Principal, bob: Principal, mallory: Principal
) -> None:
    services.set_quota(tenant_id=alice.tenant_id, parallel_calls=2)
    open_call(alice, 1)
    open_call(bob, 1)
    for member in (alice, bob):
        with pytest.raises(TooManyParallel, match="your organisation"):
            open_call(member, 1)
    open_call(mallory, 1)
