"""gzip for whoever accepts it: nothing waits for it, and nothing is it that should not be."""

import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from apps.routing.edge.gateway.coding import SMALLEST_BYTES, Compressed, accepts_gzip, response_to
from apps.routing.edge.gateway.http import Request, Response
from apps.tenants.contracts import Principal
from tests.product import WebServer

QUESTION = [{"role": "user", "content": "Why do leases need fences?"}]
STREAM = {"model": "gw-keyed", "messages": QUESTION, "stream": True}
WHOLE = {"model": "gw-long", "messages": QUESTION}
PATH = "/v1/chat/completions"


class Wire:
    """What a server was given to send."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.messages[0]["headers"])

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.messages[1:]]


@examples(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=6_000), max_size=8), st.binary(max_size=200))
async def test_every_piece_can_be_read_when_it_comes(pieces: list[bytes], last: bytes) -> None:
    wire = Wire()
    response, reader = Compressed(wire.send), zlib.decompressobj(31)
    await response.start(200, {"content-type": "text/event-stream"}, b": \n\n")
    for piece in pieces:
        await response.write(piece)
        assert reader.decompress(wire.bodies[-1]) == piece
    await response.end(last)
    assert reader.decompress(wire.bodies[-1]) == last and reader.eof and not reader.unused_data
    assert wire.headers[b"content-encoding"] == b"gzip" and b"content-length" not in wire.headers


@pytest.mark.parametrize("size", [0, SMALLEST_BYTES - 1, SMALLEST_BYTES, 300_000])
async def test_whole_answers_are_compressed_where_it_pays(size: int) -> None:
    wire, body = Wire(), b"ab" * (size // 2) + b"c" * (size % 2)
    await Compressed(wire.send).whole(200, {}, body)
    (told,) = wire.bodies
    is_coded = size >= SMALLEST_BYTES
    assert (wire.headers.get(b"content-encoding") == b"gzip") == is_coded
    assert (zlib.decompress(told, 31) if is_coded else told) == body
    assert int(wire.headers[b"content-length"]) == len(told)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("gzip; q=0", False),
        ("gzip;q=0.000, br", False),
        ("br", False),
        ("notgzip", False),
        ("", False),
        (None, False),
    ],
)
def test_gzip_is_for_who_asks_for_it(header: str | None, accepted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = [] if header is None else [(b"accept-encoding", header.encode())]
    request = Request({"method": "POST", "path": PATH, "headers": headers}, None)  # type: ignore[arg-type]
    assert accepts_gzip(header or "") is accepted
    assert (type(response_to(request, Wire().send)) is Compressed) is accepted
    monkeypatch.setattr(settings, "GATEWAY_COMPRESSION", False)
    assert type(response_to(request, Wire().send)) is Response


@pytest.mark.parametrize("body", [STREAM, WHOLE], ids=["streamed", "whole"])
def test_both_servers_tell_the_same_words(
    web: WebServer,
    other_web: WebServer,
    alice: Principal,
    api_key_of: Callable[[Principal], str],
    body: dict[str, Any],
) -> None:
    headers = {"Authorization": f"Bearer {api_key_of(alice)}", "Idempotency-Key": "the same words"}
    told = []
    for server, accepted in ((web, "gzip"), (other_web, "gzip"), (web, "identity")):
        answer = httpx.post(server.url + PATH, json=body, headers={**headers, "Accept-Encoding": accepted}, timeout=20)
        assert answer.headers.get("content-encoding", "identity") == accepted
        assert answer.headers["vary"] == "accept-encoding"
        assert ("content-length" in answer.headers) == (body is WHOLE)
        told.append(answer.content)
    assert told[0] == told[1] == told[2] and len(told[0]) > SMALLEST_BYTES


def test_the_first_words_come_long_before_the_last(
    web: WebServer, alice: Principal, api_key_of: Callable[[Principal], str]
) -> None:
    headers = {"Authorization": f"Bearer {api_key_of(alice)}", "Accept-Encoding": "gzip"}
    body = {**STREAM, "model": "gw-endless"}
    with httpx.stream("POST", web.url + PATH, json=body, headers=headers, timeout=5) as answer:
        reader, pieces = zlib.decompressobj(31), answer.iter_raw()
        words = [reader.decompress(next(pieces)) for _ in range(5)]
    assert all(word.startswith(b"data: {") and word.endswith(b"}\n\n") for word in words)


def test_a_short_refusal_is_plain(web: WebServer) -> None:
    answer = httpx.post(web.url + PATH, json=STREAM, headers={"Accept-Encoding": "gzip"})
    assert (answer.status_code, answer.headers.get("content-encoding")) == (401, None)
