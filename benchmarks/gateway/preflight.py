"""Before anything is measured: does it answer as the upstream does, and how much goes over the wire for an answer?"""

from __future__ import annotations

import http.client
import json
import socket
from urllib.parse import urlsplit

from benchmarks.gateway.shapes import ANSWER, FIRST, Shape
from benchmarks.gateway.targets import LeftOut, Target

_SECONDS = 30
_END = b"\r\n0\r\n\r\n"


def check(target: Target, upstream: Target) -> None:
    """Raises LeftOut where an answer, whole or streamed, is not the upstream's, word for word."""
    for shape in (ANSWER, FIRST):
        status, body = _ask(target, shape)
        kind = "a stream" if shape.stream else "an answer"
        if status != 200:
            raise LeftOut(f"it answers with {status} where {kind} is asked for: {body[:200].decode(errors='replace')}")
        if _text(shape, body) != _text(shape, _ask(upstream, shape)[1]):
            raise LeftOut(f"it answers with another text than the upstream's where {kind} is asked for")


def wire_bytes(target: Target, shape: Shape) -> int:
    """Bytes of one streamed answer on the wire, head and framing included."""
    address = urlsplit(target.url)
    lines = [f"POST {address.path} HTTP/1.1", f"Host: {address.netloc}", f"Content-Length: {len(shape.body)}"]
    lines += [f"{name}: {value}" for name, value in target.headers.items()]
    with socket.create_connection((address.hostname, address.port), timeout=_SECONDS) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + shape.body)
        received = b""
        while not received.endswith(_END):
            piece = connection.recv(1 << 16)
            if not piece:
                raise RuntimeError(f"{target.name} ended a stream in the middle of its framing")
            received += piece
    return len(received)


def _ask(target: Target, shape: Shape) -> tuple[int, bytes]:
    address = urlsplit(target.url)
    connection = http.client.HTTPConnection(address.netloc, timeout=_SECONDS)
    try:
        connection.request("POST", address.path, shape.body, target.headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise LeftOut(f"it does not answer: {error}") from None
    finally:
        connection.close()


def _text(shape: Shape, body: bytes) -> str:
    """What the model said. Raises LeftOut where that cannot be read."""
    try:
        if not shape.stream:
            return str(json.loads(body)["choices"][0]["message"]["content"])
        events = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
        chunks = [json.loads(event) for event in events if event != "[DONE]"]
        return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise LeftOut(f"its answer cannot be read: {error!r}") from None
