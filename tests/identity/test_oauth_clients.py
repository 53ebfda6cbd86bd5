"""Programs that keep a secret must show it; people read whom they let in, and what to."""

import time
from datetime import timedelta

import pytest
from allauth.idp.oidc import app_settings
from allauth.idp.oidc.models import Client as OAuthClient
from django.conf import settings
from django.test import Client

from apps.tenants import token_families
from apps.tenants.contracts import Principal
from apps.tenants.oauth_keys import read_keys
from tests.identity.programs import Program, signing_key
from tests.people import session_of

_KEYS = read_keys(signing_key())
SECRET = "a secret of the program's own, long enough"


@pytest.fixture(autouse=True)
def set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "IDP_OIDC_PRIVATE_KEYS", [{"pem": pem} for pem in _KEYS])


@pytest.fixture
def confidential() -> Program:
    program = Program()
    row = OAuthClient.objects.using("engine").get(id=program.id)
    row.type = OAuthClient.Type.CONFIDENTIAL
    row.set_secret(SECRET)
    row.save(using="engine")
    return program


def test_a_program_with_a_secret_must_show_it(confidential: Program, bob: Principal) -> None:
    phone = session_of(bob)
    for shown in ({}, {"client_secret": ""}, {"client_secret": "another"}):
        assert confidential.redeem(confidential.agree(phone), **shown).status_code in (400, 401), shown
    given = confidential.redeem(confidential.agree(phone), client_secret=SECRET)
    assert given.status_code == 200
    refresh = given.json()["refresh_token"]
    renewed = confidential.token(grant_type="refresh_token", refresh_token=refresh)
    assert renewed.status_code in (400, 401)
    revoked = {"token": given.json()["access_token"], "client_id": confidential.id}
    confidential.client.post("/identity/o/api/revoke", revoked)
    assert confidential.opens(given.json()["access_token"]), "whoever only knows the program's id ends nothing"


def test_codes_are_short_lived(bob: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert app_settings.AUTHORIZATION_CODE_EXPIRES_IN <= 60
    monkeypatch.setattr(settings, "IDP_OIDC_AUTHORIZATION_CODE_EXPIRES_IN", 1, raising=False)
    program = Program()
    code = program.agree(session_of(bob))
    time.sleep(1.1)
    assert program.redeem(code).status_code == 400


def test_the_page_says_who_asks_for_what(bob: Principal) -> None:
    page = session_of(bob).get(Program().request(scope="openid chat")).content.decode()
    assert "Pocket" in page and bob.user_name in page and "com.example.app" in page
    assert page.count('type="checkbox"') == 2


def test_no_other_way_to_a_token(bob: Principal) -> None:
    program = Program()
    for grant in ("password", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code", "implicit", ""):
        answer = program.token(grant_type=grant, username=bob.user_email, password="correct horse battery staple")
        assert answer.status_code in (400, 401) and "access_token" not in answer.content.decode(), grant


def test_a_visit_alone_opens_no_session(bob: Principal) -> None:
    """Asking for a sign-in page, a company's or a program's, signs nobody in."""
    visitor = Client()
    for path in ("/login/", "/signup/", "/sso/", Program().request()):
        visitor.get(path)
        assert visitor.get("/api/v1/accounts/me/").status_code == 401


def test_programs_that_people_let_in_end_alike(bob: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program()
    given = program.sign_in(session_of(bob))
    renewed = program.renew(given["refresh_token"])
    assert renewed.status_code == 200
    monkeypatch.setattr(token_families, "LONGEST", timedelta(seconds=-1))
    assert program.renew(renewed.json()["refresh_token"]).status_code == 400
    assert not program.opens(renewed.json()["access_token"])
