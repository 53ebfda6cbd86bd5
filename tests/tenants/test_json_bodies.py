"""Bodies from strangers: a clear 400 or 413, never a 500."""

import time
from typing import Any

import pytest
from django.test import Client

from apps.tenants.contracts import Principal
from apps.tenants.edge import tokens
from apps.tenants.edge.parsers import MAX_BYTES, MAX_DEPTH, MAX_VALUES, InvalidJson, parse_json


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b"[NaN]", "not valid JSON"),
        (b'"\xff\xfe"', "not valid JSON"),
        (b'"\\ud800"', "not valid JSON"),
        ('"x"'.encode("utf-16"), "not valid JSON"),
        (b'{"a": ["b\\u0000c"]}', "NUL"),
        (b'{"a\\u0000": 1}', "NUL"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'[{"b": {"a": 1, "\\u0061": 2}}]', "twice"),
        (b"[" * 65 + b"]" * 65, "nested"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "nested"),
        (b"9" * 5000, "not valid JSON"),
        (b'{"n": 1' + b"0" * 5000 + b"}", "not valid JSON"),
        (b"[" * 10_000, "not valid JSON"),
        (b"[" * 10_000 + b"]" * 10_000, "not valid JSON"),
        (b"[" * 200_000, "values"),
        (b"[" + b"1," * MAX_VALUES + b"1]", "values"),
        (b"[" + b"{}," * (MAX_VALUES // 2) + b"{}]", "values"),
        (b"{" + b'"a":1,' * MAX_VALUES + b'"a":1}', "values"),
    ],
)
def test_faults_are_named(body: bytes, words: str) -> None:
    with pytest.raises(InvalidJson, match=words):
        parse_json(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": "\\\\u0000"}', {"a": "\\u0000"}),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
        (b"[" + b",".join([b"{}"] * 1000) + b"]", [{}] * 1000),
        (b'"[[[["', "[[[["),
        (b'["' + b'[{,\\"' * MAX_VALUES + b'"]', ['[{,"' * MAX_VALUES]),
        (b'[{"a": 1}, {"a": 1}]', [{"a": 1}, {"a": 1}]),
        (b'{"n": 1' + b"0" * 50 + b"}", {"n": 1e50}),
    ],
)
def test_what_is_allowed_passes(body: bytes, value: Any) -> None:
    parsed = parse_json(body)
    if value is not None:
        assert parsed == value


@pytest.mark.parametrize("unit", [b'{"a":1},', b'"a":1,', b'"\\"', b'\\"', b'"', b'"",', b"\\"])
def test_no_body_keeps_everybody_waiting(unit: bytes) -> None:
    body = b'{"a":[' + unit * (MAX_BYTES // len(unit) - 10) + b"]}"
    began = time.thread_time()
    with pytest.raises(InvalidJson):
        parse_json(body)
    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"a": 1}', 200, None),
        (b"{", 400, "invalid_json"),
        (b'{"a": "\\u0000"}', 400, "invalid_json"),
        (b"\xff", 400, "invalid_json"),
        (b"[" * 200_000, 400, "invalid_json"),
        (b'"' + b"x" * (MAX_BYTES - 2) + b'"', 200, None),
        (b'"' + b"x" * (MAX_BYTES - 1) + b'"', 413, "payload_too_large"),
    ],
)
def test_the_rest_api_answers_with_the_problem(body: bytes, status: int, code: str | None, alice: Principal) -> None:
    headers = {"Authorization": f"Bearer {tokens.issue(alice).access}"}
    response = Client().post("/api/v1/probe/", body, content_type="application/json", headers=headers)
    assert response.status_code == status
    if code is not None:
        assert response["Content-Type"] == "application/problem+json"
        assert response.json()["code"] == code


def test_a_form_over_the_limit_is_413() -> None:
    client = Client()
    response = client.post("/login/", {"email": "x" * (MAX_BYTES + 1)})
    assert response.status_code == 413
    response = client.post(
        "/login/", f"email={'x' * (MAX_BYTES + 1)}", content_type="application/x-www-form-urlencoded"
    )
    assert response.status_code == 413
