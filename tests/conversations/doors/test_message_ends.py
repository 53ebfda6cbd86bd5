"""Where one request ends and the next begins is not for its sender to blur."""

import socket
from urllib.parse import urlsplit

import pytest

from tests.product import WebServer

SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HEAD = b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n"


def told(web: WebServer, sent: bytes) -> bytes:
    """Everything the server answers on one connection."""
    place = urlsplit(web.url)
    with socket.create_connection((str(place.hostname), int(place.port or 80)), timeout=5) as connection:
        connection.sendall(sent)
        connection.settimeout(0.7)
        answered = b""
        try:
            while data := connection.recv(65_536):
                answered += data
        except TimeoutError:
            pass
        return answered


@pytest.mark.parametrize("web", ["daphne", "uvicorn"], indirect=True)
def test_a_second_request_inside_of_a_first_is_not_answered(web: WebServer) -> None:
    length = b"Content-Length: %d\r\n" % len(b"0\r\n\r\n" + SMUGGLED)
    for headers in (
        b"Content-Length: 4\r\n" + length,
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: xchunked\r\n" + length,
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" + length,
    ):
        answered = told(web, HEAD + headers + b"\r\n0\r\n\r\n" + SMUGGLED)
        assert answered.count(b'"status"') == 0, headers
    # One after the other, each is answered: what is not answered above was not taken for a request.
    assert told(web, SMUGGLED + SMUGGLED).count(b'"status"') == 2
