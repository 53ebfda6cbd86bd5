"""Whatever comes in on a socket is answered with an error that says what is wrong; the socket stays open."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed

from apps.billing.models import Reservation
from apps.conversations.models import Conversation, Generation, Turn
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.conftest import Ask
from tests.conversations.doors.chat_socket import ChatSocket, opened
from tests.product import WebServer

ON_BOTH = pytest.mark.parametrize("web", ["daphne", "uvicorn"], indirect=True)
# daphne itself takes no frame above 1 MiB and drops the connection.
ON_UVICORN = pytest.mark.parametrize("web", ["uvicorn"], indirect=True)
NOBODYS = "01930000-0000-7000-8000-000000000000"
SEND = {"type": "message.send", "client_id": "c1", "message": "Hello", "models": ["quick"]}


@pytest.fixture
def chat(web: WebServer, alice: Principal, api_key_of: Callable[[Principal], str]) -> Iterator[ChatSocket]:
    """Alice's socket, which must be open afterwards, with nothing written by her."""
    with opened(web, token=api_key_of(alice)) as chat:
        yield chat
        assert chat.is_open()
    with tenant_scope(alice.tenant_id):
        for table in (Conversation, Turn, Generation, Reservation):
            assert not table.objects.filter(user_id=alice.user_id).exists()


@ON_BOTH
@pytest.mark.parametrize(
    "frame",
    ["", "{", "[]", "1", "null", '"auth"', "{}x", "[" * 5000, '{"a":' * 3000, b"", b"\x00\xff", b"[1]", "\ud83d\ude00"],
    ids=lambda frame: repr(frame[:8]),
)
def test_what_is_no_json_object_is_refused(chat: ChatSocket, frame: str | bytes) -> None:
    chat.connection.send(frame.encode("utf-16", "surrogatepass") if frame == "\ud83d\ude00" else frame)
    refused = chat.receive()
    assert (refused["type"], refused["code"], refused["status"]) == ("error", "invalid_message", 400)
    assert refused["message"] and refused["retryable"] is False


@ON_BOTH
@pytest.mark.parametrize("kind", [None, 7, ["ping"], {"type": "ping"}, "", "message.sent", "hint", "x" * 100_000])
def test_an_unknown_type_is_refused(chat: ChatSocket, kind: object) -> None:
    chat.send(type=kind)
    assert chat.receive()["code"] == "invalid_message"


@ON_BOTH
@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"client_id": None}, 400, "invalid_message"),
        ({"client_id": 7}, 400, "invalid_message"),
        ({"client_id": ""}, 400, "invalid_message"),
        ({"client_id": "x" * 256}, 400, "invalid_message"),
        ({"client_id": "a\x00b"}, 400, "invalid_message"),
        ({"message": None}, 400, "invalid_message"),
        ({"message": " "}, 400, "invalid_message"),
        ({"message": "a\x00b"}, 400, "invalid_message"),
        ({"message": ["a"]}, 400, "invalid_message"),
        ({"message": "x" * 600_000}, 400, "invalid_message"),
        ({"models": []}, 400, "invalid_message"),
        ({"models": ["quick"] * 9}, 400, "invalid_message"),
        ({"models": "quick," * 9}, 400, "invalid_message"),
        ({"models": [None]}, 400, "invalid_message"),
        ({"models": ["no-such-model"]}, 404, "model_not_found"),
        ({"models": ["quick", "no-such-model"]}, 404, "model_not_found"),
        ({"conversation_id": "x"}, 400, "invalid_message"),
        ({"conversation_id": 7}, 400, "invalid_message"),
        ({"conversation_id": NOBODYS}, 404, "not_found"),
        ({"tenant_id": NOBODYS}, 409, "tenant_mismatch"),
        ({"tenant_id": 7}, 409, "tenant_mismatch"),
    ],
    ids=lambda value: json.dumps(value)[:30] if isinstance(value, dict) else "",
)
def test_a_bad_question_is_refused_whole(chat: ChatSocket, change: dict[str, Any], status: int, code: str) -> None:
    chat.send(**{**SEND, **change})
    refused = chat.receive()
    assert (refused["type"], refused["status"], refused["code"]) == ("error", status, code)
    if isinstance(change.get("client_id", "c1"), str):
        assert refused["client_id"] == change.get("client_id", "c1")[:255]


@ON_BOTH
@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe", "generation.cancel"])
@pytest.mark.parametrize("id", [None, 7, "", "x", [], "00000000-0000-0000-0000-00000000000g"])
def test_what_is_no_id_is_refused(chat: ChatSocket, kind: str, id: object) -> None:
    chat.send(type=kind, stream=id, generation_id=id)
    assert chat.receive()["code"] == "invalid_message"


@ON_BOTH
@pytest.mark.parametrize(("kind", "name"), [("subscribe", "stream"), ("generation.cancel", "generation_id")])
def test_what_is_somebody_elses_is_not_found(
    chat: ChatSocket, bob: Principal, mallory: Principal, ask: Ask, kind: str, name: str
) -> None:
    theirs = [ask(other, "Secret", "quick").generations[0].generation_id for other in (bob, mallory)]
    for id in (*theirs, uuid4()):
        chat.send(**{"type": kind, name: str(id)})
        refused = chat.receive()
        assert (refused["status"], refused["code"], refused[name]) == (404, "not_found", str(id))


@ON_BOTH
def test_what_is_somebody_elses_is_not_continued(chat: ChatSocket, mallory: Principal, ask: Ask) -> None:
    conversation_id = ask(mallory, "Secret", "quick").conversation_id
    chat.send(**{**SEND, "conversation_id": str(conversation_id)})
    assert chat.receive()["code"] == "not_found"


@ON_UVICORN
@pytest.mark.parametrize("megabytes", [1.1, 10])
def test_a_frame_that_is_too_large_is_refused(chat: ChatSocket, megabytes: float) -> None:
    chat.send(**{**SEND, "message": "x" * int(megabytes * 1024 * 1024)})
    refused = chat.receive()
    assert (refused["status"], refused["code"]) == (400, "invalid_message")
    assert "1,048,576 are allowed" in refused["message"]


def test_a_frame_beyond_daphnes_own_limit_ends_that_socket_alone(
    daphne: WebServer, alice: Principal, api_key_of: Callable[[Principal], str]
) -> None:
    with opened(daphne, token=api_key_of(alice)) as other:
        with pytest.raises(ConnectionClosed), opened(daphne, token=api_key_of(alice)) as chat:
            chat.send(**{**SEND, "message": "x" * 10 * 1024 * 1024})
            chat.receive()
        assert other.is_open()
