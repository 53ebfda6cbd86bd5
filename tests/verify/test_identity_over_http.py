"""The whole way over real HTTP: a company's provider, our server, a program, and a real browser between them."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import sync_playwright

from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.tenants import oauth_clients
from apps.tenants.audit import Actor
from apps.tenants.contracts import Principal
from apps.tenants.identity_providers import Provider
from tests.identity.conftest import Company, company, company_process, query_of, set_up
from tests.identity.programs import challenge_of, signing_key
from tests.processes import Simulator
from tests.product import WebServer, celery_worker, web_server

__all__ = ["company", "company_process"]

MODEL, VERIFIER = "identity-echo", "v" * 64


@pytest.fixture
def server(company: Company) -> Iterator[WebServer]:
    keys = ",".join(signing_key() for _ in range(2))
    place = urlsplit(company.address).netloc
    with web_server("uvicorn", OAUTH_SIGNING_KEYS=keys, OUTBOUND_ALLOW=place, DEBUG="1") as found:
        yield found


@pytest.fixture
def provider(company: Company, alice: Principal, server: WebServer) -> Provider:
    return set_up(company, alice, base_url=server.url)


@pytest.fixture
def model(database: None, provider_simulator: Simulator) -> Iterator[str]:
    provider_id = routing.add_provider(
        name="Simulator of identities", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True
    )
    price = NewPrice(input_nanousd_per_mtok=100_000_000, output_nanousd_per_mtok=400_000_000)
    upstream = "bench+tokens=10+tps=0"
    routing.register_model(provider_id=provider_id, upstream_model=upstream, price=price, slug=MODEL, name="Echo")
    with celery_worker(DRAIN_SECONDS="0.2"):
        yield MODEL


@contextmanager
def program_listening() -> Iterator[tuple[str, list[str]]]:
    """A program on this machine that waits for the answer on a port of its own."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"You may close this page.")

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    listener = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_port}/signed-in", seen
    finally:
        listener.shutdown()
        listener.server_close()


def test_a_browser_signs_in_with_its_company_and_lets_a_program_in(
    company: Company, provider: Provider, server: WebServer, model: str
) -> None:
    erika = company.person(name="Erika Muster")
    client = oauth_clients.create("Pocket", ["http://127.0.0.1/signed-in"], oauth_clients.SCOPES, Actor.job("test"))
    with program_listening() as (address, seen):
        asked = {
            "response_type": "code",
            "client_id": client.id,
            "redirect_uri": address,
            "scope": "openid email chat manage",
            "state": "s-1",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        }
        authorize = requests.Request("GET", f"{server.url}/identity/o/authorize", params=asked).prepare().url
        assert authorize is not None
        _browse(company, erika.session_key, server.url, provider.slug, authorize)
        code = query_of(next(path for path in seen if path.startswith("/signed-in")))["code"]
        given = _redeem(server.url, client.id, code, address)
    _use(server.url, client.id, given, erika.email, str(provider.tenant_id), model)


def _browse(company: Company, session_key: str, url: str, slug: str, authorize: str) -> None:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context()
        context.set_default_timeout(30_000)
        context.add_cookies([{"name": "company", "value": session_key, "url": company.address}])
        page = context.new_page()
        refused: list[str] = []
        page.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
        page.goto(f"{url}/sso/")
        page.get_by_label("Sign-in name").fill(slug)
        page.get_by_role("button", name="Go on").click()
        page.wait_for_url("**/chat/")
        page.goto(authorize)
        assert page.get_by_role("heading").first.inner_text() == "Let Pocket in?"
        page.get_by_role("button", name="Let it in").click()
        page.wait_for_url("**/signed-in?*")
        assert refused == []
        browser.close()


def _redeem(url: str, client_id: str, code: str, address: str) -> dict[str, Any]:
    body = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "code": code,
        "redirect_uri": address,
        "code_verifier": VERIFIER,
    }
    token_url = requests.get(f"{url}/.well-known/openid-configuration", timeout=10).json()["token_endpoint"]
    assert token_url.startswith(url)
    answer = requests.post(token_url, body, timeout=10)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _use(url: str, client_id: str, given: dict[str, Any], email: str, tenant_id: str, model: str) -> None:
    bearer = {"Authorization": f"Bearer {given['access_token']}"}
    me = requests.get(f"{url}/api/v1/accounts/me/", headers=bearer, timeout=10).json()
    assert (me["email"], me["tenant_id"], me["via"]) == (email, tenant_id, "oauth")
    asked = {"message": "Say ten words.", "model": model}
    key = {"Idempotency-Key": "identity-1"}
    answer = requests.post(f"{url}/v1/chat/messages", json=asked, headers={**bearer, **key}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert model in answer.text and "completed" in answer.text
    body = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": given["refresh_token"]}
    renewed = requests.post(f"{url}/identity/o/api/token", body, timeout=10).json()
    fresh = {"Authorization": f"Bearer {renewed['access_token']}"}
    assert requests.get(f"{url}/api/v1/accounts/me/", headers=fresh, timeout=10).status_code == 200
    told = requests.post(
        f"{url}/identity/o/api/revoke", {"token": renewed["refresh_token"], "client_id": client_id}, timeout=10
    )
    assert told.status_code == 200
    assert requests.get(f"{url}/api/v1/accounts/me/", headers=fresh, timeout=10).status_code == 401
