"""Guesses at one account: they wait, they have to prove themselves, and they lock nobody out."""

import hashlib
import itertools
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import override_settings

from apps.accounts import captcha, failed_tries
from apps.outbound import Policy
from apps.tenants.contracts import Principal
from apps.tenants.edge import sign_in_guard
from apps.tenants.models import AuditEntry
from tests.people import PASSWORD, new_address

TOKEN = "/api/v1/accounts/token/"
STEP_UP = sign_in_guard.STEP_UP


def stranger() -> Client:
    return Client(REMOTE_ADDR=new_address())


def guess(email: str, password: str = "wrong", browser: Client | None = None, **more: str) -> Any:
    return (browser or stranger()).post("/login/", {"email": email, "password": password, **more})


def ask(email: str, password: str = "wrong", **more: str) -> Any:
    return stranger().post(TOKEN, {"email": email, "password": password, **more}, content_type="application/json")


def after(email: str, *, failures: int, seconds: int = 301) -> None:
    """So many failures, the last of them so long ago."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_failedtries VALUES (%s, %s, clock_timestamp() - make_interval(secs => %s)) "
            "ON CONFLICT (subject) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at",
            [failed_tries.subject("password", email), failures, seconds],
        )


def solved(puzzle: str) -> str:
    bits = int(puzzle.split(".")[0])
    for number in itertools.count():
        answer = f"{puzzle}|{number}"
        if int.from_bytes(hashlib.sha256(answer.encode()).digest(), "big") >> (256 - bits) == 0:
            return answer
    raise AssertionError


def puzzle_for(email: str, browser: Client | None = None) -> str | None:
    """As the page asks for it before it sends the form."""
    found: str | None = (browser or stranger()).post("/login/puzzle/", {"email": email}).json()["puzzle"]
    return found


def test_an_attack_from_everywhere_waits_and_its_target_comes_in_where_they_were_before(alice: Principal) -> None:
    home = stranger()
    assert guess(alice.user_email, PASSWORD, home).status_code == 302
    home.post("/logout/")
    answers = [guess(alice.user_email) for _ in range(30)]
    assert [one.status_code for one in answers[:6]] == [400] * 5 + [429]
    assert 1 <= int(answers[5]["Retry-After"]) <= 5
    assert [one.status_code for one in answers].count(400) <= 8, "whatever time they took"
    after(alice.user_email, failures=9, seconds=0)
    assert guess(alice.user_email, PASSWORD).status_code == 429, "not even with the right one"
    assert ask(alice.user_email, PASSWORD).status_code == 429
    assert guess(alice.user_email, PASSWORD, home).status_code == 302, "their own device is not locked out"


def test_waits_grow_up_to_five_minutes_and_end(alice: Principal) -> None:
    waits = []
    for failures in (4, 5, 6, 7, 10, 11, 12, 1000):
        after(alice.user_email, failures=failures, seconds=0)
        waits.append(failed_tries.state(failed_tries.subject("password", alice.user_email)).wait_seconds)
    assert waits == [0, 5, 10, 20, 160, 300, 300, 300]
    after(alice.user_email, failures=9, seconds=81)
    assert guess(alice.user_email, PASSWORD).status_code == 302
    assert failed_tries.state(failed_tries.subject("password", alice.user_email)).failures == 0
    after(alice.user_email, failures=1000, seconds=86_401)
    assert guess(alice.user_email, PASSWORD).status_code == 302, "a day later it is forgotten"


def test_of_many_guesses_at_once_no_more_are_made_than_one_after_the_other(alice: Principal) -> None:
    subject = failed_tries.subject("password", alice.user_email)

    def take(_number: int) -> bool:
        try:
            return failed_tries.take(subject)
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as threads:
        assert sum(threads.map(take, range(60))) == failed_tries.FREE


def test_an_address_that_nobody_has_is_answered_alike(alice: Principal) -> None:
    told = []
    for email in (alice.user_email, f"nobody-{uuid4().hex}@example.org"):
        seen = []
        for failures in (0, 4, 5, 9, STEP_UP, STEP_UP + 5):
            for seconds in (0, 301):
                after(email, failures=failures, seconds=seconds)
                for answer in (guess(email), ask(email)):
                    text = re.sub(r'csrfmiddlewaretoken" value="[^"]+|nonce-?="?[\w-]+', "", answer.content.decode())
                    text = text.replace(email, "").replace(email.partition("@")[0], "")
                    text = re.sub(r"\d+\.\d+\.[0-9a-f]{32}\.[0-9a-f]{32}:[\w-]+", "", text)
                    seen.append((answer.status_code, len(re.sub(r"\d+ seconds|[0-9a-f-]{32,36}", "", text))))
        told.append(seen)
    assert told[0] == told[1]
    assert {400, 401, 403, 429} == {status for status, _length in told[0]}


def test_after_ten_failures_a_solved_puzzle_opens_the_way_once(alice: Principal) -> None:
    after(alice.user_email, failures=STEP_UP)
    page = guess(alice.user_email, PASSWORD)
    assert page.status_code == 403 and "your browser runs none" in page.content.decode()
    answer = solved(puzzle_for(alice.user_email) or "")
    assert guess(alice.user_email, PASSWORD, proof=answer + "0").status_code == 403
    assert guess(alice.user_email, proof=answer).status_code == 400, "the password is looked at"
    after(alice.user_email, failures=STEP_UP)
    assert guess(alice.user_email, PASSWORD, proof=answer).status_code == 403, "it was used"
    again = solved(puzzle_for(alice.user_email) or "")
    assert guess(alice.user_email, PASSWORD, proof=again).status_code == 302


def test_a_page_is_told_of_a_puzzle_before_it_sends_anything(alice: Principal) -> None:
    home, nobody = stranger(), f"nobody-{uuid4().hex}@example.org"
    guess(alice.user_email, PASSWORD, home)
    for email in (alice.user_email, nobody):
        assert puzzle_for(email) is None
        after(email, failures=STEP_UP)
        assert (puzzle_for(email) or "").startswith(f"{captcha.BITS}.")
        assert failed_tries.state(failed_tries.subject("password", email)).failures == STEP_UP, "asking is no try"
        assert (puzzle_for(email, home) is None) == (email == alice.user_email), "their own device is asked for none"
        after(email, failures=STEP_UP, seconds=0)
        assert puzzle_for(email) is None, "waiting comes first"


def test_a_puzzle_is_for_one_address_and_ten_minutes(
    alice: Principal, mallory: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = solved(sign_in_guard.puzzle(mallory.user_email))
    after(alice.user_email, failures=STEP_UP)
    assert guess(alice.user_email, PASSWORD, proof=answer).status_code == 403
    answer = solved(sign_in_guard.puzzle(alice.user_email))
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(captcha.time, "time", lambda: now + captcha.LIFE_SECONDS + 2)
        assert guess(alice.user_email, PASSWORD, proof=answer).status_code == 403
    assert guess(alice.user_email, PASSWORD, proof=answer).status_code == 302


def test_programs_solve_it_too_and_a_lost_cache_forgets_nothing(alice: Principal) -> None:
    unreachable = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    after(alice.user_email, failures=STEP_UP)
    with override_settings(CACHES={"default": unreachable}):
        refused = ask(alice.user_email, PASSWORD)
        assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
        (puzzle,) = refused.json()["errors"]["proof"]
        assert ask(alice.user_email, PASSWORD, proof=solved(puzzle)).status_code == 200


def test_a_device_has_so_many_tries_of_its_own(alice: Principal) -> None:
    home = stranger()
    guess(alice.user_email, PASSWORD, home)
    home.post("/logout/")
    after(alice.user_email, failures=STEP_UP, seconds=0)
    statuses = [guess(alice.user_email, "wrong", home).status_code for _ in range(7)]
    assert statuses == [400] * 5 + [429] * 2
    forged = stranger()
    forged.cookies["device"] = home.cookies["device"].value[:-3] + "abc"
    assert guess(alice.user_email, PASSWORD, forged).status_code == 429


def test_what_was_refused_is_in_the_audit_log(alice: Principal) -> None:
    after(alice.user_email, failures=STEP_UP, seconds=0)
    guess(alice.user_email)
    after(alice.user_email, failures=STEP_UP)
    guess(alice.user_email)
    sign_in_guard._afterwards.submit(lambda: None).result(timeout=10)
    rows = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id, action="sign_in.throttled")
    assert [row.data for row in rows.order_by("seq")] == [
        {"method": "waiting", "tries": 1},
        {"method": "step_up", "tries": 1},
    ]


@pytest.fixture
def verifier() -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """What speaks like Turnstile and hCaptcha; it takes the answer `human` alone."""
    asked: list[dict[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            body = b'{"success": true}' if asked[-1]["response"] == ["human"] else b'{"success": false}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/siteverify", asked
    server.shutdown()
    server.server_close()


def test_a_captcha_that_is_set_up_is_asked(
    alice: Principal, verifier: tuple[str, list[dict[str, list[str]]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = verifier
    site = captcha.SiteVerify(url, "site-key", "the-secret", Policy.parse("127.0.0.1/32"))
    monkeypatch.setattr(captcha, "captcha", lambda: site)
    after(alice.user_email, failures=STEP_UP)
    page = guess(alice.user_email, PASSWORD)
    assert page.status_code == 403
    assert 'data-sitekey="site-key"' in page.content.decode() and "the-secret" not in page.content.decode()
    assert asked == []
    answer = {"cf-turnstile-response": "robot"}
    assert guess(alice.user_email, PASSWORD, **answer).status_code == 403
    browser = stranger()
    assert guess(alice.user_email, PASSWORD, browser, **{"cf-turnstile-response": "human"}).status_code == 302
    assert [one["response"] for one in asked] == [["robot"], ["human"]]
    assert asked[1]["secret"] == ["the-secret"] and asked[1]["remoteip"] == [browser.defaults["REMOTE_ADDR"]]
    strict = captcha.SiteVerify(url, "site-key", "the-secret", Policy())
    assert not strict.is_solved("", "human", ""), "what may be called is asked of the one guard"
