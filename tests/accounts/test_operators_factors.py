"""An operator sets a second factor up on the pages, once; after that the serving role reaches it no more."""

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.db import DatabaseError, connection, transaction
from django.test import Client

from apps.tenants import services
from tests.accounts.codes import code_of, wait_for_a_young_step
from tests.people import PASSWORD, Operator, new_address, new_person

ACTIVATE, INDEX = "/account/second-factor/totp/activate/", "/account/second-factor/"


@pytest.fixture
def enrolled(operator: Operator) -> tuple[Client, str]:
    """The operator's browser, and the secret of the app that they have just set up on the pages."""
    services.open_tenant("Operators", operator.id)
    browser = Client(REMOTE_ADDR=new_address())
    browser.post("/login/", {"email": operator.email, "password": PASSWORD})
    wait_for_a_young_step()
    assert browser.get(ACTIVATE).status_code == 200
    secret = browser.session["mfa.totp.secret"]
    assert browser.post(ACTIVATE, {"code": code_of(secret, periods=-1)}).status_code == 302
    return browser, secret


def refused(statement: str, *values: Any) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, values)
    except DatabaseError as error:
        assert "changed in the administration" in str(error)
        return True
    return False


_ADD = "INSERT INTO mfa_authenticator (user_id, type, data, created_at) VALUES (%s, %s, '{}', now())"


def test_it_is_set_up_and_used_as_everybodys(operator: Operator, enrolled: tuple[Client, str]) -> None:
    browser, secret = enrolled
    kinds = Authenticator.objects.filter(user_id=operator.id).values_list("type", flat=True)
    assert set(kinds) == {"totp", "recovery_codes"}
    browser.post("/logout/")
    browser.post("/login/", {"email": operator.email, "password": PASSWORD})
    assert browser.post(f"{INDEX}authenticate/", {"code": code_of(secret)})["Location"] == "/chat/"
    codes = Authenticator.objects.get(user_id=operator.id, type="recovery_codes").wrap().get_unused_codes()
    browser.post("/logout/")
    browser.post("/login/", {"email": operator.email, "password": PASSWORD})
    assert browser.post(f"{INDEX}authenticate/", {"code": codes[0]})["Location"] == "/chat/"


def test_the_serving_role_adds_replaces_and_removes_none(operator: Operator, enrolled: tuple[Client, str]) -> None:
    mallory, _email = new_person("Mallory")
    for kind in ("webauthn", "totp", "recovery_codes"):
        assert refused(_ADD, operator.id, kind), kind
        assert not refused(_ADD, mallory, kind), kind
    new_secret = (
        "UPDATE mfa_authenticator SET data = data || '{\"secret\": \"mine\"}' WHERE user_id = %s AND type = 'totp'"
    )
    new_seed = (
        "UPDATE mfa_authenticator SET data = '{\"seed\": \"mine\"}' WHERE user_id = %s AND type = 'recovery_codes'"
    )
    taken = "UPDATE mfa_authenticator SET user_id = %s WHERE user_id = %s AND type = %s"
    for statement in (new_secret, new_seed, "DELETE FROM mfa_authenticator WHERE user_id = %s"):
        assert refused(statement, operator.id), statement
        assert not refused(statement, mallory), statement
    assert not refused(_ADD, mallory, "webauthn")
    assert refused(taken, operator.id, mallory, "webauthn"), "nor is one handed over"
    assert refused(taken, mallory, operator.id, "totp")


def test_pages_say_so(operator: Operator, enrolled: tuple[Client, str]) -> None:
    browser, _secret = enrolled
    before = list(Authenticator.objects.filter(user_id=operator.id).values_list("type", "data"))
    for path in ("totp/deactivate/", "recovery-codes/generate/", "webauthn/add/"):
        page = browser.post(f"{INDEX}{path}", follow=True)
        assert page.status_code == 200 and "is taken away in the administration" in page.content.decode(), path
    assert list(Authenticator.objects.filter(user_id=operator.id).values_list("type", "data")) == before


def test_the_administration_takes_it_away_and_another_is_set_up(
    operator: Operator, enrolled: tuple[Client, str]
) -> None:
    browser, _secret = enrolled
    for one in Authenticator.objects.using("engine").filter(user_id=operator.id):
        one.delete(using="engine")
    assert browser.get(ACTIVATE).status_code == 200
    secret = browser.session["mfa.totp.secret"]
    assert browser.post(ACTIVATE, {"code": code_of(secret)}).status_code == 302
    assert Authenticator.objects.filter(user_id=operator.id, type="totp").exists()
