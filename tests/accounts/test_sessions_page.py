"""The list of one's sessions, and ending one of them."""

from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.test import Client
from django.utils import timezone

from apps.accounts.browsers import device_of
from apps.tenants.contracts import Principal
from tests.people import PASSWORD, new_address

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1"
)
LIST = "/account/sessions/"


def signed_in(person: Principal, user_agent: str) -> Client:
    browser = Client(REMOTE_ADDR=new_address(), headers={"user-agent": user_agent})
    assert browser.post("/login/", {"email": person.user_email, "password": PASSWORD}).status_code == 302
    return browser


def row_of(browser: Client) -> UserSession:
    return UserSession.objects.get(session_key=browser.session.session_key)


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (FIREFOX, "Firefox on Windows"),
        (PHONE, "Safari on iPhone"),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
            "Chrome on Linux",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/1 Safari/5 Edg/140.0",
            "Edge on Windows",
        ),
        ("curl/8.9", "curl"),
        ("", "An unknown browser"),
        ("<script>alert(1)</script>", "An unknown browser"),
    ],
)
def test_devices_are_told_in_words(user_agent: str, device: str) -> None:
    assert device_of(user_agent) == device


def test_one_session_is_ended_and_the_others_go_on(alice: Principal) -> None:
    desk, phone, old = (signed_in(alice, name) for name in (FIREFOX, PHONE, "curl/8.9"))
    page = desk.get(LIST).content.decode()
    assert all(device in page for device in ("Firefox on Windows", "Safari on iPhone", "curl"))
    assert page.count("Sign out</button>") >= 2
    ended = desk.post(f"{LIST}{row_of(old).pk}/end/", follow=True)
    assert "That browser is signed out." in ended.content.decode()
    assert "curl" not in ended.content.decode()
    assert old.get("/chat/").status_code == 302
    assert phone.get("/chat/").status_code == desk.get("/chat/").status_code == 200
    assert "has ended already" in desk.post(f"{LIST}987654321/end/", follow=True).content.decode()


def test_nobody_ends_their_own_or_somebody_elses(alice: Principal, mallory: Principal) -> None:
    desk, thief = signed_in(alice, FIREFOX), signed_in(mallory, PHONE)
    thief.post(f"{LIST}{row_of(desk).pk}/end/")
    desk.post(f"{LIST}{row_of(desk).pk}/end/")
    assert desk.get(LIST).status_code == 200
    assert "Firefox on Windows" not in thief.get(LIST).content.decode()
    assert desk.get(f"{LIST}{row_of(desk).pk}/end/").status_code == 405
    assert Client().post(f"{LIST}{row_of(desk).pk}/end/")["Location"].startswith("/login/")


def test_when_and_where_a_session_was_last_used_is_kept(alice: Principal) -> None:
    desk, elsewhere = signed_in(alice, FIREFOX), new_address()
    before = timezone.now() - timedelta(days=2)
    UserSession.objects.filter(pk=row_of(desk).pk).update(last_seen_at=before)
    desk.get("/chat/", REMOTE_ADDR=elsewhere)
    assert row_of(desk).last_seen_at > before
    assert row_of(desk).ip == elsewhere
    seen = row_of(desk).last_seen_at
    desk.get("/chat/", REMOTE_ADDR=new_address())
    assert (row_of(desk).last_seen_at, row_of(desk).ip) == (seen, elsewhere), "not again within minutes"
