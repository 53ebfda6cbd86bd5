"""Who a WebSocket belongs to: by its session cookie, or by its first message."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.db import OperationalError, connections
from django.test import Client, override_settings

from apps.problems import Unavailable
from apps.tenants import services
from apps.tenants.contracts import Principal, Via
from apps.tenants.edge import tokens
from apps.tenants.edge.credentials import principal_of_scope, principal_of_token
from apps.tenants.errors import CredentialRefused, InsufficientScope
from apps.tenants.models import Membership
from apps.tenants.scope import database_step


def handshake(*cookies: str, origin: str = "http://chat.example:8000") -> dict[str, Any]:
    headers = [(b"host", b"chat.example:8000"), (b"origin", origin.encode())]
    return {"type": "websocket", "headers": [*headers, *((b"cookie", cookie.encode()) for cookie in cookies)]}


async def session_of(client_of: Callable[[Principal], Client], principal: Principal) -> str:
    client = await database_step(client_of, principal)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


async def test_a_session_cookie_is_its_person(client_of: Callable[[Principal], Client], bob: Principal) -> None:
    cookie = await session_of(client_of, bob)
    assert await principal_of_scope(handshake(cookie)) == bob
    assert await principal_of_scope(handshake(f"theme=dark; {cookie}")) == bob
    assert await principal_of_scope(handshake("theme=dark", cookie)) == bob


@pytest.mark.parametrize(
    "cookie", ["", "sessionid=", "sessionid=nonsense", "sessionid=" + "x" * 5000, "sessionid=a\x00b"]
)
async def test_other_cookies_are_nobody(cookie: str) -> None:
    assert await principal_of_scope(handshake(cookie)) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://chat.example",
        "http://chat.example:9000",
        "http://evil.example:8000",
        "file://chat.example:8000",
        "null",
        "",
    ],
)
async def test_a_cookie_with_another_pages_handshake_is_nobody(
    client_of: Callable[[Principal], Client], bob: Principal, origin: str
) -> None:
    cookie = await session_of(client_of, bob)
    assert await principal_of_scope(handshake(cookie, origin=origin)) is None
    without = {"type": "websocket", "headers": [(b"host", b"chat.example:8000"), (b"cookie", cookie.encode())]}
    assert await principal_of_scope(without) is None


async def test_the_address_in_front_of_a_proxy_is_our_own(
    client_of: Callable[[Principal], Client], bob: Principal
) -> None:
    cookie = await session_of(client_of, bob)
    with override_settings(CSRF_TRUSTED_ORIGINS=["https://chat.example"]):
        assert await principal_of_scope(handshake(cookie, origin="https://chat.example")) == bob
    with override_settings(SESSION_COOKIE_SECURE=True):
        assert await principal_of_scope(handshake(cookie, origin="http://chat.example:8000")) is None
        assert await principal_of_scope(handshake(cookie, origin="https://chat.example:8000")) == bob


async def test_a_handshake_without_cookies_is_nobody() -> None:
    assert await principal_of_scope({"type": "websocket", "headers": []}) is None


async def test_a_session_ends_with_its_membership(client_of: Callable[[Principal], Client], bob: Principal) -> None:
    cookie = await session_of(client_of, bob)
    await database_step(lambda: Membership.objects.using("engine").filter(user_id=bob.user_id).delete())
    assert await principal_of_scope(handshake(cookie)) is None


async def test_a_token_or_a_key_is_its_person(alice: Principal, api_key_of: Callable[[Principal], str]) -> None:
    access = (await database_step(tokens.issue, alice)).access
    by_token = await principal_of_token(access)
    assert (by_token.user_id, by_token.via) == (alice.user_id, Via.JWT)
    by_key = await principal_of_token(await database_step(api_key_of, alice))
    assert (by_key.user_id, by_key.via) == (alice.user_id, Via.API_KEY)


async def test_what_proves_nothing_is_refused(alice: Principal) -> None:
    for token in ("", "nonsense", f"sk-sb-{'a' * 10}-{'b' * 43}"):
        with pytest.raises(CredentialRefused):
            await principal_of_token(token)
    key = await database_step(services.create_api_key, alice, "manage", {"manage"})
    with pytest.raises(InsufficientScope):
        await principal_of_token(key.secret)


async def test_a_database_that_is_down_is_told_as_such(alice: Principal) -> None:
    access = (await database_step(tokens.issue, alice)).access
    lost = OperationalError("the connection is lost")
    with (
        patch.object(connections["default"].__class__, "ensure_connection", side_effect=lost),
        pytest.raises(Unavailable),
    ):
        await principal_of_token(access)
