"""A tenant's administrators see and change their tenant alone, as far as their role goes."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import psycopg
import pytest
from django.db import ProgrammingError, connections
from django.test import Client
from uuid6 import uuid7

from apps.accounts.models import User
from apps.billing.models import Quota
from apps.routing import services as routing
from apps.tenants import selectors, services
from apps.tenants.audit import Actor, record
from apps.tenants.contracts import Principal
from apps.tenants.models import ApiKey, AuditEntry, Invitation, Membership, ModelRule, Team, TeamMember, Tenant
from apps.tenants.scope import tenant_scope
from tests.people import new_member
from tests.tenants.admin.conftest import entries, errors_of

DeskOf = Callable[[Principal], Client]
CANARY = "canary-of-southwind"
PAGES = {
    "tenants/tenant": Tenant,
    "tenants/membership": Membership,
    "tenants/team": Team,
    "tenants/invitation": Invitation,
    "tenants/modelrule": ModelRule,
    "tenants/apikey": ApiKey,
    "tenants/auditentry": AuditEntry,
    "billing/quota": Quota,
}


def membership_of(person: Principal) -> Membership:
    return Membership.objects.using("engine").get(tenant_id=person.tenant_id, user_id=person.user_id)


@pytest.fixture
def southwind(mallory: Principal) -> dict[str, UUID]:
    """One row of each table in another tenant, by page; every text of it says the canary."""
    tenant_id, user_id = mallory.tenant_id, mallory.user_id
    Tenant.objects.using("engine").filter(id=tenant_id).update(name=CANARY)
    User.objects.using("engine").filter(id=user_id).update(name=CANARY, email=f"{CANARY}-{user_id.hex}@example.org")
    team = Team.objects.using("engine").create(tenant_id=tenant_id, name=CANARY)
    rule = ModelRule.objects.using("engine").create(tenant_id=tenant_id, tier=CANARY)
    quota = Quota.objects.using("engine").create(tenant_id=tenant_id, user_id=user_id, parallel_calls=7)
    key = services.create_api_key(mallory, CANARY)
    with tenant_scope(tenant_id):
        invitation = Invitation.objects.create(
            tenant_id=tenant_id,
            email=f"{CANARY}@example.org",
            digest=uuid7().bytes,
            invited_by_id=user_id,
            expires_at="2100-01-01T00:00:00Z",
        )
        record(tenant_id, Actor.of(mallory), CANARY)
    entry = AuditEntry.objects.using("engine").filter(tenant_id=tenant_id).latest("seq")
    return {
        "tenants/tenant": tenant_id,
        "tenants/membership": membership_of(mallory).id,
        "tenants/team": team.id,
        "tenants/invitation": invitation.id,
        "tenants/modelrule": rule.id,
        "tenants/apikey": key.id,
        "tenants/auditentry": entry.id,
        "billing/quota": quota.id,
    }


def test_every_page_opens_for_an_owner(alice: Principal, bob: Principal, desk_of: DeskOf) -> None:
    desk = desk_of(alice)
    services.create_api_key(alice, "mine")
    routing.add_provider(name="Ours", base_url="http://models.internal:8000/v1", tenant_id=alice.tenant_id)
    index = desk.get("/manage/").content.decode()
    for page in (*PAGES, "tenants/identityprovider", "tenants/flag", "billing/ledgerentry", "routing/provider"):
        assert f"/manage/{page}/" in index
        assert desk.get(f"/manage/{page}/", follow=True).status_code == 200, page
    assert bob.user_email in desk.get("/manage/tenants/membership/").content.decode()
    assert "Ours" in desk.get("/manage/routing/provider/").content.decode()
    for page in ("tenants/team", "tenants/modelrule", "billing/quota"):
        assert desk.get(f"/manage/{page}/add/").status_code == 200, page
    for page in ("tenants/tenant", "tenants/membership", "tenants/apikey", "tenants/auditentry"):
        row = (
            PAGES[page]
            .objects.using("engine")
            .filter(  # type: ignore[attr-defined]
                **{"id" if page == "tenants/tenant" else "tenant_id": alice.tenant_id}
            )[0]
        )
        assert desk.get(f"/manage/{page}/{row.pk}/change/").status_code == 200, page


def test_rows_of_another_tenant_are_nowhere(alice: Principal, southwind: dict[str, UUID], desk_of: DeskOf) -> None:
    desk = desk_of(alice)
    for page, row_id in southwind.items():
        for path in (
            f"/manage/{page}/",
            f"/manage/{page}/?q={CANARY[:6]}",
            f"/manage/{page}/{row_id}/change/",
            f"/manage/{page}/{row_id}/history/",
            f"/manage/{page}/{row_id}/delete/",
            f"/manage/{page}/add/",
        ):
            response = desk.get(path, follow=True)
            assert CANARY not in response.content.decode(), path
        chosen = {"action": "delete_selected", "_selected_action": str(row_id), "post": "yes"}
        desk.post(f"/manage/{page}/", chosen)
        desk.post(f"/manage/{page}/{row_id}/delete/", {"post": "yes"})
        desk.post(f"/manage/{page}/{row_id}/change/", {"name": "taken", "role": "viewer", "tier": "taken"})
        model = PAGES[page]
        assert model.objects.using("engine").filter(pk=row_id).exists(), page  # type: ignore[attr-defined]
    assert Tenant.objects.using("engine").get(id=southwind["tenants/tenant"]).name == CANARY
    assert Team.objects.using("engine").get(id=southwind["tenants/team"]).name == CANARY
    assert membership_of_id(southwind["tenants/membership"]).role == "owner"


def membership_of_id(membership_id: UUID) -> Membership:
    return Membership.objects.using("engine").get(id=membership_id)


def test_actions_and_references_do_not_reach_another_tenant(
    alice: Principal, mallory: Principal, southwind: dict[str, UUID], desk_of: DeskOf
) -> None:
    desk = desk_of(alice)
    desk.post("/manage/tenants/apikey/", {"action": "revoke", "_selected_action": str(southwind["tenants/apikey"])})
    assert ApiKey.objects.using("engine").get(id=southwind["tenants/apikey"]).revoked_at is None
    foreign = str(southwind["tenants/membership"])
    desk.post("/manage/tenants/membership/", {"action": "off_board", "_selected_action": foreign})
    assert membership_of(mallory).suspended_at is None
    team = {
        "name": "Ours",
        "members-TOTAL_FORMS": "1",
        "members-INITIAL_FORMS": "0",
        "members-0-membership": foreign,
    }
    desk.post("/manage/tenants/team/add/", team)
    assert not TeamMember.objects.using("engine").filter(membership_id=southwind["tenants/membership"]).exists()
    rule = {"tier": "large", "roles": ["admin"], "teams": [str(southwind["tenants/team"])]}
    assert "teams" in errors_of(desk.post("/manage/tenants/modelrule/add/", rule))
    quota = {"user": str(mallory.user_id), "parallel_calls": "1"}
    assert "user" in errors_of(desk.post("/manage/billing/quota/add/", quota))
    # The positive control: the same forms take what is their own.
    own = team | {"members-0-membership": str(membership_of(alice).id)}
    assert desk.post("/manage/tenants/team/add/", own).status_code == 302
    made = Team.objects.using("engine").get(tenant_id=alice.tenant_id)
    assert TeamMember.objects.using("engine").get(team=made).tenant_id == alice.tenant_id
    assert desk.post("/manage/tenants/modelrule/add/", rule | {"teams": [str(made.id)]}).status_code == 302
    assert ModelRule.objects.using("engine").get(tenant_id=alice.tenant_id).teams == [made.id]
    assert desk.post("/manage/billing/quota/add/", quota | {"user": str(alice.user_id)}).status_code == 302
    assert [entry.data["name"] for entry in entries(alice.tenant_id, "team.added")] == ["Ours"]


def test_a_posted_tenant_or_mightier_field_is_not_taken(
    alice: Principal, mallory: Principal, bob: Principal, desk_of: DeskOf
) -> None:
    desk = desk_of(alice)
    fields = {"name": "Renamed", "plan": "enterprise", "status": "suspended", "slug": "mine", "allowed_models": "x"}
    fields |= {"summaries": "on"}
    assert desk.post(f"/manage/tenants/tenant/{alice.tenant_id}/change/", fields).status_code == 302
    tenant = Tenant.objects.using("engine").get(id=alice.tenant_id)
    assert (tenant.name, tenant.plan, tenant.status, tenant.allowed_models) == ("Renamed", "free", "active", None)
    assert tenant.slug != "mine"
    team = {"name": "T", "tenant": str(mallory.tenant_id), "members-TOTAL_FORMS": "0", "members-INITIAL_FORMS": "0"}
    assert desk.post("/manage/tenants/team/add/", team).status_code == 302
    assert Team.objects.using("engine").get(name="T", tenant_id=alice.tenant_id)
    assert not Team.objects.using("engine").filter(tenant_id=mallory.tenant_id).exists()
    changed = entries(alice.tenant_id, "tenant.changed")
    assert changed[0].data == {"name": {"from": "Northwind", "to": "Renamed"}}
    assert (changed[0].actor_id, changed[0].via) == (alice.user_id, "session")
    path = f"/manage/tenants/membership/{membership_of(bob).id}/change/"
    desk.post(path, {"role": "viewer", "user": str(mallory.user_id), "tenant": str(mallory.tenant_id)})
    assert membership_of(bob).role == "viewer"


def test_only_an_owner_makes_owners_and_one_stays(alice: Principal, bob: Principal, desk_of: DeskOf) -> None:
    ada = new_member(alice, "Ada", "admin")
    theirs, his, hers = (membership_of(person).id for person in (alice, bob, ada))
    desk = desk_of(ada)
    for member, role in ((his, "owner"), (hers, "owner"), (theirs, "viewer")):
        assert "role" in errors_of(desk.post(f"/manage/tenants/membership/{member}/change/", {"role": role}))
    desk.post("/manage/tenants/membership/", {"action": "off_board", "_selected_action": str(theirs)})
    assert membership_of_id(theirs).suspended_at is None
    assert desk.post(f"/manage/tenants/membership/{his}/change/", {"role": "admin"}).status_code == 302
    told = entries(alice.tenant_id, "member.role_changed")
    assert [(entry.data["from"], entry.data["to"]) for entry in told] == [("member", "admin")]
    owner = desk_of(alice)
    assert "role" in errors_of(owner.post(f"/manage/tenants/membership/{theirs}/change/", {"role": "member"}))
    assert owner.post(f"/manage/tenants/membership/{his}/change/", {"role": "owner"}).status_code == 302
    assert membership_of_id(his).role == "owner"
    second = desk_of(replace(bob, role="owner"))
    assert second.post(f"/manage/tenants/membership/{theirs}/change/", {"role": "member"}).status_code == 302
    assert membership_of_id(theirs).role == "member"


def test_members_are_off_boarded_and_keys_revoked(alice: Principal, bob: Principal, desk_of: DeskOf) -> None:
    key = services.create_api_key(bob, "bobs")
    desk = desk_of(alice)
    desk.post("/manage/tenants/apikey/", {"action": "revoke", "_selected_action": str(key.id)})
    assert selectors.principal_for_api_key(key.secret) is None
    desk.post("/manage/tenants/membership/", {"action": "off_board", "_selected_action": str(membership_of(bob).id)})
    assert selectors.principal_for(bob.user_id, alice.tenant_id) is None
    assert len(entries(alice.tenant_id, "api_key.revoked")) == 1
    assert len(entries(alice.tenant_id, "member.off_boarded")) == 1


@pytest.mark.parametrize("role", ["member", "viewer"])
def test_other_members_do_not_enter(alice: Principal, desk_of: DeskOf, role: str) -> None:
    desk = desk_of(new_member(alice, "Nell", role))
    assert desk.get("/manage/", follow=True).status_code == 403
    assert desk.get("/manage/tenants/team/", follow=True).status_code == 403


def test_a_billing_admin_has_quotas_and_nothing_else_to_change(
    alice: Principal, bob: Principal, desk_of: DeskOf
) -> None:
    desk = desk_of(new_member(alice, "Bill", "billing_admin"))
    quota = {"user": str(bob.user_id), "requests_per_minute": "5"}
    assert desk.post("/manage/billing/quota/add/", quota).status_code == 302
    for page in ("tenants/apikey", "tenants/auditentry", "tenants/invitation", "tenants/identityprovider"):
        assert desk.get(f"/manage/{page}/").status_code == 403, page
        assert f"/manage/{page}/" not in desk.get("/manage/").content.decode()
    path = f"/manage/tenants/membership/{membership_of(bob).id}/change/"
    assert desk.post(path, {"role": "admin"}).status_code == 403
    assert desk.post("/manage/tenants/team/add/", {"name": "X"}).status_code == 403


def test_quotas_stay_within_the_operators_and_the_database_keeps_the_tenants_own(
    alice: Principal, bob: Principal, desk_of: DeskOf
) -> None:
    own = Quota.objects.using("engine").create(tenant_id=alice.tenant_id, user=None, parallel_calls=3)
    desk = desk_of(alice)
    quota = {"user": str(bob.user_id), "parallel_calls": "4"}
    assert "parallel_calls" in errors_of(desk.post("/manage/billing/quota/add/", quota))
    assert desk.post("/manage/billing/quota/add/", quota | {"parallel_calls": "3"}).status_code == 302
    assert desk.post(f"/manage/billing/quota/{own.id}/change/", {"parallel_calls": "99"}).status_code == 403
    assert desk.post(f"/manage/billing/quota/{own.id}/delete/", {"post": "yes"}).status_code == 403
    assert "user" in errors_of(desk.post("/manage/billing/quota/add/", {"parallel_calls": "1"}))
    with tenant_scope(alice.tenant_id):
        assert Quota.objects.filter(id=own.id).update(parallel_calls=99) == 0
        assert Quota.objects.filter(user_id=bob.user_id).update(parallel_calls=2) == 1
        assert Quota.objects.filter(id=own.id)._raw_delete("default") == 0  # type: ignore[attr-defined]
    Quota.objects.using("engine").filter(id=own.id)._raw_delete("engine")  # type: ignore[attr-defined]
    with pytest.raises(ProgrammingError) as refused, tenant_scope(alice.tenant_id):
        Quota.objects.create(tenant_id=alice.tenant_id, user=None, parallel_calls=99)
    assert isinstance(refused.value.__cause__, psycopg.errors.InsufficientPrivilege)


def test_a_page_runs_as_app_in_the_scope(alice: Principal, desk_of: DeskOf) -> None:
    desk, seen = desk_of(alice), []
    asked = "SELECT current_user, current_setting('app.tenant_id')"

    def look(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        if "tenants_team" in sql:
            with context["connection"].connection.cursor() as cursor:
                seen.append(cursor.execute(asked).fetchone())
        return execute(sql, params, many, context)

    with connections["default"].execute_wrapper(look), connections["engine"].execute_wrapper(look):
        assert desk.get("/manage/tenants/team/").status_code == 200
    assert set(seen) == {("switchboard_app", str(alice.tenant_id))}


def test_reads_of_other_people_are_told(alice: Principal, bob: Principal, desk_of: DeskOf) -> None:
    desk = desk_of(alice)
    for _ in range(2):
        desk.get("/manage/tenants/auditentry/")
        desk.get(f"/manage/tenants/membership/{membership_of(bob).id}/change/")
    assert len(entries(alice.tenant_id, "audit_entry.listed")) == 1
    (read,) = entries(alice.tenant_id, "membership.read")
    assert (read.actor_id, read.target_id) == (alice.user_id, str(membership_of(bob).id))
