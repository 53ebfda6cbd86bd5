"""A second factor from setting it up to signing in with it, on the pages and for programs."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from allauth.mfa.models import Authenticator
from django.db import connection
from django.test import Client

from apps.tenants.contracts import Principal
from apps.tenants.models import Tenant
from tests.accounts.codes import code_of, wait_for_a_young_step
from tests.people import PASSWORD, new_address

INDEX, ACTIVATE = "/account/second-factor/", "/account/second-factor/totp/activate/"
CODES, ASKED = "/account/second-factor/recovery-codes/", "/account/second-factor/authenticate/"
TOKEN = "/api/v1/accounts/token/"


@pytest.fixture
def browser() -> Client:
    return Client(REMOTE_ADDR=new_address())


def a_wrong_code(secret: str) -> str:
    near = {code_of(secret, periods=away) for away in range(-3, 4)}
    return next(code for code in ("000000", *(f"{n:06}" for n in range(1, 9))) if code not in near)


def sign_in(browser: Client, person: Principal) -> str:
    """Where the right password leads."""
    response = browser.post("/login/", {"email": person.user_email, "password": PASSWORD})
    assert response.status_code == 302, response.content.decode()
    return str(response["Location"])


def set_up(browser: Client, person: Principal) -> tuple[str, list[str]]:
    """Sign in, set an authenticator app up and sign out: its secret, and the recovery codes."""
    wait_for_a_young_step()
    assert sign_in(browser, person) == "/chat/"
    assert browser.get(ACTIVATE).status_code == 200, "who has just signed in is not asked again"
    secret = browser.session["mfa.totp.secret"]
    # Of the step before: the one of now is still to be used, and an early step's stays refused.
    assert browser.post(ACTIVATE, {"code": code_of(secret, periods=-1)})["Location"].startswith(CODES)
    codes = Authenticator.objects.get(user_id=person.user_id, type=Authenticator.Type.RECOVERY_CODES).wrap()
    unused = codes.get_unused_codes()
    page = browser.get(CODES).content.decode()
    assert all(code in page for code in unused)
    browser.post("/logout/")
    return secret, unused


def enters(browser: Client) -> bool:
    return browser.get("/chat/").status_code == 200


def test_a_password_alone_stops_at_the_second_factor_and_its_code_enters(browser: Client, alice: Principal) -> None:
    secret, _codes = set_up(browser, alice)
    assert sign_in(browser, alice).startswith(ASKED)
    assert not enters(browser)
    assert browser.post(ASKED, {"code": a_wrong_code(secret)}).status_code == 200
    assert not enters(browser)
    assert browser.post(ASKED, {"code": code_of(secret)})["Location"] == "/chat/"
    assert enters(browser)
    assert browser.session["tenant_id"] == str(alice.tenant_id)


def test_a_code_is_taken_a_step_late_or_early_and_once(browser: Client, alice: Principal) -> None:
    secret, _codes = set_up(browser, alice)
    factor = Authenticator.objects.get(user_id=alice.user_id, type=Authenticator.Type.TOTP)
    assert not factor.wrap().validate_code(code_of(secret, periods=-2))
    assert not factor.wrap().validate_code(code_of(secret, periods=-1)), "it proved the app"
    ahead = code_of(secret, periods=1)
    assert factor.wrap().validate_code(ahead)
    assert not factor.wrap().validate_code(ahead)
    assert not factor.wrap().validate_code(code_of(secret)), "nothing before what was used"


def test_of_one_code_given_many_times_at_once_one_enters(browser: Client, alice: Principal) -> None:
    secret, _codes = set_up(browser, alice)
    code = code_of(secret)

    def give(_number: int) -> bool:
        try:
            return bool(Authenticator.objects.get(user_id=alice.user_id, type="totp").wrap().validate_code(code))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(give, range(16))) == 1


def test_a_recovery_code_enters_once(browser: Client, alice: Principal) -> None:
    _secret, codes = set_up(browser, alice)
    sign_in(browser, alice)
    assert browser.post(ASKED, {"code": codes[0]})["Location"] == "/chat/"
    browser.post("/logout/")
    sign_in(browser, alice)
    assert browser.post(ASKED, {"code": codes[0]}).status_code == 200
    assert not enters(browser)
    assert browser.post(ASKED, {"code": codes[1]})["Location"] == "/chat/"


def test_secrets_lie_sealed(browser: Client, alice: Principal) -> None:
    secret, codes = set_up(browser, alice)
    kept = str(list(Authenticator.objects.filter(user_id=alice.user_id).values_list("data", flat=True)))
    assert "'secret'" in kept
    assert secret not in kept
    assert not any(code in kept for code in codes)


def test_programs_are_asked_for_a_code_too(browser: Client, alice: Principal) -> None:
    secret, codes = set_up(browser, alice)

    def ask(**fields: str) -> tuple[int, str]:
        given = {"email": alice.user_email, "password": PASSWORD, **fields}
        response = browser.post(TOKEN, given, content_type="application/json")
        return response.status_code, response.json().get("code", "")

    assert ask() == (401, "second_factor_required")
    assert ask(otp=a_wrong_code(secret)) == (401, "second_factor_refused")
    used = code_of(secret)
    assert ask(otp=used) == (200, "")
    assert ask(otp=used) == (401, "second_factor_refused")
    assert ask(otp=codes[0]) == (200, "")
    assert ask(otp=codes[0]) == (401, "second_factor_refused")
    # Whether there is a second factor is nobody's to know without the password.
    assert ask(password="not the password")[1] not in ("second_factor_required", "second_factor_refused")


def test_a_tenant_that_demands_one_opens_nothing_before_it_is_there(browser: Client, alice: Principal) -> None:
    Tenant.objects.using("engine").filter(id=alice.tenant_id).update(requires_second_factor=True)
    sign_in(browser, alice)
    led = browser.get("/settings/keys/")
    assert (led.status_code, led["Location"]) == (302, INDEX)
    refused = browser.get("/api/v1/conversations/")
    assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_setup_required")
    assert browser.get(INDEX).status_code == 200
    assert browser.get(ACTIVATE).status_code == 200, "who has just signed in is not asked again"
    secret = browser.session["mfa.totp.secret"]
    assert browser.post(ACTIVATE, {"code": code_of(secret)}).status_code == 302
    assert browser.get("/settings/keys/").status_code == 200
    assert browser.get("/api/v1/conversations/").status_code == 200


def test_removing_a_second_factor_asks_who_is_there_once_more(browser: Client, alice: Principal) -> None:
    secret, _codes = set_up(browser, alice)
    sign_in(browser, alice)
    browser.post(ASKED, {"code": code_of(secret)})
    led = browser.post("/account/second-factor/totp/deactivate/")
    assert led.status_code == 302
    assert "reauthenticate" in led["Location"]
    assert Authenticator.objects.filter(user_id=alice.user_id, type=Authenticator.Type.TOTP).exists()
