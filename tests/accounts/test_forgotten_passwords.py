"""Forgotten passwords, sessions seen and ended, and allauth's doors that lead to ours."""

import re
from uuid import uuid4

import pytest
from django.conf import settings
from django.core import mail
from django.test import Client
from django.test.utils import override_settings

from apps.accounts.models import User
from tests.people import PASSWORD, new_address

MAIL = {"MAIL_IS_CONFIGURED": True, "EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend"}
CHOSEN = "another horse battery staple"


def visitor() -> Client:
    return Client(REMOTE_ADDR=new_address())


@pytest.fixture
def newcomer() -> tuple[Client, str]:
    """Somebody who has just signed up: their browser and address."""
    browser, email = visitor(), f"new-{uuid4().hex[:12]}@example.org"
    body = {"name": "Nina", "email": email, "password": PASSWORD}
    assert browser.post("/signup/", body)["Location"] == "/chat/"
    return browser, email


def is_in(browser: Client) -> bool:
    return bool(browser.get("/api/v1/accounts/me/").status_code == 200)


@override_settings(**MAIL)
def test_a_forgotten_password_is_replaced_by_a_mailed_link_that_works_once(newcomer: tuple[Client, str]) -> None:
    signed_in, email = newcomer
    mail.outbox = []
    stranger = visitor()
    assert stranger.post("/account/password/reset/", {"email": email}).status_code == 302
    (link,) = re.findall(r"https?://[^/]+(/account/password/reset/key/\S+)", mail.outbox[0].body)
    path = stranger.get(link, follow=True).redirect_chain[-1][0]
    assert stranger.post(path, {"password1": CHOSEN, "password2": CHOSEN}).status_code == 302
    again = visitor()
    again.post("/login/", {"email": email, "password": CHOSEN})
    assert is_in(again)
    assert not is_in(signed_in), "the old password's sessions end with it"
    used = visitor()
    where = used.get(link, follow=True)
    used.post(where.request["PATH_INFO"], {"password1": "taken over 12345", "password2": "taken over 12345"})
    assert User.objects.get(email=email).check_password(CHOSEN)


@override_settings(**MAIL)
@pytest.mark.parametrize("key", ["", "None", "null", "0-0", "x" * 200])
def test_what_is_no_link_resets_nothing(newcomer: tuple[Client, str], key: str) -> None:
    person = User.objects.get(email=newcomer[1])
    at = "/account/password/reset/key"
    for path in (f"{at}/{person.pk.hex}-{key}/", f"{at}/{key}/", f"{at}/{person.pk}/", f"{at}/UID-{key}/"):
        assert visitor().get(path).status_code in (200, 302, 404)
        answer = visitor().post(path, {"password1": "taken over 12345", "password2": "taken over 12345"})
        assert answer.status_code in (200, 302, 404)
    person.refresh_from_db()
    assert person.check_password(PASSWORD)


@override_settings(**MAIL)
def test_whether_an_address_has_an_account_is_not_told(newcomer: tuple[Client, str]) -> None:
    answers = [
        visitor().post("/account/password/reset/", {"email": email}, follow=True)
        for email in (newcomer[1], "nobody@example.org")
    ]
    assert len({answer.redirect_chain[-1] for answer in answers}) == 1


@override_settings(**MAIL, CACHES={"default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}})
def test_one_address_gets_five_mails_an_hour_whatever_becomes_of_the_cache(newcomer: tuple[Client, str]) -> None:
    mail.outbox = []
    answers = [visitor().post("/account/password/reset/", {"email": newcomer[1]}) for _ in range(7)]
    assert [one.status_code for one in answers] == [302] * 5 + [429] * 2
    assert len(mail.outbox) == 5


def test_no_reset_is_offered_where_no_mail_is_sent() -> None:
    assert "Forgot the password?" not in visitor().get("/login/").content.decode()
    with override_settings(**MAIL):
        assert "Forgot the password?" in visitor().get("/login/").content.decode()


def test_sessions_are_listed_and_the_others_ended(newcomer: tuple[Client, str]) -> None:
    browser, email = newcomer
    other = visitor()
    other.post("/login/", {"email": email, "password": PASSWORD})
    assert is_in(other)
    assert browser.get("/account/sessions/").status_code == 200
    assert browser.post("/account/sessions/end-others/").status_code == 302
    assert is_in(browser)
    assert not is_in(other)


@pytest.mark.parametrize(
    "path",
    ["second-factor/", "password/change/", "email/", "sessions/", "reauthenticate/", "second-factor/webauthn/"],
)
def test_the_accounts_pages_open_in_our_own_look(newcomer: tuple[Client, str], path: str) -> None:
    page = newcomer[0].get(f"/account/{path}", follow=True)
    assert page.status_code == 200
    assert "settings.css" in page.content.decode()


def test_allauths_own_doors_lead_to_ours() -> None:
    assert visitor().get("/account/login/?next=/chat/")["Location"] == "/login/?next=/chat/"
    assert visitor().get("/account/signup/")["Location"] == "/signup/"
    assert visitor().get("/account/second-factor/")["Location"].startswith("/login/")
