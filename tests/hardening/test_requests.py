"""What a request says in the wrong place, twice, or beyond what was asked for, counts for nothing."""

import json
import re
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.test import Client

from apps.accounts.edge.forms import SignInForm, SignUpForm
from apps.accounts.models import User
from apps.tenants import services
from apps.tenants.contracts import Principal
from apps.tenants.edge import middleware, tokens
from tests.hardening.conftest import VISITED
from tests.people import PASSWORD, new_address, session_of
from tests.product import WebServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["api_key", "access_token", "token", "key", "Authorization", "authorization", "auth"])
def test_a_credential_in_the_address_opens_nothing(
    alice: Principal, api_key_of: Callable[[Principal], str], name: str
) -> None:
    for credential in (api_key_of(alice), tokens.issue(alice).access):
        for path in ("/v1/models", "/api/v1/accounts/me/"):
            assert Client(REMOTE_ADDR=new_address()).get(path, {name: credential}).status_code == 401
            sent = {"Authorization": f"Bearer {credential}"}
            assert Client(REMOTE_ADDR=new_address()).get(path, headers=sent).status_code == 200


def test_a_session_in_the_address_opens_nothing(alice: Principal) -> None:
    key = session_of(alice).cookies[settings.SESSION_COOKIE_NAME].value
    asked = {settings.SESSION_COOKIE_NAME: key, "session": key, "session_key": key}
    assert Client(REMOTE_ADDR=new_address()).get("/api/v1/accounts/me/", asked).status_code == 401


def test_what_belongs_into_the_body_is_not_read_from_the_address(alice: Principal) -> None:
    address = f"?email={alice.user_email}&password={PASSWORD}&name=fromtheaddress"
    stranger = Client(REMOTE_ADDR=new_address())
    assert stranger.post(f"/login/{address}").status_code == 400
    assert stranger.post(f"/api/v1/accounts/token/{address}", {}, "application/json").status_code == 400
    browser = session_of(alice)
    assert browser.post(f"/api/v1/api-keys/{address}", {}, "application/json").status_code == 400
    cookies = session_of(alice)
    cookies.cookies["name"] = "fromacookie"
    assert cookies.post("/api/v1/api-keys/", {}, "application/json").status_code == 400


def test_a_field_of_another_kind_is_refused(alice: Principal) -> None:
    browser = session_of(alice)
    for name in ([], {}, ["x"], {"$ne": ""}, None, True):
        refused = browser.post("/api/v1/api-keys/", {"name": name}, "application/json")
        assert refused.status_code == 400, name
    for body in ([], "x", 7, None, True):
        assert browser.post("/api/v1/api-keys/", json.dumps(body), "application/json").status_code == 400, body


SHOWN_NOWHERE = re.compile(
    r"password|passwd|digest|sealed|pepper|seed|secret(?!_keys)|token(?!s)|is_staff|is_superuser"
)


def names(told: Any) -> Iterator[str]:
    if isinstance(told, dict):
        yield from told
        for value in told.values():
            yield from names(value)
    elif isinstance(told, list):
        for value in told:
            yield from names(value)


@pytest.mark.parametrize(
    "path",
    [
        *("accounts/me/", "members/", "tenant/", "teams/", "invitations/", "api-keys/", "accounts/tokens/", "audit/"),
        *("models/", "conversations/", "model-rules/", "identity-providers/"),
    ],
)
def test_answers_hold_no_field_that_is_nobodys_to_read(alice: Principal, path: str) -> None:
    services.create_api_key(alice, "listed")
    tokens.issue(alice, "a program")
    told = session_of(alice).get(f"/api/v1/{path}")
    assert told.status_code == 200
    # Of earlier secrets their prefixes are told, and when they end.
    allowed = {"has_secret", "requires_second_factor", "next_page_token", "max_first_token_ms", "earlier_secrets"}
    assert {name for name in names(told.json()) if SHOWN_NOWHERE.search(name)} - allowed == set()
    assert User.objects.get(id=alice.user_id).password not in told.content.decode()


def test_no_hint_or_question_stands_beside_a_password() -> None:
    kept = {field.name for field in User._meta.get_fields() if field.concrete}
    assert not {name for name in kept if re.search("hint|question|answer|reminder|birth|maiden", name)}
    assert set(SignInForm.base_fields) == {"email", "password", "code"}
    assert set(SignUpForm.base_fields) == {"name", "email", "password", "tenant_name"}


@pytest.mark.parametrize("path", ["/login/", "/signup/", "/account/reauthenticate/", "/account/password/change/"])
def test_password_fields_are_masked_and_filled_by_helpers(alice: Principal, path: str) -> None:
    browser = Client(REMOTE_ADDR=new_address())
    if path.startswith("/account/"):
        browser.post("/login/", {"email": alice.user_email, "password": PASSWORD})
    page = browser.get(path).content.decode()
    fields = [one for one in re.findall(r"<input[^>]*>", page) if "password" in one]
    assert fields
    for one in fields:
        assert 'type="password"' in one
        assert re.search(r'autocomplete="(current|new)-password"', one), one
        assert ("onpaste" not in one and "readonly" not in one and "maxlength" not in one) or 'maxlength="1024"' in one
    scripts = "".join(script.read_text() for script in (ROOT / "static/js").glob("*.js"))
    assert not re.search(r"""["']paste["']|onpaste""", scripts), "nothing listens to pasting"


@pytest.mark.parametrize(
    "path", ["/chat/", "/settings/keys/", "/settings/workspace/", "/account/sessions/", "/account/second-factor/"]
)
def test_every_page_lets_one_sign_out(alice: Principal, path: str) -> None:
    page = session_of(alice).get(path).content.decode()
    assert re.search(r'<form method="post" action="/logout/" data-leaves>', page)


def asked(server: WebServer, path: str) -> tuple[int, bytes]:
    """The path as it is written: clients put dots and slashes in order before they send them."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.putrequest("GET", path, skip_host=True)
        for name, value in VISITED.items():
            connection.putheader(name, value)
        connection.endheaders()
        answered = connection.getresponse()
        return answered.status, answered.read()
    finally:
        connection.close()


OF_THE_SOURCE = [
    *("/.git/HEAD", "/.git/config", "/.svn/entries", "/.env", "/static/.git/HEAD", "/static/.env", "/manage.py"),
    *("/static/../manage.py", "/static/%2e%2e/manage.py", "/static/..%2fmanage.py", "/static/%2e%2e%2fmanage.py"),
    *(
        "/static/../../chatproject/settings.py",
        "/static/js/../../manage.py",
        "/static//manage.py",
        "/static/..\\manage.py",
    ),
    *(f"/static/{ROOT}/manage.py", f"/static//{ROOT}/manage.py", f"/static/%2f{str(ROOT)[1:]}/manage.py"),
    *("/requirements.txt", "/static/../secrets.json", "/static/staticfiles.json%00.css", "/static/css/base.css%00.py"),
]


def test_nothing_of_the_source_is_served(behind_https: WebServer) -> None:
    source = (ROOT / "manage.py").read_bytes()
    for path in OF_THE_SOURCE:
        status, body = asked(behind_https, path)
        assert status in (400, 404), (path, status)
        assert source not in body and b"import" not in body, path
    for file in ("css/base.css", "js/composer.js", "icon.svg"):
        told = asked(behind_https, f"/static/{file}")
        assert told == (200, (ROOT / "static" / file).read_bytes()), f"{file} is for everybody"


def test_the_image_takes_in_what_is_named_and_no_history() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert not [line for line in lines if line.startswith("!") and re.search(r"\.git|\.env|tests|docs|var\b", line)]


def test_folders_are_not_listed(behind_https: WebServer) -> None:
    for path in ("/static/", "/static", "/static/js/", "/static/js", "/static/css/", "/static/css/."):
        status, body = asked(behind_https, path)
        assert status == 404, (path, status)
        assert b"composer.js" not in body and b"base.css" not in re.sub(rb"/static/css/base\.css", b"", body), path


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What the doors log."""
    seen: list[tuple[str, dict[str, Any]]] = []

    class Log:
        def __getattr__(self, _level: str) -> Callable[..., None]:
            return lambda event, **fields: seen.append((event, fields))

    monkeypatch.setattr(middleware, "log", Log())
    return seen


def test_a_refused_action_is_logged(bob: Principal, logged: list[tuple[str, dict[str, Any]]]) -> None:
    assert session_of(bob).get("/api/v1/audit/").status_code == 403
    assert ("door.refused", {"action": "audit.read", "role": "member", "via": "session"}) in logged
    request = next(fields for event, fields in logged if event == "request")
    assert (request["status"], request["user_id"]) == (403, str(bob.user_id))


def test_a_refused_credential_is_logged_without_it(alice: Principal, logged: list[tuple[str, dict[str, Any]]]) -> None:
    narrow = services.create_api_key(alice, "narrow", ["chat"]).secret
    for credential, code in ((narrow, "insufficient_scope"), ("sk-sb-nonsense", "invalid_credentials")):
        sent = {"Authorization": f"Bearer {credential}"}
        Client(REMOTE_ADDR=new_address(), headers=sent).get("/api/v1/accounts/me/")
        assert ("door.credential_refused", {"code": code}) in logged
        assert credential not in str(logged)


@pytest.mark.parametrize("name", ["../../etc/passwd", "x.exe", "a\r\nX-Injected: 1", 'csv"; filename="evil.html', ""])
def test_no_file_is_named_by_a_request(alice: Principal, name: str) -> None:
    browser = session_of(alice)
    refused = browser.get("/api/v1/audit/export/", {"file": name})
    assert "X-Injected" not in refused.headers
    assert refused.status_code == 400 or 'filename="' in refused.headers["Content-Disposition"]
    told = browser.get("/api/v1/audit/export/", {"file": "csv", "filename": name, "name": name})
    assert re.fullmatch(r'attachment; filename="[a-z0-9-]+\.csv"', told.headers["Content-Disposition"])
