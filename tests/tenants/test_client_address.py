"""Where a request comes from: nobody is believed but the proxies that were named."""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.test import Client

from apps.tenants import audit, services
from apps.tenants.contracts import Principal
from apps.tenants.edge.client_address import ForwardedByProxies, client_of
from apps.tenants.models import AuditEntry
from tests.people import new_address
from tests.product import web_server

OURS = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),  # a stranger may say what it likes
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),  # what the client forged stands before
        ("10.0.0.1", ["203.0.113.9", "10.0.0.2"], "203.0.113.9"),  # two proxies of ours
        ("10.0.0.1", ["10.0.0.3", "10.0.0.2"], "10.0.0.3"),  # from inside
        ("10.0.0.1", ["1.1.1.1", "unknown", "10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:4860::1]:443"], "2001:4860::1"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("2001:db8::5", ["203.0.113.9"], "203.0.113.9"),
        ("", ["203.0.113.9"], ""),
        ("10.0.0.1", ["203.0.113.9", *["10.0.0.2"] * 30], "10.0.0.2"),
    ],
)
def test_the_nearest_address_that_is_no_proxy_of_ours(peer: str, forwarded: list[str], client: str) -> None:
    assert client_of(peer, forwarded, OURS) == client


async def seen(kind: str, peer: str, trusted: Any, *headers: tuple[str, str]) -> tuple[str, str, str | None]:
    """(client, scheme, audited address) as the application behind the middleware sees them."""
    found: list[tuple[str, str, str | None]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        found.append((scope["client"][0], scope["scheme"], audit.address.get()))

    scope = {
        "type": kind,
        "client": (peer, 1),
        "scheme": "http" if kind == "http" else "ws",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    await ForwardedByProxies(application, trusted)(scope, None, None)
    assert scope["client"] == (peer, 1), "the server's own scope is left as it is"
    return found[0]


async def test_headers_of_strangers_are_not_believed() -> None:
    forged = (("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https"))
    assert await seen("http", "192.0.2.1", OURS, *forged) == ("192.0.2.1", "http", None)
    assert await seen("http", "10.0.0.1", (), *forged) == ("10.0.0.1", "http", None)
    assert await seen("websocket", "192.0.2.1", OURS, *forged) == ("192.0.2.1", "ws", "192.0.2.1")


async def test_headers_of_our_proxies_are() -> None:
    told = (("X-Forwarded-For", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https"))
    assert await seen("http", "10.0.0.1", OURS, *told) == ("203.0.113.9", "https", None)
    assert await seen("websocket", "10.0.0.1", OURS, *told) == ("203.0.113.9", "wss", "203.0.113.9")
    odd = (("x-forwarded-proto", "gopher"),)
    assert await seen("http", "10.0.0.1", OURS, *odd) == ("10.0.0.1", "http", None)


def last_address(tenant_id: UUID) -> str | None:
    return AuditEntry.objects.using("engine").filter(tenant_id=tenant_id).latest("seq").address


def test_a_requests_address_is_in_its_entry_and_in_no_other(
    alice: Principal, client_of: Callable[[Principal], Client]
) -> None:
    browser, address = client_of(alice), new_address()
    page = browser.post(
        "/api/v1/api-keys/",
        {"name": "k"},
        "application/json",
        REMOTE_ADDR=address,
        headers={"x-forwarded-for": "1.1.1.1"},
    )
    assert page.status_code == 201
    assert last_address(alice.tenant_id) == address
    entry = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id).latest("seq")
    assert entry.request_id == page["X-Request-Id"]
    services.create_api_key(alice, "by nobody's request")
    assert last_address(alice.tenant_id) is None


@pytest.mark.parametrize(("server", "trusted"), [("uvicorn", ""), ("daphne", "127.0.0.1")])
def test_in_a_real_server(alice: Principal, api_key_of: Callable[[Principal], str], server: str, trusted: str) -> None:
    secret = api_key_of(alice)
    forwarded = {"Authorization": f"Bearer {secret}", "X-Forwarded-For": "1.1.1.1, 203.0.113.9"}
    with web_server(server, TRUSTED_PROXIES=trusted) as web, httpx.Client(trust_env=False) as client:
        answer = client.get(f"{web.url}/api/v1/audit/", headers=forwarded)
    assert answer.status_code == 200
    assert last_address(alice.tenant_id) == ("203.0.113.9" if trusted else "127.0.0.1")
