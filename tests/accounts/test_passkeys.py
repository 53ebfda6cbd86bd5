"""What a passkey proves, and what does not pass for one. The device is software; the doors are the real ones."""

import json

import pytest
from django.conf import settings
from django.test import Client

from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry
from tests.accounts.soft_key import LOGIN, SoftKey, ask, enters_with
from tests.accounts.test_second_factor_steps import sign_in
from tests.people import new_address


def stranger() -> Client:
    return Client(REMOTE_ADDR=new_address())


@pytest.fixture
def key(alice: Principal) -> SoftKey:
    """Alice's, and she has signed out again."""
    browser, key = stranger(), SoftKey(alice.user_id, counter=7)
    sign_in(browser, alice)
    assert key.register(browser).status_code == 302
    browser.post("/logout/")
    return key


def failures(person: Principal) -> int:
    rows = AuditEntry.objects.using("engine").filter(tenant_id=person.tenant_id, action="sign_in.failed")
    return rows.filter(data__method="passkey").count()


def test_a_passkey_signs_in_alone_and_it_is_told(key: SoftKey, alice: Principal) -> None:
    opened = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id, action="session.opened")
    before, browser = opened.count(), stranger()
    key.counter = 8
    answer = browser.post(LOGIN, {"credential": key.assertion(browser)})
    assert (answer.status_code, answer["Location"]) == (302, "/chat/")
    assert browser.get("/chat/").status_code == 200
    assert opened.count() == before + 1
    last = opened.order_by("seq").last()
    assert last is not None and (last.actor_id, last.target_id) == (alice.user_id, str(alice.user_id))
    assert failures(alice) == 0


@pytest.mark.parametrize(
    "origin", ["https://switchboard.example.org.evil.example", "http://localhost", "null", "https://127.0.0.1"]
)
def test_a_proof_made_on_another_page_is_refused(key: SoftKey, alice: Principal, origin: str) -> None:
    key.counter, browser = 8, stranger()
    assert origin != settings.BASE_URL
    assert not enters_with(browser, key.assertion(browser, origin=origin))
    assert failures(alice) == 1
    assert enters_with(browser, key.assertion(browser)), "the same key on our page"


def test_a_proof_for_another_host_or_without_its_person_is_refused(key: SoftKey) -> None:
    key.counter, browser = 8, stranger()
    assert not enters_with(browser, key.assertion(browser, host="evil.example"))
    assert not enters_with(browser, key.assertion(browser, verified=False)), "nobody touched or looked at it"


def test_a_proof_that_was_used_is_refused(key: SoftKey) -> None:
    key.counter, browser = 8, stranger()
    used = key.assertion(browser)
    assert enters_with(browser, used)
    browser.post("/logout/")
    assert not enters_with(browser, used), "without a question"
    ask(browser)
    assert not enters_with(browser, used), "to another question"
    thief = stranger()
    ask(thief)
    assert not enters_with(thief, used), "from another browser"


def test_a_counter_that_does_not_rise_is_a_copys(key: SoftKey, alice: Principal) -> None:
    for counter, enters in ((7, False), (8, True), (8, False), (3, False), (0, False), (9, True)):
        key.counter, browser = counter, stranger()
        assert enters_with(browser, key.assertion(browser)) is enters, counter
    assert failures(alice) == 1, "told once, and the others in the minute's sum"


def test_a_key_that_never_counts_is_taken(alice: Principal) -> None:
    browser, key = stranger(), SoftKey(alice.user_id)
    sign_in(browser, alice)
    key.register(browser)
    for _ in range(2):
        again = stranger()
        assert enters_with(again, key.assertion(again))


def test_nobody_signs_in_as_somebody_else(key: SoftKey, alice: Principal, mallory: Principal) -> None:
    browser, own = stranger(), SoftKey(mallory.user_id)
    sign_in(browser, mallory)
    own.register(browser)
    thief = stranger()
    claimed = json.loads(own.assertion(thief))
    claimed["response"]["userHandle"] = json.loads(key.assertion(thief))["response"]["userHandle"]
    assert not enters_with(thief, json.dumps(claimed))
    forged = SoftKey(alice.user_id, counter=9)  # Alice's id, and another private key
    assert not enters_with(thief, forged.assertion(thief))
