"""A PostgreSQL that takes no connections: whoever is not known yet is told to come again, and not to be nobody.

The limit is this test process's own database's; as for a role, its owner's superuser alone gets past it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg import sql
from websockets.exceptions import ConnectionClosed

from apps.tenants.contracts import Principal
from tests.conversations.doors.chat_socket import opened
from tests.gateway.conftest import offered, web
from tests.product import WebServer, eventually
from tests.servers import shared

__all__ = ["offered", "web"]

QUESTION = [{"role": "user", "content": "Why do leases need fences?"}]
CHAT = {"model": "gw-quick", "messages": QUESTION}
# Path -> body, None for GET; and where the door's own form says what went wrong.
DOORS: dict[str, dict[str, Any] | None] = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": {"model": "gw-quick", "input": "Why?"},
    "/v1/embeddings": {"model": "gw-quick", "input": "Why?"},
    "/v1/messages": {**CHAT, "max_tokens": 10},
    "/v1/messages/count_tokens": CHAT,
    "/v1/models": None,
    "/v1/chat/messages": {"message": "Why?", "models": ["gw-quick"]},
    "/api/v1/accounts/me/": None,
    "/api/v1/conversations/": None,
}


@contextmanager
def taking_no_connections() -> Iterator[None]:
    """Nobody may connect to this process's database, and whoever was connected is not any more."""
    servers, name = shared(), connections["default"].settings_dict["NAME"]
    assert servers is not None
    for connection in connections.all(initialized_only=True):
        connection.close()  # or this process would find broken ones afterwards
        assert isinstance(connection, DatabaseWrapper)
        connection.close_pool()
    limit = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}")
    with psycopg.connect(servers.admin, autocommit=True) as admin:
        admin.execute(limit.format(sql.Identifier(name), sql.Literal(0)))
        try:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            yield
        finally:
            admin.execute(limit.format(sql.Identifier(name), sql.Literal(-1)))


def ask(web: WebServer, path: str, secret: str) -> httpx.Response:
    body, headers = DOORS[path], {"Authorization": f"Bearer {secret}"}
    if body is None:
        return httpx.get(web.url + path, headers=headers, timeout=20)
    return httpx.post(web.url + path, json=body, headers=headers, timeout=20)


def test_nobody_is_told_to_be_nobody(web: WebServer, alice: Principal, api_key_of: Callable[[Principal], str]) -> None:
    known, unknown = api_key_of(alice), api_key_of(alice)
    assert ask(web, "/v1/chat/completions", known).status_code == 200
    with taking_no_connections(), ThreadPoolExecutor(len(DOORS) + 2) as together:
        served = together.submit(ask, web, "/v1/chat/completions", known)
        told = dict(zip(DOORS, together.map(lambda path: ask(web, path, unknown), DOORS), strict=True))
        # A key that nobody ever made cannot be told from a new one either.
        forged = together.submit(ask, web, "/v1/chat/completions", "sk-sb-aaaaaaaaaa-" + "x" * 43)
        frame, closed = _on_a_socket(web, unknown)
        assert ask(web, "/v1/chat/completions", known).status_code == served.result().status_code == 200
        told["forged"] = forged.result()
    assert {path: (answer.status_code, answer.headers.get("retry-after")) for path, answer in told.items()} == (
        dict.fromkeys(told, (503, "2"))
    )
    for path, answer in told.items():
        document = answer.json()
        if path.startswith("/v1/messages"):
            assert (document["type"], document["error"]["type"]) == ("error", "overloaded_error")
        elif "error" in document:
            assert document["error"]["code"] == "unavailable"
        else:
            assert (document["code"], document["retryable"]) == ("unavailable", True)
    assert (frame["type"], frame["status"], frame["retryable"]) == ("error", 503, True)
    assert closed == 4503
    # It serves again by itself.
    eventually(lambda: ask(web, "/v1/chat/completions", unknown).status_code == 200, within_seconds=30)


def _on_a_socket(web: WebServer, secret: str) -> tuple[dict[str, Any], int | None]:
    with opened(web) as chat:
        chat.send(type="auth", token=secret)
        frame = chat.wait_for("error")
        with pytest.raises(ConnectionClosed) as closed:
            chat.receive()
    return frame, closed.value.rcvd.code if closed.value.rcvd else None
