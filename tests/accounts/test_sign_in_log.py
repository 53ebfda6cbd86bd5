"""What is written down about people's sign-in, in the chain of each workspace they belong to."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import OperationalError, connections
from django.test import Client
from django.test.utils import override_settings

from apps.accounts.models import FailureNote, User
from apps.tenants import audit, services, sign_in_log
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry
from tests.accounts.codes import code_of
from tests.accounts.test_forgotten_passwords import CHOSEN, MAIL
from tests.accounts.test_second_factor_steps import ASKED, TOKEN, a_wrong_code, set_up, sign_in
from tests.people import PASSWORD, new_address, session_of

WRONG = "not the password at all"


@pytest.fixture
def browser() -> Client:
    return Client(REMOTE_ADDR=new_address())


def told(tenant_id: UUID, action: str) -> list[dict[str, Any]]:
    rows = AuditEntry.objects.using("engine").filter(tenant_id=tenant_id, action=action).order_by("seq")
    return [row.data for row in rows]


def everything_told(tenant_id: UUID) -> str:
    rows = AuditEntry.objects.using("engine").filter(tenant_id=tenant_id)
    return json.dumps(list(rows.values_list("actor", "action", "target_id", "data")))


def a_minute_later(person: Principal) -> None:
    with connections["engine"].cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_failurenote SET told_at = told_at - interval '61 seconds' WHERE key LIKE %s",
            [f"user:{person.user_id}:%"],
        )


def test_a_wrong_password_is_told_to_every_workspace_of_the_person(browser: Client, alice: Principal) -> None:
    second = services.open_tenant("Eastwind", alice.user_id)
    browser.post("/login/", {"email": alice.user_email, "password": WRONG})
    for tenant_id in (alice.tenant_id, second.id):
        assert told(tenant_id, "sign_in.failed") == [{"method": "password", "tries": 1}]
        assert WRONG not in everything_told(tenant_id)
    entry = AuditEntry.objects.using("engine").get(tenant_id=second.id, action="sign_in.failed")
    assert (entry.actor_id, entry.target_id, entry.via) == (None, str(alice.user_id), "session")
    assert entry.address == browser.defaults["REMOTE_ADDR"]


def test_a_flood_is_told_once_a_minute_and_nothing_is_lost(alice: Principal) -> None:
    target = ("user", alice.user_id)

    def fail(_number: int) -> None:
        try:
            sign_in_log.failed(target, "sign_in.failed", "password")
        finally:
            connections["engine"].close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(fail, range(40)))
    assert told(alice.tenant_id, "sign_in.failed") == [{"method": "password", "tries": 1}]
    sign_in_log.tell_the_rest()
    assert len(told(alice.tenant_id, "sign_in.failed")) == 1, "the minute is not over"
    a_minute_later(alice)
    sign_in_log.tell_the_rest()
    assert [one["tries"] for one in told(alice.tenant_id, "sign_in.failed")] == [1, 39]
    a_minute_later(alice)
    sign_in_log.tell_the_rest()
    assert len(told(alice.tenant_id, "sign_in.failed")) == 2
    fail(0)
    assert [one["tries"] for one in told(alice.tenant_id, "sign_in.failed")] == [1, 39, 1]


def test_what_a_stranger_types_as_an_address_is_not_kept(browser: Client) -> None:
    before = FailureNote.objects.using("engine").count()
    browser.post("/login/", {"email": "nobody-at-all@example.org", "password": WRONG})
    assert FailureNote.objects.using("engine").count() == before


def test_second_factors_are_told_from_setting_up_to_the_last_code(browser: Client, alice: Principal) -> None:
    secret, codes = set_up(browser, alice)
    assert told(alice.tenant_id, "second_factor.added") == [{"kind": "totp"}]
    assert told(alice.tenant_id, "recovery_codes.generated") == [{}]
    assert told(alice.tenant_id, "session.ended") == [{}]
    sign_in(browser, alice)
    wrong = a_wrong_code(secret)
    browser.post(ASKED, {"code": wrong})
    assert told(alice.tenant_id, "sign_in.failed") == [{"method": "second_factor", "tries": 1}]
    browser.post(ASKED, {"code": codes[0]})
    assert told(alice.tenant_id, "recovery_code.used") == [{}]
    asked_again = browser.get("/account/second-factor/totp/deactivate/")["Location"]
    assert "reauthenticate" in asked_again
    browser.post(asked_again, {"password": PASSWORD})
    assert browser.post("/account/second-factor/totp/deactivate/").status_code == 302
    assert told(alice.tenant_id, "second_factor.removed") == [{"kind": "totp"}]
    assert told(alice.tenant_id, "recovery_codes.removed") == [{}]
    assert not Authenticator.objects.filter(user_id=alice.user_id).exists()
    written = everything_told(alice.tenant_id)
    assert not any(one in written for one in (secret, wrong, codes[0], PASSWORD))


def test_programs_that_fail_are_told_as_such(browser: Client, alice: Principal) -> None:
    secret, codes = set_up(browser, alice)
    body = {"email": alice.user_email, "password": PASSWORD}
    for otp in (a_wrong_code(secret), codes[1]):
        browser.post(TOKEN, body | {"otp": otp}, content_type="application/json")
    entry = AuditEntry.objects.using("engine").get(tenant_id=alice.tenant_id, action="sign_in.failed")
    assert (entry.via, entry.data) == ("jwt", {"method": "second_factor", "tries": 1})
    assert told(alice.tenant_id, "recovery_code.used") == [{}]
    assert browser.post(TOKEN, body | {"otp": code_of(secret)}, content_type="application/json").status_code == 200
    assert len(told(alice.tenant_id, "sign_in.failed")) == 1


@override_settings(**MAIL)
def test_new_passwords_and_addresses_are_told(browser: Client, alice: Principal) -> None:
    User.objects.get(id=alice.user_id).emailaddress_set.create(  # type: ignore[attr-defined]
        email=alice.user_email, primary=True, verified=True
    )
    sign_in(browser, alice)
    change = {"oldpassword": PASSWORD, "password1": CHOSEN, "password2": CHOSEN}
    assert browser.post("/account/password/change/", change).status_code == 302
    assert told(alice.tenant_id, "password.changed") == [{}]
    browser.post("/account/email/", {"action_add": "", "email": f"new-{alice.user_email}"})
    assert told(alice.tenant_id, "email.added") == [{}]
    browser.post("/account/email/", {"action_remove": "", "email": f"new-{alice.user_email}"})
    assert told(alice.tenant_id, "email.removed") == [{}]
    assert CHOSEN not in everything_told(alice.tenant_id)


def test_leaving_is_told(alice: Principal) -> None:
    session_of(alice).post("/logout/")
    assert told(alice.tenant_id, "session.ended") == [{}]


def test_sessions_ended_from_the_list_are_told(alice: Principal) -> None:
    desk, phone, tablet, shared = (Client(REMOTE_ADDR=new_address()) for _ in range(4))
    for one in (desk, phone, tablet, shared):
        sign_in(one, alice)
    row = UserSession.objects.get(session_key=phone.session.session_key)
    desk.post(f"/account/sessions/{row.pk}/end/")
    assert told(alice.tenant_id, "session.ended") == [{"from": "list", "sessions": 1}]
    desk.post(f"/account/sessions/{row.pk}/end/")
    assert len(told(alice.tenant_id, "session.ended")) == 1, "it had ended already"
    desk.post("/account/sessions/end-others/")
    assert told(alice.tenant_id, "session.ended")[1:] == [{"from": "list", "sessions": 2}]


def cannot_write(*_: Any, **__: Any) -> None:
    raise OperationalError("canceling statement due to lock timeout")


def test_what_cannot_be_told_at_once_shows_no_error_and_is_told_later(
    browser: Client, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(browser, alice)
    monkeypatch.setattr(sign_in_log, "LEFT_SECONDS", -1)
    with monkeypatch.context() as patch:
        patch.setattr(audit, "record", cannot_write)
        change = {"oldpassword": PASSWORD, "password1": CHOSEN, "password2": CHOSEN}
        assert browser.post("/account/password/change/", change).status_code == 302
        assert User.objects.get(id=alice.user_id).check_password(CHOSEN)
        wrong = Client(REMOTE_ADDR=new_address())
        assert wrong.post("/login/", {"email": alice.user_email, "password": WRONG}).status_code == 400
        assert sign_in_log.tell_notes() == 0
    assert told(alice.tenant_id, "password.changed") == told(alice.tenant_id, "sign_in.failed") == []
    a_minute_later(alice)
    sign_in_log.tell_notes()
    sign_in_log.tell_notes()
    sign_in_log.tell_the_rest()
    (late,) = told(alice.tenant_id, "password.changed")
    assert set(late) == {"noted_at"}
    entry = AuditEntry.objects.using("engine").get(tenant_id=alice.tenant_id, action="password.changed")
    assert (entry.actor_id, entry.address) == (alice.user_id, browser.defaults["REMOTE_ADDR"])
    assert [one["tries"] for one in told(alice.tenant_id, "sign_in.failed")] == [1]


@pytest.mark.parametrize("what", ["password", "app", "sessions"])
def test_what_cannot_even_be_noted_is_not_done(
    browser: Client, alice: Principal, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    sign_in(browser, alice)
    other = session_of(alice)
    monkeypatch.setattr(
        sign_in_log, "_NOTE", "INSERT INTO accounts_pendingnote (id) VALUES (%s) /* %s %s %s %s %s %s %s */"
    )
    browser.raise_request_exception = False
    if what == "password":
        change = {"oldpassword": PASSWORD, "password1": CHOSEN, "password2": CHOSEN}
        assert browser.post("/account/password/change/", change).status_code >= 500
    elif what == "app":
        browser.get("/account/second-factor/totp/activate/")
        code = code_of(browser.session["mfa.totp.secret"])
        assert browser.post("/account/second-factor/totp/activate/", {"code": code}).status_code >= 500
    else:
        sign_in(Client(REMOTE_ADDR=new_address()), alice)
        before = UserSession.objects.filter(user_id=alice.user_id).count()
        assert browser.post("/account/sessions/end-others/").status_code >= 500
        assert UserSession.objects.filter(user_id=alice.user_id).count() == before
    assert User.objects.get(id=alice.user_id).check_password(PASSWORD)
    assert not Authenticator.objects.filter(user_id=alice.user_id).exists()
    assert browser.get("/chat/").status_code == other.get("/chat/").status_code == 200
