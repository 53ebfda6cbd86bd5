"""`python -m benchmarks.gateway.upstream --fd N --simulator URL`: the simulator's answers, replayed at little cost.

The simulator thinks about every call, at a cost near that of a gateway: on a core shared with the load generator it
would be what limits. So each answer is asked of it once, and then sent again and again, byte for byte.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import socket
import urllib.request
from dataclasses import dataclass
from typing import NamedTuple, cast

import uvloop

from benchmarks.gateway.shapes import SHAPES, Shape

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_MODEL = re.compile(rb'"model"\s*:\s*"([^"]+)"')
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_USAGE = re.compile(rb'"include_usage"\s*:\s*true')
_JSON_HEAD = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_LAST = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Recording:
    """An answer as it goes over the wire: the parts, and the seconds between two of them."""

    parts: tuple[bytes, ...]
    interval_seconds: float = 0.0


class Way(NamedTuple):
    """How a gateway asks: a whole answer or a stream, whatever its caller wants, and whether with the usage at its
    end."""

    stream: bool
    usage: bool = False


WAYS = (Way(False), Way(True), Way(True, True))


def record(simulator_url: str, shape: Shape, way: Way) -> Recording:
    """Ask the simulator once. Of a stream, each event becomes a part; the role leaves with the first text, as
    providers do, and the usage, where it is asked for, with the end."""
    asked = json.loads(shape.body) | {"stream": way.stream}
    if way.usage:
        asked["stream_options"] = {"include_usage": True}
    body = ask(f"{simulator_url}/v1/chat/completions", json.dumps(asked).encode(), shape.options)
    if not way.stream:
        return Recording((_JSON_HEAD % (b"200 OK", len(body)) + body,))
    blocks = [block + b"\n\n" for block in body.split(b"\n\n") if block]
    texts = range(1, 1 + shape.tokens)
    said = [blocks[0] + blocks[1], *(blocks[number] for number in texts[1:]), b"".join(blocks[texts.stop :])]
    parts = [b"%x\r\n%b\r\n" % (len(block), block) for block in said]
    parts[0], parts[-1] = _STREAM_HEAD + parts[0], parts[-1] + _LAST
    return Recording(tuple(parts), shape.chunk_ms / 1000)


def ask(url: str, body: bytes | None = None, options: str = "") -> bytes:
    """What the simulator answers."""
    headers = {"Authorization": "Bearer simulated", "Content-Type": "application/json", "X-Simulator-Options": options}
    with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=20) as response:
        answer: bytes = response.read()
    return answer


# By the model's name, and how it was asked.
Recordings = dict[tuple[bytes, Way], Recording]


class Replay(asyncio.Protocol):
    """One connection. Understands requests with a length, one after the other."""

    def __init__(self, recordings: Recordings, models: bytes) -> None:
        self._recordings = recordings
        self._models = models
        self._rest = b""
        self._timer: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's classes
        self._loop = asyncio.get_running_loop()

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._rest += data
        end = self._rest.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._rest, 0, end)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._rest) < whole:
            return
        request, self._rest = self._rest[:whole], self._rest[whole:]
        if request.startswith(b"GET "):
            self._transport.write(_JSON_HEAD % (b"200 OK", len(self._models)) + self._models)
            return
        model = _MODEL.search(request, end)
        way = Way(_STREAM.search(request, end) is not None, _USAGE.search(request, end) is not None)
        recording = self._recordings.get((model[1], way)) if model else None
        if recording is None:
            self._transport.write(_JSON_HEAD % (b"404 Not Found", 2) + b"{}")
        else:
            self._send(recording)

    def _send(self, recording: Recording) -> None:
        if recording.interval_seconds:
            # Streams that began together must not stay in step.
            due = self._loop.time() + random.random() * recording.interval_seconds
            self._next(recording, 0, due)
        elif len(recording.parts) == 1:
            self._transport.write(recording.parts[0])
        else:
            self._burst(recording, 0)

    def _next(self, recording: Recording, number: int, due: float) -> None:
        """Part after part, each when it is due by the first's time, so that lateness does not add up."""
        self._transport.write(recording.parts[number])
        if number + 1 < len(recording.parts):
            due += recording.interval_seconds
            self._timer = self._loop.call_at(due, self._next, recording, number + 1, due)

    def _burst(self, recording: Recording, number: int) -> None:
        """Each part a write of its own, other connections between two of them."""
        self._transport.write(recording.parts[number])
        if number + 1 < len(recording.parts):
            self._timer = self._loop.call_soon(self._burst, recording, number + 1)


async def _serve(listener: socket.socket, simulator_url: str) -> None:
    recordings = {(shape.model.encode(), way): record(simulator_url, shape, way) for shape in SHAPES for way in WAYS}
    models = ask(f"{simulator_url}/v1/models")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listener.setblocking(False)
    server = await loop.create_server(lambda: Replay(recordings, models), sock=listener, backlog=4096)
    await stop.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.gateway.upstream", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="an inherited listening socket")
    parser.add_argument("--simulator", required=True, help="whose answers to replay")
    given = parser.parse_args()
    uvloop.run(_serve(socket.socket(fileno=given.fd), given.simulator))


if __name__ == "__main__":
    main()
