"""A socket belongs to the session that opened it from our own page, or to the token it sends first, or to nobody."""

import time
from collections.abc import Callable

import pytest
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from apps.tenants import services as tenants
from apps.tenants.contracts import Principal
from apps.tenants.edge import tokens
from apps.tenants.edge.watch import ROUND_SECONDS
from tests.conversations.doors.chat_socket import ChatSocket, opened
from tests.product import WebServer

on_both = pytest.mark.parametrize("web", ["daphne", "uvicorn"], indirect=True)

UNAUTHENTICATED = 4401


@pytest.fixture
def session(client_of: Callable[[Principal], Client], alice: Principal) -> str:
    return str(client_of(alice).cookies["sessionid"].value)


def ready(principal: Principal) -> dict[str, str]:
    return {"type": "ready", "tenant_id": str(principal.tenant_id), "user_id": str(principal.user_id)}


@on_both
def test_a_session_is_enough_on_our_own_page(web: WebServer, alice: Principal, session: str) -> None:
    with opened(web, session=session) as chat:
        assert chat.receive() == ready(alice)


@on_both
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
def test_another_sites_page_is_turned_away(web: WebServer, session: str, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(web, session=session, origin=origin):
        pass
    assert refused.value.response.status_code == 403


@on_both
def test_a_token_or_a_key_signs_in(web: WebServer, alice: Principal, api_key_of: Callable[[Principal], str]) -> None:
    for credential in (tokens.issue(alice).access, api_key_of(alice)):
        with opened(web) as chat:
            chat.send(type="auth", token=credential)
            assert chat.receive() == ready(alice)


@on_both
@pytest.mark.parametrize("token", ["", "x", "sk-sb-wrong", "a.b.c", "sk-sb-\x00", "é" * 10_000])
def test_a_bad_token_closes_the_socket(web: WebServer, token: str) -> None:
    with opened(web) as chat:
        chat.send(type="auth", token=token)
        with pytest.raises(ConnectionClosed) as closed:
            # The client drops the last word where the server's end overtakes its own farewell.
            refused = chat.receive()
            assert (refused["type"], refused["status"], refused["retryable"]) == ("error", 401, False)
            chat.receive()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == UNAUTHENTICATED


@on_both
def test_a_key_for_other_doors_opens_none_here(web: WebServer, alice: Principal) -> None:
    secret = tenants.create_api_key(alice, "reports", ["manage"]).secret
    with opened(web) as chat:
        chat.send(type="auth", token=secret)
        assert chat.receive()["status"] == 403
        with pytest.raises(ConnectionClosed):
            chat.receive()


@on_both
def test_nobody_may_do_anything_but_sign_in(web: WebServer) -> None:
    with opened(web, session="0123456789abcdefdead") as chat:
        for message in ("message.send", "subscribe", "generation.cancel", "unsubscribe", "nonsense"):
            chat.send(type=message)
            assert (chat.receive()["code"], chat.is_open()) == ("unauthenticated", True)


@on_both
def test_a_second_sign_in_is_refused(
    web: WebServer, session: str, mallory: Principal, api_key_of: Callable[[Principal], str]
) -> None:
    with opened(web, session=session) as chat:
        chat.receive()
        chat.send(type="auth", token=api_key_of(mallory))
        assert chat.receive()["code"] == "invalid_message"
        assert chat.is_open()


def test_who_does_not_sign_in_is_closed_after_five_seconds(daphne: WebServer, uvicorn: WebServer) -> None:
    with opened(daphne) as one, opened(uvicorn) as another:
        began = time.monotonic()
        for chat in (one, another):
            with pytest.raises(ConnectionClosed) as closed:
                chat.receive()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == UNAUTHENTICATED
            assert 4.5 < time.monotonic() - began < 8


def test_a_page_at_another_port_of_this_host_is_nobody(web: WebServer, session: str) -> None:
    with opened(web, session=session, origin="http://127.0.0.1:9") as chat:
        chat.send(type="message.send", client_id="stolen", message="Whose session is this?")
        assert chat.receive()["code"] == "unauthenticated"


def test_a_revoked_key_can_do_no_more_on_its_open_socket(web: WebServer, alice: Principal) -> None:
    key = tenants.create_api_key(alice, "program")
    with opened(web, token=key.secret) as chat:
        tenants.revoke_api_key(alice, key.id)
        # At once, whatever this process remembers of the key: a question is accepted only after asking again.
        chat.send(type="message.send", client_id="late", message="Am I still paid for?")
        refused = chat.receive()
        # Unless the connection heard first that its key has ended, and says nothing more.
        if refused["code"] != "unauthenticated":
            assert (refused["code"], refused["status"]) == ("invalid_credentials", 401)
            assert chat.receive()["code"] == "unauthenticated"
        with pytest.raises(ConnectionClosed) as closed:
            chat.receive()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == UNAUTHENTICATED


def test_a_listening_socket_is_closed_after_signing_out(
    web: WebServer, client_of: Callable[[Principal], Client], alice: Principal
) -> None:
    client = client_of(alice)
    with opened(web, session=str(client.cookies["sessionid"].value)) as chat:
        assert chat.receive() == ready(alice)
        client.logout()
        assert chat.receive(ROUND_SECONDS + 3)["code"] == "unauthenticated"
        with pytest.raises(ConnectionClosed):
            chat.receive()


@on_both
def test_a_program_sends_no_origin_and_a_token(
    web: WebServer, alice: Principal, session: str, api_key_of: Callable[[Principal], str]
) -> None:
    cookie = {"Cookie": f"sessionid={session}"}
    with connect(web.socket_url, additional_headers=cookie, proxy=None, open_timeout=10) as connection:
        chat = ChatSocket(connection)
        chat.send(type="auth", token=api_key_of(alice))  # the cookie alone counted for nothing
        assert chat.receive() == ready(alice)
