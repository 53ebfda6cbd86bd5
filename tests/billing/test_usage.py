"""What a tenant has used in sliding windows, told apart, and how often it was refused."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.test import Client
from uuid6 import uuid7

from apps.billing import ledger, services, usage
from apps.billing.contracts import LedgerLine, LineKind
from apps.billing.errors import OverBudget, RateLimited
from apps.billing.models import LedgerEntry
from apps.billing.usage import WINDOWS, By, Share, Used
from apps.tenants import teams
from apps.tenants.contracts import Principal
from apps.tenants.models import Membership
from apps.tenants.scope import tenant_scope
from apps.tenants.services import create_api_key
from tests.billing.conftest import open_call, spend
from tests.billing.test_commands import run, slug_of

NOW = datetime(2026, 3, 31, 23, 59, 30, tzinfo=UTC)


def write(
    principal: Principal, ago: timedelta, *, model: str = "m", key: UUID | None = None, absorbed: int = 0
) -> None:
    """A call of 10 tokens in, 4 of them cached, and 20 out, 3 of them reasoning, for 1,000 nano-dollars."""
    kinds = [LineKind.CHARGE] + [LineKind.ABSORBED] * absorbed
    lines = [LedgerLine(uuid7(), kind, "test", model, None, 10, 4, 0, 20, 3, 1_000) for kind in kinds]
    with tenant_scope(principal.tenant_id):
        LedgerEntry.objects.bulk_create(
            ledger.rows(
                tenant_id=principal.tenant_id,
                user_id=principal.user_id,
                api_key_id=key,
                call_id=uuid7(),
                lines=lines,
                at=NOW - ago,
            )
        )


def of(calls: int) -> Used:
    return Used(calls, 10 * calls, 4 * calls, 20 * calls, 3 * calls, 1_000 * calls)


def test_windows_slide(alice: Principal, mallory: Principal) -> None:
    for ago in (timedelta(seconds=59), timedelta(seconds=61), timedelta(minutes=61), timedelta(days=29, hours=23)):
        write(alice, ago, absorbed=1)
    write(alice, timedelta(days=30, seconds=1))
    write(mallory, timedelta(0))
    counted = {name: usage.used(alice.tenant_id, window, NOW) for name, window in WINDOWS.items()}
    assert counted == {"1m": of(1), "1h": of(2), "24h": of(3), "30d": of(4)}


def test_use_is_told_apart(alice: Principal, bob: Principal) -> None:
    key = create_api_key(alice, "for the night").id
    team_id = teams.create_team(alice, "Research")
    with tenant_scope(alice.tenant_id):
        member = Membership.objects.get(tenant_id=alice.tenant_id, user_id=bob.user_id)
    teams.add_member(alice, team_id, member.id)
    for model, writer, of_key in (("m", alice, None), ("n", alice, key), ("n", bob, None), ("n", bob, None)):
        write(writer, timedelta(seconds=1), model=model, key=of_key)

    def told(by: By) -> list[Share]:
        return usage.shares(alice.tenant_id, WINDOWS["1h"], by, NOW)

    assert told(By.MODEL) == [Share("n", "n", of(3)), Share("m", "m", of(1))]
    assert told(By.USER) == sorted(
        [Share(str(one.user_id), one.user_email, of(2)) for one in (alice, bob)], key=lambda share: share.name
    )
    assert told(By.KEY) == [Share(str(key), "for the night", of(1))]
    assert told(By.TEAM) == [Share(str(team_id), "Research", of(2))]


def test_the_command_shows_use_and_refusals(alice: Principal) -> None:
    services.set_quota(tenant_id=alice.tenant_id, requests_per_minute=2, budget_day_nanousd=5_000)
    with pytest.raises(OverBudget):
        open_call(alice, 6_000)
    open_call(alice, 1)
    open_call(alice, 1)
    with pytest.raises(RateLimited):
        open_call(alice, 1)
    with tenant_scope(alice.tenant_id):
        services.append_lines(
            tenant_id=alice.tenant_id,
            user_id=alice.user_id,
            api_key_id=None,
            call_id=uuid7(),
            lines=[LedgerLine(uuid7(), LineKind.CHARGE, "test", "m", None, 10, 4, 0, 20, 3, 2_000_000)],
        )
    shown = run("quota", slug_of(alice), "--used").splitlines()
    each = "1 calls, 10 tokens in (4 cached), 20 out (3 reasoning), 0.002 USD"
    assert shown[1:] == [
        line
        for window in WINDOWS
        for line in (
            f"last {window}: {each}",
            f"  by user: {alice.user_email} 1 (0.002)",
            "  by model: m 1 (0.002)",
            "  refused: budget_day 1, requests_per_minute 1",
        )
    ]


def test_the_door_tells_those_who_may_see_usage(
    alice: Principal, bob: Principal, client_of: Callable[[Principal], Client]
) -> None:
    services.set_quota(tenant_id=alice.tenant_id, budget_day_nanousd=5_000)
    with pytest.raises(OverBudget):
        open_call(bob, 6_000)
    spend(bob, 3_000, 2_500)
    owner = client_of(alice)
    told = owner.get("/api/v1/usage/?window=1h&by=user").json()
    used = told["used"]
    assert (used["calls"], used["input_tokens"], used["output_tokens"]) == (1, 10, 20)
    assert (used["amount_nanousd"], used["amount_usd"]) == (2_500, "0.0000025")
    assert told["shares"] == [{"id": str(bob.user_id), "name": bob.user_email, "used": used}]
    assert told["refused"] == {"budget_day": {"tenant": 1}} and (told["window"], told["by"]) == ("1h", "user")
    plain = owner.get("/api/v1/usage/").json()
    assert (plain["window"], plain["by"], plain["shares"], plain["used"]) == ("24h", None, [], used)
    for wrong in ("window=2h", "by=tenant", "by=", "window="):
        assert owner.get(f"/api/v1/usage/?{wrong}").status_code == 400
    assert client_of(bob).get("/api/v1/usage/").status_code == 403
