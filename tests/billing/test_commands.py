"""`quota` and `reconcile`, as an operator runs them."""

import struct
from collections.abc import Callable
from io import StringIO
from typing import cast
from uuid import UUID

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from redis import Redis

from apps.billing import reconciling, services
from apps.billing.errors import OverBudget
from apps.billing.models import Quota
from apps.tenants import teams
from apps.tenants.contracts import Principal
from apps.tenants.models import ApiKey, AuditEntry, Tenant
from apps.tenants.services import create_api_key
from tests.billing.conftest import open_call, spend

# Where the counters of a scope say what was spent in a month.
_SPENT_THIS_MONTH = 12
LoseCounters = Callable[[Principal], None]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, no_color=True)
    return out.getvalue()


def slug_of(principal: Principal) -> str:
    return Tenant.objects.using("engine").get(id=principal.tenant_id).slug


def test_quotas_are_set_shown_and_told_in_the_audit_log(alice: Principal, bob: Principal) -> None:
    slug = slug_of(alice)
    assert run("quota", slug) == "There is no quota; the installation's own limits hold.\n"
    team_id = teams.create_team(alice, "Research")
    key = create_api_key(alice, "narrow")
    prefix = ApiKey.objects.using("engine").get(id=key.id).prefix
    assert run("quota", slug, "--budget-month-usd", "12.5", "--tokens-per-minute", "9000") == (
        "tenant: tokens_per_minute 9000, budget_month_usd 12.5\n"
    )
    assert run("quota", slug, "--team", "research", "--tokens-per-day", "7").startswith("team Research: ")
    assert run("quota", slug, "--user", bob.user_email, "--budget-day-usd", "0.000001") == (
        f"{bob.user_email}: budget_day_usd 0.000001\n"
    )
    assert run("quota", slug, "--key", prefix, "--parallel-calls", "0", "--max-output-tokens", "9") == (
        f"key {prefix}…: parallel_calls 0, max_output_tokens 9\n"
    )
    assert len(run("quota", slug).splitlines()) == 4
    with pytest.raises(OverBudget):
        open_call(bob, 1_001)
    assert run("quota", slug, "--user", bob.user_email, "--budget-day-usd", "none").endswith(": no limit\n")
    open_call(bob, 1_001)
    assert Quota.objects.using("engine").get(team_id=team_id).tokens_per_day == 7
    told = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id, action__startswith="quota.")
    assert told.count() == 5 and all(one.actor.startswith("manage.py quota") for one in told)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--team", "nobody"),
        ("--key", "nothing"),
        ("--user", "nobody@example.org"),
        ("--tokens-per-day", "-1"),
        ("--parallel-calls", "two"),
        ("--budget-day-usd", "NaN"),
        ("--budget-day-usd", "0.0000000001"),
    ],
)
def test_what_makes_no_sense_changes_nothing(alice: Principal, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run("quota", slug_of(alice), *arguments)
    assert not Quota.objects.using("engine").filter(tenant_id=alice.tenant_id).exists()


def test_counters_that_differ_from_the_ledger_are_told(alice: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "_BETWEEN_SECONDS", 0.01)
    slug = slug_of(alice)
    services.set_quota(tenant_id=alice.tenant_id, budget_month_nanousd=10_000, tokens_per_day=1_000)
    spend(alice, 2_000, 1_500)
    assert run("reconcile", "--tenant", slug) == "Attempts, ledger and counters agree, in 1 tenants.\n"
    with Redis.from_url(settings.REDIS_URL) as redis:
        state = f"{settings.REDIS_PREFIX}{{t:{alice.tenant_id}}}:limits:counters"
        counters = list(struct.unpack("<14d", cast(bytes, redis.hget(state, f"c:tenant:{alice.tenant_id}"))))
        counters[_SPENT_THIS_MONTH] += 5
        redis.hset(state, f"c:tenant:{alice.tenant_id}", struct.pack("<14d", *counters))
    out = StringIO()
    with pytest.raises(CommandError, match="Differences: 1"):
        call_command("reconcile", "--tenant", slug, stdout=out, no_color=True)
    assert out.getvalue() == (f"{slug}: tenant:{alice.tenant_id} budget_month: counted 1505, the ledger says 1500\n")


def test_nobody_is_compared_with_nothing(alice: Principal) -> None:
    with pytest.raises(CommandError):
        run("reconcile", "--tenant", str(UUID(int=0)))
    with pytest.raises(CommandError):
        run("reconcile", "--days", "0")
