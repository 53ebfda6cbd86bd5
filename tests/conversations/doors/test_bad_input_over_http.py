"""Every HTTP door answers bad input with a problem document that says what is wrong, and writes nothing."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from apps.billing.models import Reservation
from apps.conversations.models import Conversation, Generation, Lane, Message, Turn
from apps.tenants import selectors, services
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.conftest import Ask
from tests.conversations.doors.caller import Caller, problem
from tests.product import WebServer

ASK = "/v1/chat/messages"
GOOD = {"message": "Hello", "models": ["quick"]}
JSON = {"Content-Type": "application/json"}
TABLES = (Conversation, Turn, Message, Lane, Generation, Reservation)


@pytest.fixture(autouse=True)
def nothing_written(alice: Principal) -> Iterator[None]:
    yield
    with tenant_scope(alice.tenant_id):
        assert [table.objects.count() for table in TABLES] == [0] * len(TABLES)


@pytest.mark.parametrize("web", ["daphne", "uvicorn"], indirect=True)
@pytest.mark.parametrize("path", [ASK, "/api/v1/api-keys/", "/api/v1/accounts/token/"])
def test_a_body_of_ten_megabytes_is_too_large(caller: Caller, path: str) -> None:
    body = json.dumps(GOOD | {"message": "x" * 10 * 1024 * 1024})
    problem(caller.http.post(path, content=body, headers=JSON), 413, "payload_too_large")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"message": "a" "b"}', "invalid_json"),
        (b"\xff\xfe{}", "invalid_json"),
        (b'{"message": "\xff"}', "invalid_json"),
        (b'{"message": "\\ud800"}', "invalid_json"),
        (b'{"message": "\\u0000", "models": ["quick"]}', "invalid_json"),
        (b'{"message": NaN}', "invalid_json"),
        (b'{"message": "a", "message": "b", "models": ["quick"]}', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"message": ' + b"[" * 200 + b"]" * 200 + b"}", "invalid_json"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "invalid_json"),
        (b"[]", "invalid"),
        (b"null", "invalid"),
        (b'"Hello"', "invalid"),
        (b"17", "invalid"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else value,
)
def test_what_is_no_json_object_is_refused(caller: Caller, body: bytes, code: str) -> None:
    problem(caller.http.post(ASK, content=body, headers=JSON), 400, code)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"message": None}, "message"),
        ({"message": 7}, "message"),
        ({"message": {"text": "Hello"}}, "message"),
        ({"message": " \n\t"}, "message"),
        ({"message": "x" * (512 * 1024 + 1)}, "message"),
        ({"models": []}, "models"),
        ({"models": ["quick"] * 9}, "models"),
        ({"models": "quick," * 8}, "models"),
        ({"models": [["quick"]]}, "models"),
        ({"models": 7}, "models"),
        ({"models": ["x" * 121]}, "models"),
        ({"model": "quick"}, "models"),
        ({"conversation_id": "x"}, "conversation_id"),
        ({"conversation_id": ["x"]}, "conversation_id"),
        ({"instructions": ["Sail."]}, "instructions"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": "many"}, "max_output_tokens"),
        ({"stream": "true"}, "stream"),
        ({"stream": None}, "stream"),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_a_bad_question_names_the_field(caller: Caller, change: dict[str, Any], field: str) -> None:
    body = problem(caller.http.post(ASK, json=GOOD | change), 400, "invalid_message")
    assert list(body["errors"]) == [field]


def test_all_bad_fields_are_named_at_once(caller: Caller) -> None:
    body = problem(caller.http.post(ASK, json={"message": "", "models": [], "conversation_id": 1}), 400)
    assert sorted(body["errors"]) == ["conversation_id", "message", "models"]


@pytest.mark.parametrize("models", [["no-such-model"], ["quick", "no-such-model"]])
def test_an_unknown_model_refuses_every_lane(caller: Caller, models: list[str]) -> None:
    assert "no-such-model" in problem(caller.http.post(ASK, json=GOOD | {"models": models}), 404)["detail"]


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_a_bad_idempotency_key_is_refused(caller: Caller, key: str) -> None:
    body = problem(caller.http.post(ASK, json=GOOD, headers={"Idempotency-Key": key}), 400, "invalid_message")
    assert list(body["errors"]) == ["Idempotency-Key"]


def test_a_conversation_of_others_is_not_continued(
    caller: Caller, mallory: Principal, ask: Ask, caller_of: Callable[[Principal], Caller]
) -> None:
    theirs = str(ask(mallory, "Secret").conversation_id)
    for id in (theirs, str(uuid4())):
        problem(caller.http.post(ASK, json=GOOD | {"conversation_id": id}), 404, "not_found")
    (turn,) = caller_of(mallory).turns(theirs)
    assert turn["message"] == "Secret"


@pytest.mark.parametrize("method", ["cancel", "retry"])
def test_an_answer_of_others_is_not_touched(caller: Caller, mallory: Principal, ask: Ask, method: str) -> None:
    theirs = ask(mallory, "Secret").generations[0].generation_id
    for id in (theirs, uuid4()):
        problem(caller.http.post(f"/v1/chat/generations/{id}/{method}"), 404, "not_found")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/streams/x",
        "/v1/chat/streams/%00",
        "/v1/chat/generations/1/cancel",
        "/v1/chat/nothing",
        "/v1/%ff%fe",
        "/api/v1/conversations/x/",
        "/api/v1/conversations/00000000-0000-0000-0000-00000000000g/messages/",
        "/api/v1/nothing/",
    ],
)
def test_an_address_of_nothing_is_not_found(caller: Caller, path: str) -> None:
    problem(caller.http.get(path), 404, "not_found")


@pytest.mark.parametrize(("method", "path"), [("GET", ASK), ("DELETE", ASK), ("PUT", "/api/v1/conversations/")])
def test_a_door_names_the_methods_it_knows(caller: Caller, method: str, path: str) -> None:
    response = caller.http.request(method, path)
    problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"]


@pytest.mark.parametrize("path", [ASK, "/api/v1/api-keys/"])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "nonsense"])
def test_doors_take_json_alone(caller: Caller, path: str, kind: str) -> None:
    problem(caller.http.post(path, content=b"name=x", headers={"Content-Type": kind}), 415, "unsupported_media_type")


def test_rest_answers_with_json_alone(caller: Caller) -> None:
    problem(caller.http.get("/api/v1/conversations/", headers={"Accept": "application/xml"}), 406, "not_acceptable")


def test_the_openai_door_names_its_methods_in_its_own_form(caller: Caller) -> None:
    refused = caller.http.post("/v1/models", json={})
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")
    assert refused.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/api/v1/api-keys/", {"name": 7}, "name"),
        ("POST", "/api/v1/teams/", {"name": True}, "name"),
        ("PATCH", "/api/v1/tenant/", {"requires_second_factor": 0}, "requires_second_factor"),
        ("PATCH", "/api/v1/tenant/", {"requires_second_factor": "yes"}, "requires_second_factor"),
        ("POST", "/api/v1/accounts/token/revoke/", {"refresh": 0}, "refresh"),
    ],
)
def test_what_merely_resembles_a_text_or_a_yes_is_refused(
    caller: Caller, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    assert list(problem(caller.http.request(method, path, json=body), 400)["errors"]) == [field]


@pytest.mark.parametrize("filter", ["since=", "until=x", "before=", "before=0", "limit=101"])
def test_an_unusable_filter_of_the_log_is_refused(caller: Caller, filter: str) -> None:
    body = problem(caller.http.get(f"/api/v1/audit/?{filter}"), 400)
    assert list(body["errors"]) == [filter.partition("=")[0]]


def test_an_unknown_form_of_an_answer_is_refused(caller: Caller) -> None:
    body = problem(caller.http.get(f"/v1/chat/streams/{uuid4()}?render=pdf"), 400, "invalid_message")
    assert list(body["errors"]) == ["render"]


@pytest.mark.parametrize("path", [ASK, "/api/v1/conversations/", "/api/v1/accounts/me/"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer sk-sb-0000000000000000000000000000000000000000"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Authorization": "Bearer " + "x" * 7_000},
        {"X-Api-Key": "sk-sb-nothing"},
        {"Cookie": "sessionid=0123456789abcdef0123456789abcdef"},
        {"Cookie": "sessionid=%00"},
    ],
    ids=lambda value: str(value)[:50],
)
def test_nobody_is_told_that_they_are_nobody(web: WebServer, path: str, headers: Any) -> None:
    with httpx.Client(base_url=web.url, timeout=10, trust_env=False) as client:
        method = "POST" if path == ASK else "GET"
        response = client.request(method, path, headers=headers, json=GOOD if path == ASK else None)
    problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_revoked_key_opens_nothing(caller: Caller, alice: Principal) -> None:
    (key,) = selectors.api_keys(alice)
    services.revoke_api_key(alice, key.id)
    problem(caller.http.post(ASK, json=GOOD), 401)


def test_a_page_of_another_tenant_is_stopped(caller: Caller, mallory: Principal) -> None:
    headers = {"X-Switchboard-Tenant": str(mallory.tenant_id)}
    problem(caller.http.post(ASK, json=GOOD, headers=headers), 409, "tenant_mismatch")
