"""A code of the second factor opens the way past waits and puzzles, and tells strangers nothing."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from allauth.core import ratelimit
from django.conf import settings
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import override_settings

from apps.accounts import failed_tries
from apps.tenants.contracts import Principal
from apps.tenants.edge import sign_in_guard
from apps.tenants.models import AuditEntry
from tests.accounts.codes import code_of
from tests.accounts.test_guesses import STEP_UP, after, ask, guess, solved, stranger
from tests.accounts.test_second_factor_steps import ASKED, a_wrong_code, enters, set_up, sign_in
from tests.people import PASSWORD, new_address


@pytest.fixture
def browser() -> Client:
    return stranger()


@pytest.fixture(autouse=True)
def quick_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in_guard, "EVEN_SECONDS", 0.0)


def test_refusing_a_code_takes_as_long_for_nobody(
    browser: Client, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, _codes = set_up(browser, alice)
    monkeypatch.setattr(sign_in_guard, "EVEN_SECONDS", 0.2)
    for user_id in (alice.user_id, None):
        began = time.monotonic()
        assert sign_in_guard._factor(user_id, a_wrong_code(secret)) is None
        assert time.monotonic() - began >= 0.2


def counted(kind: str, person: Principal) -> int:
    return failed_tries.state(failed_tries.subject(kind, person.user_email)).failures


def told(person: Principal, action: str) -> list[str]:
    sign_in_guard._afterwards.submit(lambda: None).result(timeout=10)
    rows = AuditEntry.objects.using("engine").filter(tenant_id=person.tenant_id, action=action)
    return [row.data["method"] for row in rows.order_by("seq")]


@pytest.mark.parametrize("failures", [STEP_UP - 1, STEP_UP + 20])
def test_the_owner_comes_in_with_a_code_while_strangers_guess(browser: Client, alice: Principal, failures: int) -> None:
    secret, codes = set_up(browser, alice)
    after(alice.user_email, failures=failures, seconds=0)
    phone = stranger()
    page = guess(alice.user_email, PASSWORD, phone)
    assert page.status_code == 429 and 'name="code"' in page.content.decode()
    assert guess(alice.user_email, PASSWORD, phone, code=code_of(secret))["Location"] == "/chat/"
    assert enters(phone), "the code is not asked for a second time"
    assert (counted("password", alice), counted("code", alice)) == (0, 0)
    after(alice.user_email, failures=failures, seconds=0)
    assert ask(alice.user_email, PASSWORD, otp=codes[0]).status_code == 200
    assert told(alice, "sign_in.step_up_passed") == ["second_factor"]
    rows = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id, action="recovery_code.used")
    assert rows.count() == 1


def test_a_code_is_good_for_one_guess_and_five_wrong_ones_shut_this_way(browser: Client, alice: Principal) -> None:
    secret, codes = set_up(browser, alice)
    after(alice.user_email, failures=STEP_UP, seconds=0)
    assert guess(alice.user_email, "wrong", code=codes[0]).status_code == 400, "the password is looked at"
    assert guess(alice.user_email, PASSWORD, code=codes[0]).status_code == 429, "it was used"
    for _ in range(failed_tries.FREE - 2):
        assert guess(alice.user_email, PASSWORD, code=a_wrong_code(secret)).status_code == 429
    assert guess(alice.user_email, PASSWORD, code=code_of(secret)).status_code == 429, "not even with the right one"
    assert counted("password", alice) == STEP_UP, "refused tries prolong no wait"


def test_whoever_has_no_code_learns_nothing(browser: Client, alice: Principal, mallory: Principal) -> None:
    """Wrong and right passwords, people with a factor and without, and nobody at all are refused in one way."""
    secret, _codes = set_up(browser, alice)
    wrong = a_wrong_code(secret)
    for seconds in (0, 301):
        told_apart = set()
        for email, password in (
            (alice.user_email, PASSWORD),
            (alice.user_email, "wrong"),
            (mallory.user_email, PASSWORD),
            (f"nobody-{alice.user_id}@example.org", "wrong"),
        ):
            after(email, failures=STEP_UP + 5, seconds=seconds)
            answer = ask(email, password, otp=wrong)
            told_apart.add((answer.status_code, answer.json()["code"]))
            page = guess(email, password, code=wrong)
            assert page.status_code == answer.status_code
        assert len(told_apart) == 1
    assert not told(mallory, "sign_in.step_up_passed")


def test_a_solved_puzzle_is_told(alice: Principal) -> None:
    after(alice.user_email, failures=STEP_UP)
    assert guess(alice.user_email, PASSWORD, proof=solved(sign_in_guard.puzzle(alice.user_email))).status_code == 302
    assert told(alice, "sign_in.step_up_passed") == ["work"]


@override_settings(CACHES={"default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}})
def test_wrong_codes_are_counted_over_page_and_programs_without_the_cache(browser: Client, alice: Principal) -> None:
    secret, codes = set_up(browser, alice)
    wrong = a_wrong_code(secret)
    for number in range(5):
        if number % 2:
            assert ask(alice.user_email, PASSWORD, otp=wrong).json()["code"] == "second_factor_refused"
        else:
            tried = stranger()
            sign_in(tried, alice)
            assert "Incorrect code" in tried.post(ASKED, {"code": wrong}).content.decode()
    assert sign_in(stranger(), alice).startswith(ASKED), "the password's own count begins anew, and this does not"
    assert ask(alice.user_email, PASSWORD, otp=codes[0]).json()["code"] == "too_many_tries"
    late = stranger()
    sign_in(late, alice)
    assert late.post(ASKED, {"code": codes[0]}).status_code == 200
    assert not enters(late)
    with connection.cursor() as cursor:
        subject = "UPDATE accounts_rateuse SET uses = ARRAY(SELECT one - interval '301 seconds' FROM unnest(uses) one)"
        cursor.execute(subject)
    assert late.post(ASKED, {"code": codes[0]})["Location"] == "/chat/", "five minutes later"


def test_of_many_uses_at_once_no_more_are_counted_than_may_be(alice: Principal) -> None:
    request = RequestFactory().post("/", REMOTE_ADDR=new_address())

    def use(_number: int) -> bool:
        try:
            return bool(ratelimit.consume(request, action="reset_password", key=alice.user_email))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(use, range(24))) == 5
