"""What operators change and read is told in the chain it concerns, never with a secret."""

from html import unescape
from typing import Any
from uuid import uuid4

import pytest
import redis
from allauth.idp.oidc.models import Client as Program
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import admin
from django.contrib.sessions.backends.db import SessionStore
from django.db import connections
from django.test import Client

from apps.accounts.models import User
from apps.billing.models import Quota
from apps.limits.protocol import epoch_key
from apps.routing.models import Provider
from apps.tenants.admin_changes import SECRET_COLUMNS
from apps.tenants.admin_engine import EngineAdmin
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, Membership
from tests.people import PASSWORD, Operator, new_address
from tests.tenants.admin.conftest import entries


def test_no_page_of_the_operators_shows_a_secret(office: Client) -> None:
    """That every page opens is asked in tests/verify/test_operators_pages.py."""
    index = office.get("/admin/").content.decode()
    assert len(admin.site._registry) > 20
    for model, page in admin.site._registry.items():
        assert isinstance(page, EngineAdmin)
        assert f"/admin/{model._meta.app_label}/{model._meta.model_name}/" in index
        shown = {str(name) for name in (*page.list_display, *(page.fields or ()))}
        assert not shown & (SECRET_COLUMNS - {"data"}), model
        assert model is AuditEntry or "data" not in shown


def test_a_change_says_before_and_after_in_the_tenants_chain(
    office: Client, alice: Principal, operator: Operator
) -> None:
    form = {"name": "Renamed", "slug": f"s-{uuid4().hex}", "plan": "team", "status": "active"}
    assert office.post(f"/admin/tenants/tenant/{alice.tenant_id}/change/", form).status_code == 302
    (entry,) = entries(alice.tenant_id, "tenant.changed")
    assert entry.data["name"] == {"from": "Northwind", "to": "Renamed"}
    assert entry.data["plan"] == {"from": "free", "to": "team"}
    assert "status" not in entry.data
    assert (entry.actor_id, entry.actor, entry.via) == (operator.id, operator.email, "admin")
    assert (entry.target_kind, entry.target_id) == ("tenant", str(alice.tenant_id))
    assert office.post(f"/admin/tenants/tenant/{alice.tenant_id}/change/", form).status_code == 302
    assert len(entries(alice.tenant_id, "tenant.changed")) == 1, "nothing changed, nothing told"
    quota = {"tenant": str(alice.tenant_id), "parallel_calls": "3"}
    assert office.post("/admin/billing/quota/add/", quota).status_code == 302
    row = Quota.objects.using("engine").get(tenant_id=alice.tenant_id)
    office.post(f"/admin/billing/quota/{row.pk}/change/", quota | {"parallel_calls": "5"})
    assert entries(alice.tenant_id, "quota.added")[0].data == {"parallel_calls": 3}
    assert entries(alice.tenant_id, "quota.changed")[0].data == {"parallel_calls": {"from": 3, "to": 5}}


def test_a_persons_change_is_in_the_installations_own_chain(office: Client, alice: Principal) -> None:
    path = f"/admin/accounts/user/{alice.user_id}/change/"
    assert office.post(path, {"name": "Alice", "is_active": "on", "is_staff": "on"}).status_code == 302
    told = [entry for entry in entries(None, "user.changed") if entry.target_id == str(alice.user_id)]
    assert [entry.data for entry in told] == [{"is_staff": {"from": False, "to": True}}]
    assert office.get(path).status_code == 200
    assert office.get(path).status_code == 200
    read = [entry for entry in entries(None, "user.read") if entry.target_id == str(alice.user_id)]
    assert len(read) == 1


def test_whoever_is_switched_off_is_refused_from_the_next_admission_on(office: Client, alice: Principal) -> None:
    def epoch() -> int:
        server = redis.Redis.from_url(settings.REDIS_URL)
        return int(server.hget(epoch_key(settings.REDIS_PREFIX, alice.tenant_id), "epoch") or 0)  # type: ignore[arg-type]

    path, before = f"/admin/accounts/user/{alice.user_id}/change/", epoch()
    assert office.post(path, {"name": "Alicia", "is_active": "on"}).status_code == 302
    assert epoch() == before, "a name opens nothing"
    assert office.post(path, {"name": "Alicia"}).status_code == 302
    assert epoch() > before


def test_reading_a_tenants_people_is_told_to_that_tenant(office: Client, alice: Principal) -> None:
    membership = Membership.objects.using("engine").get(tenant_id=alice.tenant_id)
    office.get(f"/admin/tenants/membership/{membership.id}/change/")
    assert [entry.via for entry in entries(alice.tenant_id, "membership.read")] == ["admin"]
    office.get(f"/admin/tenants/membership/?q={alice.user_email}")
    listed = [entry.data for entry in entries(None, "membership.listed")]
    assert {"asked": {"q": [alice.user_email]}} in listed


def test_a_change_that_cannot_be_told_is_not_made(
    office: Client, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no chain today")

    monkeypatch.setattr("apps.tenants.audit.record", fail)
    office.raise_request_exception = False
    form = {"tenant": str(alice.tenant_id), "parallel_calls": "3"}
    assert office.post("/admin/billing/quota/add/", form).status_code == 500
    assert not Quota.objects.using("engine").filter(tenant_id=alice.tenant_id).exists()


def test_a_providers_key_is_told_of_and_never_told(office: Client, alice: Principal) -> None:
    form = {
        "tenant": str(alice.tenant_id),
        "slug": "lab",
        "name": "Lab",
        "adapter": "openai_compatible",
        "address": "http://models.internal:8000/v1",
        "key": "sk-very-secret-key",
        "enabled": "on",
    }
    assert office.post("/admin/routing/provider/add/", form).status_code == 302
    (entry,) = entries(alice.tenant_id, "provider.added")
    assert entry.data["key_given"] is True
    provider = Provider.objects.using("engine").get(tenant_id=alice.tenant_id)
    with connections["engine"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM tenants_auditentry WHERE data::text LIKE ANY (%s)",
            [["%sk-very-secret-key%", f"%{provider.sealed_key}%"]],
        )
        assert cursor.fetchone() == (0,)


def test_a_lost_second_factor_is_taken_away(office: Client, alice: Principal) -> None:
    factor = Authenticator.objects.create(user_id=alice.user_id, type="totp", data={"secret": "hidden-seed"})
    page = office.get(f"/admin/mfa/authenticator/{factor.pk}/change/").content.decode()
    assert "hidden-seed" not in page
    assert office.post(f"/admin/mfa/authenticator/{factor.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Authenticator.objects.filter(pk=factor.pk).exists()
    told = [entry for entry in entries(None, "authenticator.removed") if entry.target_id == str(factor.pk)]
    assert "hidden-seed" not in str([entry.data for entry in told])
    assert len(told) == 1


def test_a_session_is_ended(office: Client, alice: Principal) -> None:
    browser = Client(REMOTE_ADDR=new_address())
    browser.force_login(User.objects.get(id=alice.user_id))
    key = browser.session.session_key
    row = UserSession.objects.create(user_id=alice.user_id, ip="127.0.0.1", user_agent="Lynx", session_key=key)
    page = office.get("/admin/usersessions/usersession/?q=" + alice.user_email).content.decode()
    assert "Lynx" in page
    assert key not in page
    chosen = {"action": "delete_selected", "_selected_action": str(row.pk), "post": "yes"}
    assert office.post("/admin/usersessions/usersession/", chosen).status_code == 302
    assert not SessionStore().exists(key)


def test_a_program_is_registered_and_its_secret_shown_once(office: Client) -> None:
    form = {
        "name": "Phone of the office",
        "type": "confidential",
        "grant_types": "authorization_code",
        "response_types": "code",
        "redirect_uris": "https://example.org/back",
        "scopes": "openid",
    }
    page = office.post("/admin/allauth_idp_oidc/client/add/", form, follow=True).content.decode()
    secret = unescape(page.partition("shown this once: ")[2].split()[0].split("<")[0])
    program = Program.objects.get(name="Phone of the office")
    assert program.check_secret(secret)
    assert secret not in office.get(f"/admin/allauth_idp_oidc/client/{program.pk}/change/").content.decode()
    (told,) = [entry for entry in entries(None, "client.added") if entry.target_id == program.pk]
    assert program.secret not in str(told.data)
    Program.objects.using("engine").filter(pk=program.pk).delete()


def test_an_operators_password_is_changed_as_the_role_that_may(office: Client, operator: Operator) -> None:
    form = {
        "old_password": PASSWORD,
        "new_password1": "another horse battery",
        "new_password2": "another horse battery",
    }
    assert office.post("/admin/password_change/", form).status_code == 302
    assert User.objects.get(id=operator.id).check_password("another horse battery")
    (told,) = [entry for entry in entries(None, "user.password_changed") if entry.target_id == str(operator.id)]
    assert told.data == {}


def test_nobody_edits_the_audit_log_or_the_ledger(office: Client, alice: Principal) -> None:
    entry = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id).latest("seq")
    path = f"/admin/tenants/auditentry/{entry.id}"
    assert office.post(f"{path}/change/", {"action": "nothing"}).status_code == 403
    assert office.post(f"{path}/delete/", {"post": "yes"}).status_code == 403
    assert office.get("/admin/tenants/auditentry/add/").status_code == 403
    assert office.get("/admin/billing/ledgerentry/add/").status_code == 403
