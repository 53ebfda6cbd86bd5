"""A changed quota holds from the next admission on, in every process, whatever that process had read before."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from django.db import IntegrityError

from apps.billing import services
from apps.billing.contracts import BudgetLeft
from apps.billing.errors import (
    LimitReached,
    OverBudget,
    OverTokenQuota,
    RateLimited,
    TokensRateLimited,
    TooManyParallel,
)
from apps.tenants import selectors, teams
from apps.tenants.contracts import Principal
from apps.tenants.models import Membership
from apps.tenants.services import create_api_key, rotate_api_key
from tests.billing.conftest import open_call, spend, write_end
from tests.servers import ROOT

LoseCounters = Callable[[Principal], None]


def membership_id(person: Principal) -> UUID:
    return Membership.objects.using("engine").get(tenant_id=person.tenant_id, user_id=person.user_id).id


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


def test_limits_of_teams_and_keys_hold_for_theirs(alice: Principal, bob: Principal) -> None:
    team_id = teams.create_team(alice, "Research")
    teams.add_member(alice, team_id, membership_id(bob))
    key = create_api_key(alice, "narrow")
    services.set_quota(tenant_id=alice.tenant_id, team_id=team_id, budget_month_nanousd=1_000)
    services.set_quota(tenant_id=alice.tenant_id, api_key_id=key.id, parallel_calls=1)
    open_call(bob, 1_000)
    with pytest.raises(OverBudget, match="your team"):
        open_call(bob, 1)
    keyed = replace(alice, api_key_id=key.id)
    open_call(keyed, 5_000)
    with pytest.raises(TooManyParallel, match="this key"):
        open_call(keyed, 1)
    open_call(alice, 5_000)
    assert services.budget_left(bob).month_nanousd == 0 and services.budget_left(alice).month_nanousd is None


def test_what_teams_and_keys_used_comes_back(alice: Principal, bob: Principal, lose_counters: LoseCounters) -> None:
    team_id = teams.create_team(alice, "Research")
    teams.add_member(alice, team_id, membership_id(alice))
    keyed = replace(alice, api_key_id=create_api_key(alice, "narrow").id)
    services.set_quota(tenant_id=alice.tenant_id, team_id=team_id, budget_month_nanousd=10_000)
    services.set_quota(tenant_id=alice.tenant_id, api_key_id=keyed.api_key_id, budget_month_nanousd=8_000)
    spend(keyed, 2_000, 1_000)
    spend(alice, 2_000, 500)
    spend(bob, 2_000, 400)
    open_call(keyed, 3_000)
    for _ in range(2):
        assert services.budget_left(keyed).month_nanousd == 4_000
        assert services.budget_left(alice).month_nanousd == 5_500
        lose_counters(alice)


def test_what_a_teams_key_used_stays_the_teams(alice: Principal, bob: Principal, lose_counters: LoseCounters) -> None:
    """Also when its person has left, and whoever is in the team then."""
    team_id, other_id = teams.create_team(alice, "Research"), teams.create_team(alice, "Sales")
    for team, person in ((team_id, alice), (team_id, bob), (other_id, bob)):
        teams.add_member(alice, team, membership_id(person))
    services.set_quota(tenant_id=alice.tenant_id, team_id=team_id, budget_month_nanousd=10_000)
    services.set_quota(tenant_id=alice.tenant_id, team_id=other_id, budget_month_nanousd=5_000)
    keyed = replace(bob, api_key_id=create_api_key(bob, "app", team_id=team_id).id)
    spend(keyed, 2_000, 1_000)
    assert (services.budget_left(alice).month_nanousd, services.budget_left(keyed).month_nanousd) == (9_000, 4_000)
    teams.remove_member(alice, team_id, membership_id(bob))
    for _ in range(2):
        assert services.budget_left(alice).month_nanousd == 9_000
        assert services.budget_left(bob).month_nanousd == 4_000
        lose_counters(alice)


def test_both_secrets_of_a_key_count_against_its_limits(alice: Principal) -> None:
    old = create_api_key(alice, "app")
    services.set_quota(tenant_id=alice.tenant_id, api_key_id=old.id, requests_per_minute=2)
    new = rotate_api_key(alice, old.id, 3600)
    callers = [selectors.principal_for_api_key(key.secret) for key in (old, new)]
    for caller in callers:
        assert caller is not None
        open_call(caller, 1)
    for caller in callers:
        with pytest.raises(RateLimited, match="this key"):
            open_call(caller, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("limits", [{"tokens_per_minute": 100}, {"tokens_per_day": 100}, {"tokens_per_month": 100}])
def test_tokens_are_debited_at_most_and_settled_exactly(
    alice: Principal, lose_counters: LoseCounters, limits: dict[str, int]
) -> None:
    services.set_quota(tenant_id=alice.tenant_id, user_id=alice.user_id, **limits)
    refusal = TokensRateLimited if "tokens_per_minute" in limits else OverTokenQuota
    first = open_call(alice, 1, tokens=80)
    with pytest.raises(refusal) as refused:
        open_call(alice, 1, tokens=30)
    assert (refused.value.limit, refused.value.kind) == (100, next(iter(limits)))
    assert 20 <= refused.value.remaining < 30 and refused.value.reset_seconds > 0
    write_end(alice, first, 1)  # uses 30 tokens
    services.settle_counters(alice.tenant_id, alice.user_id, [first], 1, 30)
    open_call(alice, 1, tokens=69)
    for _ in range(2):
        with pytest.raises(refusal):
            open_call(alice, 1, tokens=30)
        lose_counters(alice)


def test_a_quota_names_one_scope_within_its_tenant(alice: Principal, bob: Principal, mallory: Principal) -> None:
    team_id = teams.create_team(mallory, "Theirs")
    for whose in ({"team_id": team_id}, {"user_id": bob.user_id, "api_key_id": create_api_key(alice, "one").id}):
        with pytest.raises(IntegrityError):
            services.set_quota(tenant_id=alice.tenant_id, parallel_calls=1, **whose)
