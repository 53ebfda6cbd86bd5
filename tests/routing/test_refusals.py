"""A provider's refusal as one of our errors, without anything the provider should have kept to itself."""

from email.utils import formatdate
from time import time
from typing import Any

import orjson
import pytest

from apps.routing.contracts import ProviderAccess
from apps.routing.errors import (
    ContentFiltered,
    ContextExceeded,
    ProviderAuthFailed,
    ProviderFailed,
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
)
from apps.routing.providers import refusals
from tests.routing import scripted
from tests.routing.reception import receive, request

ACCESS = ProviderAccess("http://provider/v1", "key-4711-very-secret")


# Dates that no clock can hold.
FAR, EAST = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 +999999999999999999"


def _from_status(status: int, body: Any = None, **headers: str) -> ProviderFailed:
    raw = body if isinstance(body, bytes) else orjson.dumps(body or {})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusals.from_status(status, raw, named, "Sim", ACCESS)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (301, {}, ProviderMisconfigured),
        (400, {"message": "temperature is too high"}, ProviderRejected),
        (400, {"code": "context_length_exceeded"}, ContextExceeded),
        (400, {"message": "The prompt exceeds the context window of 4096"}, ContextExceeded),
        (400, {"code": "content_filter"}, ContentFiltered),
        (401, {}, ProviderAuthFailed),
        (402, {}, ProviderAuthFailed),
        (403, {}, ProviderAuthFailed),
        (404, {}, ProviderMisconfigured),
        (413, {}, ContextExceeded),
        (422, {}, ProviderRejected),
        (415, {}, ProviderRejected),
        (431, {}, ProviderRejected),
        (451, {}, ProviderRejected),
        (408, {}, ProviderOverloaded),
        (424, {}, ProviderOverloaded),
        (429, {"code": "rate_limit_exceeded"}, ProviderRateLimited),
        (429, {"code": "insufficient_quota"}, ProviderAuthFailed),
        (409, {}, ProviderOverloaded),
        (500, {}, ProviderOverloaded),
        (599, {}, ProviderOverloaded),
    ],
)
def test_statuses(status: int, error: dict[str, str], kind: type[ProviderFailed]) -> None:
    assert type(_from_status(status, {"error": error})) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("broken", ProviderOverloaded),
        ({"message": "broken", "type": "server_error"}, ProviderOverloaded),
        ({"message": "slow down", "type": "rate_limit_error"}, ProviderRateLimited),
        ({"message": "no", "type": "invalid_request_error"}, ProviderRejected),
        ({"message": "no", "type": "BadRequestError", "code": 400}, ProviderRejected),
        ({"message": "no", "type": "invalid_request_error", "code": "context_length_exceeded"}, ContextExceeded),
    ],
)
def test_error_objects(error: Any, kind: type[ProviderFailed]) -> None:
    assert type(refusals.from_error_object(error, "Sim", ACCESS)) is kind


def test_what_is_wrong_with_the_request_is_quoted_without_secrets() -> None:
    message = "Bad key-4711-very-secret\nand sk-abcdefghijklmnopqrstuv for `temperature`. " + "x" * 999
    detail = _from_status(400, {"error": {"message": message}}).detail
    assert "temperature" in detail
    assert "4711" not in detail
    assert "abcdefgh" not in detail
    assert "\n" not in detail
    assert len(detail) < 400


@pytest.mark.parametrize(
    "named", ["http://vllm-7.cluster.lan:8000/v1/chat", "VLLM-7.cluster.lan:8000", "vllm-7.cluster.lan"]
)
def test_where_the_installations_own_servers_stand_is_not_quoted(named: str) -> None:
    body = orjson.dumps({"error": {"message": f"`n` is unknown to {named}"}})
    for trusted in (True, False):
        access = ProviderAccess("http://vllm-7.cluster.lan:8000/v1", None, trusted)
        detail = refusals.from_status(400, body, {}, "Sim", access).detail
        assert "`n` is unknown" in detail and ("cluster" not in detail.lower()) is trusted


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_nothing_else_is_quoted(status: int) -> None:
    assert "gossip" not in _from_status(status, {"error": {"message": "gossip"}}).detail


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("2", 2.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        (FAR, None),
        (EAST, None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert _from_status(429, Retry_After=header).retry_after_seconds == seconds


def test_retry_after_as_a_date() -> None:
    told = _from_status(503, Retry_After=formatdate(time() + 30, usegmt=True)).retry_after_seconds
    assert told is not None
    assert 27 < told <= 30


@pytest.mark.parametrize("body", [b"<html>", b"", b"[1]", b'"text"', b'{"error":"text"}', b'{"error":null}'])
def test_a_body_of_any_shape_is_survived(body: bytes) -> None:
    assert type(_from_status(400, body)) is ProviderRejected


def _whole(status: bytes, kind: bytes, body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, kind, more, len(body), body)


async def test_redirects_are_not_followed() -> None:
    async with scripted.provider([scripted.STREAM, scripted.FINISH, None]) as elsewhere:
        moved = _whole(b"307 Moved", b"text/plain", b"", b"Location: %b\r\n" % elsewhere.base_url.encode())
        async with scripted.provider([moved]) as provider:
            reception = await receive(request(provider.base_url))
        assert type(reception.error) is ProviderMisconfigured
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        (b"application/json", b'{"error":{"message":"no","type":"server_error"}}', "provider_overloaded"),
        (b"application/json", b'{"choices":[{"message":{"content":"whole"}}]}', "malformed_stream"),
        (b"text/html", b"<html>Welcome</html>", "malformed_stream"),
        (b"text/event-stream", b"garbage\n\n", "stream_cut"),
        (b"text/event-stream", b"data: {garbage\n\n", "malformed_stream"),
        (b"text/event-stream", b"data: {garbage\n\n" * 30 + scripted.FINISH + scripted.USAGE, "malformed_stream"),
        (b"text/event-stream", b"data: " + b"x" * 1_200_000, "malformed_stream"),
        (b"text/event-stream", b": comment\n\n" * 600_000, "malformed_stream"),
    ],
)
async def test_a_200_that_is_no_stream(kind: bytes, body: bytes, code: str) -> None:
    async with scripted.provider([_whole(b"200 OK", kind, body)]) as provider:
        reception = await receive(request(provider.base_url, bound=10))
    assert reception.error is not None
    assert reception.error.code == code
    assert reception.text == ""


async def test_a_huge_refusal_is_not_read_to_its_end() -> None:
    head = b"HTTP/1.1 500 No\r\nContent-Type: text/plain\r\nContent-Length: 1000000000\r\n\r\n"
    async with scripted.provider([head, b"x" * 100_000, 9.0]) as provider:
        reception = await receive(request(provider.base_url))
    assert type(reception.error) is ProviderOverloaded
    assert reception.seconds < 1
