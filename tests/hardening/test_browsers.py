"""What browsers are told beside the page: how long to keep it, who may use it, and what a cookie is for."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.test import Client
from django.test.utils import override_settings

from apps.tenants.contracts import Principal
from tests.people import PASSWORD, new_address, session_of

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = (
    "/chat/",
    "/settings/keys/",
    "/settings/workspace/",
    "/settings/workspace/audit/",
    "/account/sessions/",
    "/account/second-factor/",
    "/account/password/change/",
    "/api/v1/accounts/me/",
    "/api/v1/conversations/",
    "/api/v1/models/",
    "/api/v1/members/",
    "/api/v1/api-keys/",
    "/api/v1/audit/",
    "/v1/models",
)


@pytest.mark.parametrize("path", PRIVATE)
def test_what_a_person_is_shown_is_kept_nowhere(alice: Principal, path: str) -> None:
    answered = session_of(alice).get(path, follow=True)
    assert answered.status_code == 200, path
    assert "no-store" in answered.headers["Cache-Control"]
    assert Client(REMOTE_ADDR=new_address()).get(path).headers["Cache-Control"].count("no-store") == 1


@pytest.mark.parametrize("path", [*PRIVATE, "/login/", "/nowhere", "/api/v1/nowhere", "/healthz", "/api/schema/"])
def test_every_body_says_what_it_is(alice: Principal, path: str) -> None:
    answered = session_of(alice).get(path, follow=True)
    kind = answered.headers["Content-Type"]
    assert re.fullmatch(r"text/html; charset=utf-8|application/(problem\+)?json|application/vnd\.oai\.openapi.*", kind)
    if "html" in kind:
        assert answered.content.lstrip().startswith(b"<!doctype html>")
    if "json" in kind:
        answered.json()


@pytest.mark.parametrize("path", ["/", "/login/", "/chat/", "/api/v1/accounts/me/", "/v1/models", "/static/x.css"])
def test_trace_is_answered_nowhere(path: str) -> None:
    answered = Client(REMOTE_ADDR=new_address()).generic("TRACE", path, headers={"X-Secret": "told back"})
    assert answered.status_code == 405
    assert "told back" not in answered.content.decode()
    assert "TRACE" not in answered.headers["Allow"]
    assert "default-src 'self'" in answered.headers["Content-Security-Policy"]


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_makes_another_method_of_a_request(alice: Principal, header: str) -> None:
    browser = session_of(alice)
    key = browser.post("/api/v1/api-keys/", {"name": "kept"}, "application/json").json()["id"]
    for method in ("get", "post"):
        getattr(browser, method)(f"/api/v1/api-keys/{key}/?_method=DELETE", headers={header: "DELETE"})
    form = {"_method": "DELETE"}
    browser.post(f"/api/v1/api-keys/{key}/", form, headers={header: "DELETE"})
    listed = {one["id"]: one for one in browser.get("/api/v1/api-keys/").json()}
    assert listed[key]["revoked_at"] is None
    assert browser.delete(f"/api/v1/api-keys/{key}/").status_code == 204, "the method itself does it"


def test_notices_take_no_cookie_of_their_own(alice: Principal) -> None:
    browser = session_of(alice)
    key = browser.post("/api/v1/api-keys/", {"name": "gone"}, "application/json").json()["id"]
    answered = browser.post(f"/settings/keys/{key}/revoke/", follow=True)
    assert "The key is revoked." in answered.content.decode()
    assert set(browser.cookies) <= {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME}


def test_scripts_cannot_read_the_session(alice: Principal) -> None:
    browser = Client(REMOTE_ADDR=new_address())
    answered = browser.post("/login/", {"email": alice.user_email, "password": PASSWORD})
    cookie = answered.cookies[settings.SESSION_COOKIE_NAME]
    assert cookie["httponly"] and cookie["samesite"] == "Lax"
    for path in ("/chat/", "/api/v1/accounts/me/", "/account/sessions/"):
        assert cookie.value not in browser.get(path).content.decode(), "told by the cookie alone"


def test_cookies_that_scripts_set_are_held_to_https_too() -> None:
    """The one place where a script writes a cookie; over HTTPS it has the prefix, and the attribute that demands it."""
    writing = [
        (path.name, line)
        for path in sorted((ROOT / "static/js").glob("*.js"))
        for line in path.read_text().splitlines()
        if "document.cookie" in line
    ]
    assert [name for name, _ in writing] == ["theme.js"]
    assert "samesite=lax${only}" in writing[0][1]
    script = (ROOT / "static/js/theme.js").read_text()
    assert 'location.protocol === "https:" ? ["__Host-timezone", ";secure"]' in script


def test_programs_over_plain_http_are_refused_and_people_sent_on(visitor: httpx.Client) -> None:
    plain = {"X-Forwarded-Proto": "http", "Authorization": "Bearer sk-sb-x"}
    for path in ("/v1/models", "/api/v1/accounts/me/", "/scim/v2/Users", "/identity/o/api/token"):
        refused = visitor.get(path, headers=plain)
        assert refused.status_code == 403, path
        assert "Use HTTPS" in refused.text
        assert visitor.get(path).status_code != 403, path
    assert visitor.get("/chat/", headers=plain).status_code == 301
    kept = visitor.get("/login/").headers["Strict-Transport-Security"]
    assert kept == "max-age=31536000; includeSubDomains"
    assert visitor.get("/static/nowhere.css").headers["Strict-Transport-Security"] == kept


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8000", "a b", ""])
def test_a_host_that_is_not_ours_is_refused(host: str) -> None:
    for path in ("/login/", "/account/password/reset/", "/api/v1/accounts/me/", "/sso/"):
        answered = Client(REMOTE_ADDR=new_address(), headers={"Host": host}).get(path)
        assert answered.status_code in (400, 401) or not host, path
        assert "evil.example" not in answered.content.decode()


def test_a_forwarded_host_is_not_believed() -> None:
    sent = {"X-Forwarded-Host": "evil.example", "X-Host": "evil.example", "Forwarded": "host=evil.example"}
    page = Client(REMOTE_ADDR=new_address(), headers=sent).get("/.well-known/openid-configuration")
    assert "evil.example" not in page.content.decode()


def test_a_page_that_fails_tells_no_details(alice: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.tenants import selectors

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("SELECT secret FROM kitchen")

    monkeypatch.setattr(selectors, "api_keys", fail)
    for path in ("/settings/keys/", "/api/v1/api-keys/"):
        browser = session_of(alice)
        browser.raise_request_exception = False
        answered = browser.get(path)
        assert answered.status_code == 500
        told = answered.content.decode()
        assert "kitchen" not in told and "RuntimeError" not in told and "Traceback" not in told
        assert "Try again in a moment" in told


@override_settings(DEBUG=False)
def test_metrics_are_not_for_the_internet() -> None:
    for address, status in (("127.0.0.1", 200), ("10.1.2.3", 200), ("8.8.8.8", 404), ("2a00:1450::1", 404)):
        assert Client(REMOTE_ADDR=address).get("/metrics").status_code == status, address


@pytest.fixture
def application() -> Any:
    """The whole product, with its doors for sockets."""
    from chatproject.asgi import application

    return application


@pytest.mark.parametrize(
    ("scheme", "secure", "denied"), [("ws", True, True), ("wss", True, False), ("ws", False, False)]
)
async def test_sockets_over_plain_http_are_refused_too(
    application: Any, scheme: str, secure: bool, denied: bool
) -> None:
    from channels.testing import WebsocketCommunicator

    headers = [(b"host", b"127.0.0.1"), (b"origin", b"https://127.0.0.1")]
    with override_settings(SECURE_SSL_REDIRECT=secure):
        talk = WebsocketCommunicator(application, "/ws/chat/", headers=headers)
        talk.scope["scheme"] = scheme
        accepted, _code = await talk.connect()
        assert accepted is not denied
        await talk.disconnect()
