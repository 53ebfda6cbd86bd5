"""No page of an administration without a second factor shown lately; and what its pages may load."""

import time
from collections.abc import Callable

import pytest
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.test import Client, override_settings
from django.urls import get_resolver

from apps.tenants.contracts import Principal
from tests.people import Operator, new_address, prove_second_factor

PATHS = ("", "tenants/tenant/", "tenants/auditentry/", "jsi18n/", "autocomplete/")


def records(client: Client) -> list[dict[str, object]]:
    found: list[dict[str, object]] = client.session.get(AUTHENTICATION_METHODS_SESSION_KEY, [])
    return found


def signed_in(operator: Operator) -> Client:
    client = Client(REMOTE_ADDR=new_address())
    form = {"username": operator.email, "password": operator.password}
    assert client.post("/admin/login/?next=/admin/", form)["Location"] == "/admin/"
    return client


def test_a_newcomer_is_led_through_setting_one_up(operator: Operator) -> None:
    client = signed_in(operator)
    for path in PATHS:
        assert client.get(f"/admin/{path}").status_code == 302, path
    setting_up = client.get("/admin/", follow=True)
    assert setting_up.status_code == 200
    assert "second factor" in setting_up.content.decode()
    page = client.get(_path("mfa_activate_totp"))
    assert page.status_code == 200, "the password was just given, so it is not asked for again"
    secret = page.context["form"].secret
    # The newest step that counts: the oldest may be over before its code is looked at.
    code = format_hotp_value(hotp_value(secret, [*yield_hotp_counters_from_time()][-1]))
    assert client.post(_path("mfa_activate_totp"), {"code": code}).status_code == 302
    assert client.get("/admin/").status_code == 200, "setting one up has shown it"


def _path(name: str) -> str:
    return "/" + get_resolver().reverse(name)


@pytest.mark.parametrize("site", ["admin", "manage"])
def test_one_that_was_not_shown_lately_is_asked_for_again(
    operator: Operator, alice: Principal, client_of: Callable[[Principal], Client], site: str
) -> None:
    person = operator.id if site == "admin" else alice.user_id
    client = signed_in(operator) if site == "admin" else client_of(alice)
    prove_second_factor(client, person)
    assert client.get(f"/{site}/").status_code == 200
    session = client.session
    for record in session[AUTHENTICATION_METHODS_SESSION_KEY]:
        record["at"] = time.time() - 7_200
    session.save()
    response = client.get(f"/{site}/tenants/team/?q=x")
    assert response["Location"] == f"{_path('mfa_reauthenticate')}?next=%2F{site}%2Ftenants%2Fteam%2F%3Fq%3Dx"
    changed = client.post(f"/{site}/tenants/team/add/", {"name": "x"})
    assert changed["Location"] == f"{_path('mfa_reauthenticate')}?next=%2F{site}%2Ftenants%2Fteam%2Fadd%2F"
    prove_second_factor(client, person)
    assert client.get(f"/{site}/tenants/team/").status_code == 200


def test_a_tenants_administrator_without_one_is_led_to_it(
    alice: Principal, client_of: Callable[[Principal], Client]
) -> None:
    client = client_of(alice)
    for path in PATHS:
        assert client.get(f"/manage/{path}")["Location"] == _path("mfa_index")
    assert Client().get("/manage/")["Location"] == "/manage/login/?next=/manage/"
    assert Client().get("/manage/login/?next=/manage/")["Location"] == "/login/?next=/manage/"


def test_a_factor_taken_away_no_longer_opens(operator: Operator) -> None:
    client = signed_in(operator)
    prove_second_factor(client, operator.id)
    assert client.get("/admin/").status_code == 200
    Authenticator.objects.using("engine").filter(user_id=operator.id).delete()
    assert client.get("/admin/")["Location"] == _path("mfa_index")


def test_another_persons_record_in_the_session_does_not_count(operator: Operator, alice: Principal) -> None:
    client = signed_in(operator)
    prove_second_factor(client, operator.id)
    session = client.session
    session["account_authentication_methods_user"] = str(alice.user_id)
    session.save()
    assert client.get("/admin/").status_code == 302


def test_a_trial_may_do_without(operator: Operator) -> None:
    client = signed_in(operator)
    with override_settings(ADMIN_SECOND_FACTOR=False):
        assert client.get("/admin/").status_code == 200
    assert client.get("/admin/").status_code == 302


def test_only_the_administrations_have_looser_rules(
    operator: Operator, alice: Principal, client_of: Callable[[Principal], Client]
) -> None:
    office, desk = signed_in(operator), client_of(alice)
    prove_second_factor(office, operator.id)
    prove_second_factor(desk, alice.user_id)
    for client, path in ((office, "/admin/"), (desk, "/manage/"), (Client(), "/admin/login/")):
        rules = client.get(path)["Content-Security-Policy"]
        assert "script-src 'self' 'unsafe-eval';" in f"{rules};", path
        assert "default-src 'self'" in rules
        assert "frame-ancestors 'none'" in rules
        assert "http" not in rules
    for path in ("/chat/", "/login/", "/settings/keys/", "/healthz", "/manage-not/", "/api/schema/"):
        assert "unsafe" not in desk.get(path)["Content-Security-Policy"], path
    for client in (office, desk):
        page = client.get("/admin/" if client is office else "/manage/").content.decode()
        assert "https://" not in page
        assert 'src="http' not in page
