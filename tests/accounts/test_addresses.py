"""E-mail addresses: shown to be somebody's by a mailed link, and changed by whoever gives their password again."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.test.utils import override_settings

from apps.accounts import selectors
from apps.accounts.models import User
from apps.tenants.contracts import Principal
from tests.accounts.test_forgotten_passwords import CHOSEN, MAIL
from tests.accounts.test_second_factor_steps import enters
from tests.accounts.test_sign_in_log import told
from tests.people import PASSWORD, new_address

ADDRESS, REAUTHENTICATE = "/account/email/", "/account/reauthenticate/"
pytestmark = pytest.mark.usefixtures("mails")


@pytest.fixture
def mails() -> Iterator[None]:
    with override_settings(**MAIL, ACCOUNT_EMAIL_VERIFICATION="mandatory"):
        mail.outbox = []
        yield


def visitor() -> Client:
    return Client(REMOTE_ADDR=new_address())


def link_to(email: str) -> str:
    """The path of the link in the last mail that went there."""
    (sent,) = [one for one in mail.outbox if one.to == [email]][-1:]
    (link,) = re.findall(r"https?://\S+/account/confirm-email/\S+/", sent.body)
    return urlsplit(link).path


def verified(person: Principal) -> set[str]:
    return set(EmailAddress.objects.filter(user_id=person.user_id, verified=True).values_list("email", flat=True))


@pytest.fixture
def browser(alice: Principal) -> Client:
    """Alice's, who has shown her address to be hers and signed in."""
    EmailAddress.objects.create(user_id=alice.user_id, email=alice.user_email, primary=True, verified=True)
    browser = visitor()
    assert browser.post("/login/", {"email": alice.user_email, "password": PASSWORD})["Location"] == "/chat/"
    return browser


def later(browser: Client, seconds: int = 601) -> None:
    """The password was given so long ago."""
    session = browser.session
    records = session["account_authentication_methods"]
    session["account_authentication_methods"] = [{**one, "at": one["at"] - seconds} for one in records]
    session.save()


def test_an_address_is_shown_to_be_ones_own_before_anything_opens(alice: Principal) -> None:
    browser = visitor()
    led = browser.post("/login/", {"email": alice.user_email, "password": PASSWORD})
    assert led["Location"] == "/account/confirm-email/"
    assert not enters(browser)
    path = link_to(alice.user_email)
    assert "Is this your address?" in visitor().get(path).content.decode()
    assert verified(alice) == set(), "looking at the link proves nothing: scanners of mail look at links"
    assert browser.post(path).status_code == 302
    assert verified(alice) == {alice.user_email}
    assert told(alice.tenant_id, "email.verified") == [{}]
    again = visitor()
    assert again.post("/login/", {"email": alice.user_email, "password": PASSWORD})["Location"] == "/chat/"
    assert enters(again)
    visitor().post(path)
    assert len(told(alice.tenant_id, "email.verified")) == 1


@pytest.mark.parametrize("key", ["x", "MQ:1abcde:forged", "-"])
def test_what_is_no_link_shows_nothing(alice: Principal, key: str) -> None:
    visitor().post("/login/", {"email": alice.user_email, "password": PASSWORD})
    page = visitor().get(f"/account/confirm-email/{key}/")
    assert "does not work" in page.content.decode()
    visitor().post(f"/account/confirm-email/{key}/")
    assert verified(alice) == set()


def test_another_address_takes_its_place_once_its_link_is_opened(browser: Client, alice: Principal) -> None:
    new = f"new-{uuid4().hex[:12]}@example.org"
    assert browser.post(ADDRESS, {"action_add": "", "email": new}).status_code == 302
    assert User.objects.get(id=alice.user_id).email == alice.user_email, "until the link is opened nothing changes"
    path = link_to(new)
    assert visitor().post(path).status_code == 302
    person = User.objects.get(id=alice.user_id)
    assert person.email == new
    assert verified(alice) == {new}
    assert told(alice.tenant_id, "email.changed") == [{"from": alice.user_email, "to": new}]
    assert any(alice.user_email in one.to for one in mail.outbox), "who had the old one is told there"
    assert selectors.id_by_email(alice.user_email) is None
    old, after = visitor(), visitor()
    assert old.post("/login/", {"email": alice.user_email, "password": PASSWORD}).status_code == 400
    assert after.post("/login/", {"email": new, "password": PASSWORD})["Location"] == "/chat/"


@pytest.mark.parametrize("action", ["action_add", "action_remove", "action_primary"])
def test_changing_the_address_asks_for_the_password_again(browser: Client, alice: Principal, action: str) -> None:
    new = f"new-{uuid4().hex[:12]}@example.org"
    if action != "action_add":
        browser.post(ADDRESS, {"action_add": "", "email": new})
    before = list(EmailAddress.objects.filter(user_id=alice.user_id).values_list("email", "verified", "primary"))
    later(browser)
    led = browser.post(ADDRESS, {action: "", "email": new})
    assert led.status_code == 302 and led["Location"].startswith(REAUTHENTICATE)
    kept = EmailAddress.objects.filter(user_id=alice.user_id).values_list("email", "verified", "primary")
    assert list(kept) == before
    browser.post(led["Location"], {"password": "not the password"})
    assert browser.post(ADDRESS, {action: "", "email": new})["Location"].startswith(REAUTHENTICATE)
    assert list(kept.all()) == before


def test_with_the_password_it_goes_on_where_it_stopped(browser: Client, alice: Principal) -> None:
    new = f"new-{uuid4().hex[:12]}@example.org"
    later(browser)
    led = browser.post(ADDRESS, {"action_add": "", "email": new})
    mail.outbox = []
    browser.post(led["Location"], {"password": PASSWORD}, follow=True)
    assert EmailAddress.objects.filter(user_id=alice.user_id, email=new).exists()
    assert link_to(new)


def test_an_address_that_somebody_has_is_not_taken_over(browser: Client, alice: Principal, mallory: Principal) -> None:
    EmailAddress.objects.create(user_id=mallory.user_id, email=mallory.user_email, primary=True, verified=True)
    browser.post(ADDRESS, {"action_add": "", "email": mallory.user_email})
    for one in mail.outbox:  # whatever is sent there, and whoever opens it
        for link in re.findall(r"https?://[^/]+(/account/confirm-email/\S+/)", one.body):
            visitor().post(link)
            browser.post(link)
    assert selectors.id_by_email(mallory.user_email) == mallory.user_id
    assert User.objects.get(id=alice.user_id).email == alice.user_email
    assert verified(alice) == {alice.user_email} and verified(mallory) == {mallory.user_email}


def test_a_reset_password_is_told(alice: Principal) -> None:
    EmailAddress.objects.create(user_id=alice.user_id, email=alice.user_email, primary=True, verified=True)
    reader = visitor()
    reader.post("/account/password/reset/", {"email": alice.user_email})
    (link,) = re.findall(r"https?://[^/]+(/account/password/reset/key/\S+)", mail.outbox[0].body)
    path = reader.get(link, follow=True).redirect_chain[-1][0]
    assert reader.post(path, {"password1": CHOSEN, "password2": CHOSEN}).status_code == 302
    assert told(alice.tenant_id, "password.reset") == [{}]
    assert told(alice.tenant_id, "password.changed") == []
