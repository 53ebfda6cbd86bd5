"""What the settings of an installation behind HTTPS make of cookies, headers and redirects."""

import os
import subprocess
import sys

import httpx
import pytest

from tests.hardening.conftest import BEHIND_A_PROXY
from tests.servers import ROOT

# Django's checks of headers and cookies ask whether its own middleware is there, by name: ours is told as what it is.
CHECK = """
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.utils.module_loading import import_string
call_command("check", deploy=True, fail_level="WARNING")
given = [import_string(name) for name in settings.MIDDLEWARE]
bases = [next((b for b in getattr(one, "__mro__", ()) if b.__module__.startswith("django.")), one) for one in given]
settings.MIDDLEWARE = [f"{one.__module__}.{one.__qualname__}" for one in bases]
assert "django.middleware.security.SecurityMiddleware" in settings.MIDDLEWARE
settings.SILENCED_SYSTEM_CHECKS = ["auth.W004", "security.W021"]
call_command("check", deploy=True, fail_level="WARNING")
"""


def test_djangos_deployment_check_has_nothing_to_say() -> None:
    """As `manage.py check --deploy` has it, and once more with what it does not find by its name."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        cwd=ROOT,
        env=os.environ | BEHIND_A_PROXY | {"DJANGO_SETTINGS_MODULE": "chatproject.settings"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("no issues") == 2


def test_headers_cookies_and_redirects_behind_https(visitor: httpx.Client) -> None:
    page = visitor.get("/login/")
    assert page.status_code == 200, page.text[:300]
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    cookies = page.headers.get_list("Set-Cookie")
    assert cookies
    for cookie in cookies:
        assert cookie.startswith("__Host-")
        assert {"secure", "path=/", "samesite=lax"} <= {part.strip().lower() for part in cookie.split(";")}
        assert "domain=" not in cookie.lower()
    for path, kind in (("css/base.css", "text/css"), ("js/theme.js", "text/javascript"), ("icon.svg", "image/svg")):
        file = visitor.get(f"/static/{path}")
        assert file.status_code == 200
        assert file.headers["Content-Type"].startswith(kind)
        assert "charset=" in file.headers["Content-Type"] or kind.startswith("image")
        assert file.headers["Strict-Transport-Security"] == page.headers["Strict-Transport-Security"]
        assert "frame-ancestors 'none'" in file.headers["Content-Security-Policy"]
    plain = visitor.get("/login/", headers={"X-Forwarded-Proto": "http"})
    assert (plain.status_code, plain.headers["Location"]) == (301, "https://chat.example.org/login/")
    inside = httpx.get(visitor.base_url.join("/healthz"), trust_env=False)
    assert inside.status_code == 200, "asked from inside, without HTTPS"


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
    policy = told["content-security-policy"]
    for directive in ("default-src 'self'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"):
        assert directive in policy
    assert "unsafe" not in policy
    if not path.startswith("/static/"):
        assert told["x-frame-options"] == "DENY"


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST"])
def test_other_origins_are_given_nothing(method: str) -> None:
    from django.test import Client

    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answered = Client(REMOTE_ADDR="10.9.8.6").generic(method, "/api/v1/conversations/", headers=asked)
    assert [name for name in answered.headers if name.lower().startswith("access-control-")] == []
