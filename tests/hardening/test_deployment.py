"""What the settings of an installation behind HTTPS make of cookies, headers and redirects."""

import os
import subprocess
import sys

import httpx
import pytest

from tests.product import web_server
from tests.servers import ROOT

HTTPS = {"BASE_URL": "https://chat.example.org", "ALLOWED_HOSTS": "chat.example.org,127.0.0.1", "DEBUG": "0"}
BEHIND_A_PROXY = HTTPS | {"TRUSTED_PROXIES": "127.0.0.1", "SECURE_COOKIES": ""}
VISITED = {"Host": "chat.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.5"}


def test_djangos_deployment_check_has_nothing_to_say() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=os.environ | BEHIND_A_PROXY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout + done.stderr


def test_headers_cookies_and_redirects_behind_https() -> None:
    with web_server("daphne", **BEHIND_A_PROXY) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        page = client.get("/login/", headers=VISITED)
        assert page.status_code == 200, page.text[:300]
        assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
        cookies = page.headers.get_list("Set-Cookie")
        assert cookies
        for cookie in cookies:
            assert cookie.startswith("__Host-")
            assert {"secure", "path=/", "samesite=lax"} <= {part.strip().lower() for part in cookie.split(";")}
            assert "domain=" not in cookie.lower()
        plain = client.get("/login/", headers=VISITED | {"X-Forwarded-Proto": "http"})
        assert (plain.status_code, plain.headers["Location"]) == (301, "https://chat.example.org/login/")
        assert client.get("/healthz").status_code == 200, "asked from inside, without HTTPS"


@pytest.mark.parametrize("path", ["/login/", "/api/v1/accounts/me/", "/v1/models", "/static/css/base.css", "/nowhere"])
def test_every_answer_carries_the_headers(path: str) -> None:
    from django.test import Client

    answered = Client(REMOTE_ADDR="10.9.8.7").get(path)
    told = {name.lower(): value for name, value in answered.headers.items()}
    assert told["x-content-type-options"] == "nosniff"
    assert told["referrer-policy"] == "same-origin"
    assert told["cross-origin-opener-policy"] == "same-origin"
    assert told["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in told["permissions-policy"]
    assert "access-control-allow-origin" not in told
    if not path.startswith("/static/"):
        policy = told["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "object-src 'none'" in policy
        assert "unsafe" not in policy
        assert told["x-frame-options"] == "DENY"


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST"])
def test_other_origins_are_given_nothing(method: str) -> None:
    from django.test import Client

    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answered = Client(REMOTE_ADDR="10.9.8.6").generic(method, "/api/v1/conversations/", headers=asked)
    assert [name for name in answered.headers if name.lower().startswith("access-control-")] == []
