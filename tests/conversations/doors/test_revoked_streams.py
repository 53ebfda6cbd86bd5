"""What is open closes by itself when the right to it ends, without a word from Redis."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

import pytest
from django.test import Client
from websockets.exceptions import ConnectionClosed

from apps.tenants import services as tenants
from apps.tenants.contracts import Principal
from apps.tenants.edge import tokens
from apps.tenants.models import ApiKey, Membership
from onebox.process import Process
from tests.conversations.doors.caller import Caller, problem
from tests.conversations.doors.chat_socket import opened
from tests.people import new_member
from tests.product import WebServer

CLOSED_SECONDS = 5.0
Change = Callable[[], object]

pytestmark = pytest.mark.usefixtures("worker")


def revoked_unsaid(key_id: object) -> None:
    """In the database alone: nobody is told."""
    ApiKey.objects.using("engine").filter(id=key_id).update(revoked_at=datetime.now(UTC))


def seconds_until_end(caller: Caller, stream: str, change: Change, *, stopped: bool = False) -> float:
    """How long after the change the stream of a long answer is cut, before its end; or told that it was `stopped`."""
    with caller.following(stream) as events:
        next(events)
        change()
        began = time.monotonic()
        ends = [event.data["state"] for event in events if event.type in ("message.completed", "message.error")]
    assert ends == [] or (stopped and ends == ["cancelled"])
    return time.monotonic() - began


@pytest.mark.parametrize(("web", "lanes"), [("daphne", 2), ("uvicorn", 1)], indirect=["web"])
def test_streams_and_waiting_requests_end_with_their_key_and_others_go_on(
    web: WebServer, lanes: int, alice: Principal
) -> None:
    doomed, lasting = tenants.create_api_key(alice, "doomed"), tenants.create_api_key(alice, "lasting")
    caller, waiter, other = (Caller(web.url, key.secret) for key in (doomed, doomed, lasting))
    accepted = other.accept(*["slow"] * lanes)
    stream = accepted["turn_id"] if lanes > 1 else accepted["generations"][0]["generation_id"]
    with ThreadPoolExecutor(1) as threads, other.following(stream) as events:
        body = {"message": "And wait for it", "models": ["slow"], "stream": False}
        waiting = threads.submit(waiter.http.post, "/v1/chat/messages", json=body)
        time.sleep(0.3)
        assert not waiting.done()
        assert seconds_until_end(caller, stream, partial(revoked_unsaid, doomed.id)) < CLOSED_SECONDS
        problem(waiting.result(1.0), 401, "invalid_credentials")
        assert next(events).type in ("message.started", "token.delta")
    for lane in accepted["generations"]:
        other.cancel(lane["generation_id"])
    for one in (caller, waiter, other):
        one.close()


def test_a_program_that_signs_out_is_closed_everywhere(web: WebServer, alice: Principal, caller: Caller) -> None:
    pair = tokens.issue(alice)
    accepted = caller.accept("slow")
    program = Caller(web.url, pair.access)
    with opened(web, token=pair.access) as chat:

        def sign_out() -> None:
            response = caller.http.post("/api/v1/accounts/token/revoke/", json={"refresh": pair.refresh})
            assert response.status_code == 204

        assert seconds_until_end(program, accepted["turn_id"], sign_out) < CLOSED_SECONDS
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                chat.receive(CLOSED_SECONDS)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401
    problem(program.http.get("/api/v1/accounts/me/"), 401, "invalid_credentials")
    caller.cancel(accepted["generations"][0]["generation_id"])
    program.close()


def test_another_role_closes_a_socket_so_that_it_comes_back(
    web: WebServer, alice: Principal, client_of: Callable[[Principal], Client]
) -> None:
    bob = new_member(alice, "Bob")
    session = str(client_of(bob).cookies["sessionid"].value)
    with opened(web, session=session) as chat:
        assert chat.receive()["type"] == "ready"
        Membership.objects.using("engine").filter(user_id=bob.user_id).update(role="viewer")
        with pytest.raises(ConnectionClosed) as closed:
            chat.receive(CLOSED_SECONDS)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4409
    with opened(web, session=session) as chat:
        assert chat.receive()["type"] == "ready"
        chat.send(type="message.send", client_id="viewer", message="May I ask?", models=["quick"])
        assert chat.receive()["status"] == 403


def test_leaving_closes_all_that_is_open_and_nobody_elses(
    web: WebServer, worker: Process, alice: Principal, caller: Caller, client_of: Callable[[Principal], Client]
) -> None:
    bob = new_member(alice, "Bob")
    key = tenants.create_api_key(bob, "program")
    bobs = Caller(web.url, key.secret)
    accepted = bobs.accept("slow")
    membership = Membership.objects.using("engine").get(user_id=bob.user_id)
    with (
        opened(web, token=key.secret) as by_key,
        opened(web, session=str(client_of(bob).cookies["sessionid"].value)) as by_session,
        opened(web, session=str(client_of(alice).cookies["sessionid"].value)) as alices,
    ):
        leave = partial(tenants.offboard, alice, membership.id)
        assert seconds_until_end(bobs, accepted["turn_id"], leave, stopped=True) < CLOSED_SECONDS
        for chat in (by_key, by_session):
            with pytest.raises(ConnectionClosed):
                while True:
                    chat.receive(CLOSED_SECONDS)
        assert alices.is_open()
    problem(bobs.http.post("/v1/chat/messages", json={"message": "Late"}), 401)
    bobs.close()
