"""Sessions end after a time without use, and in any case so long after signing in, wherever they are looked at."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.sessions import SessionStore
from apps.tenants.contracts import Principal
from tests.people import PASSWORD, new_address

HOUR, DAY = 3600, 86_400
IDLE, LONGEST = settings.SESSION_IDLE_SECONDS, settings.SESSION_MAX_SECONDS


def signed_in(person: Principal) -> Client:
    browser = Client(REMOTE_ADDR=new_address())
    browser.post("/login/", {"email": person.user_email, "password": PASSWORD})
    assert is_in(browser)
    return browser


def is_in(browser: Client) -> bool:
    return bool(browser.get("/api/v1/accounts/me/").status_code == 200)


def key_of(browser: Client) -> str:
    return str(browser.cookies[settings.SESSION_COOKIE_NAME].value)


def seconds_left(browser: Client) -> float:
    return (Session.objects.get(session_key=key_of(browser)).expire_date - datetime.now(UTC)).total_seconds()


def let_pass(browser: Client, seconds: int) -> None:
    """Make the stored session as old as if this time had passed."""
    row = Session.objects.get(session_key=key_of(browser))
    data = row.get_decoded()
    data["began_at"] -= seconds
    data["used_at"] -= seconds
    row.session_data = SessionStore().encode(data)
    row.expire_date -= timedelta(seconds=seconds)
    row.save()


def test_the_product_uses_these_sessions() -> None:
    assert import_module(settings.SESSION_ENGINE).SessionStore is SessionStore
    assert (IDLE, LONGEST) == (72 * HOUR, 14 * DAY)


def test_a_session_that_is_not_used_ends(alice: Principal) -> None:
    browser = signed_in(alice)
    assert IDLE - 10 < seconds_left(browser) <= IDLE
    let_pass(browser, IDLE - 2 * HOUR)
    assert is_in(browser)
    assert seconds_left(browser) > IDLE - 10, "being used is noted"
    let_pass(browser, IDLE + 1)
    assert not is_in(browser)
    assert browser.get("/chat/")["Location"] == "/login/?next=/chat/"


def test_a_session_that_is_used_all_the_time_ends_too(alice: Principal) -> None:
    browser = signed_in(alice)
    for _ in range(6):
        let_pass(browser, 2 * DAY)
        assert is_in(browser)
    assert seconds_left(browser) <= 2 * DAY
    let_pass(browser, 2 * DAY)
    assert not is_in(browser)


def test_use_is_written_seldom(alice: Principal) -> None:
    browser = signed_in(alice)
    row = Session.objects.get(session_key=key_of(browser))
    assert is_in(browser)
    assert Session.objects.get(session_key=key_of(browser)).session_data == row.session_data


@given(wish=st.one_of(st.none(), st.integers(1, 10**9)), began_ago=st.integers(0, 2 * LONGEST))
def test_nobodys_wish_stretches_it(wish: int | None, began_ago: int) -> None:
    store = SessionStore()
    store["began_at"] = int(datetime.now(UTC).timestamp()) - began_ago
    store.set_expiry(wish)
    assert 0 <= store.get_expiry_age() <= min(IDLE, max(0, LONGEST - began_ago))


def test_signing_in_gives_another_key_and_begins_anew(alice: Principal) -> None:
    browser, before = Client(REMOTE_ADDR=new_address()), SessionStore()
    before["chosen"] = "before anybody had signed in"
    before.save()
    old = browser.cookies[settings.SESSION_COOKIE_NAME] = str(before.session_key)
    let_pass(browser, 2 * DAY)
    browser.post("/login/", {"email": alice.user_email, "password": PASSWORD})
    assert key_of(browser) != old
    assert not Session.objects.filter(session_key=old).exists()
    assert Session.objects.get(session_key=key_of(browser)).get_decoded()["began_at"] > (
        datetime.now(UTC).timestamp() - HOUR
    )


def test_keys_are_long_and_different(alice: Principal) -> None:
    keys = {key_of(signed_in(alice)) for _ in range(3)}
    assert len(keys) == 3
    for key in keys:
        assert len(key) >= 32 and key.isalnum()  # 36 ** 32 is more than 2 ** 165


def test_a_key_that_somebody_else_chose_is_not_taken(alice: Principal) -> None:
    browser = Client(REMOTE_ADDR=new_address())
    browser.cookies[settings.SESSION_COOKIE_NAME] = "a" * 32
    browser.post("/login/", {"email": alice.user_email, "password": PASSWORD})
    assert is_in(browser)
    assert key_of(browser) != "a" * 32
