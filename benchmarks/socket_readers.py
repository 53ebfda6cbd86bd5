"""Many WebSockets that read and measure, for next to no CPU: frames are taken apart by hand.

`python -m benchmarks.socket_readers URL KEY`: reads generation ids as a line of JSON, subscribes a socket to each, says
`ready`, and on the next line of its input prints what it measured.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import resource
import sys
import time
from array import array
from typing import cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.figures import percentile

_AT_ONCE = 25
_SUBSCRIBE_SECONDS = 20.0  # for so many
_SHORT, _LONG = 126, 127
_TEXT, _CLOSE = 0x1, 0x8


class Measured:
    """What all sockets of this process saw: delays in seconds, one for each token."""

    def __init__(self) -> None:
        self.delays = array("d")
        self.frames = 0
        self.tokens = 0
        self.closed = 0
        self.started = 0


class ReadingSocket(asyncio.Protocol):
    """One WebSocket client: shakes hands, authenticates, subscribes, then reads."""

    def __init__(self, host: str, key: str, generation_id: str, measured: Measured) -> None:
        self._host, self._key, self._generation_id = host, key, generation_id
        self._measured = measured
        self._rest = b""
        self._open = False
        self.subscribed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        nonce = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            f"GET /ws/chat/ HTTP/1.1\r\nHost: {self._host}\r\nOrigin: http://{self._host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def connection_lost(self, error: Exception | None) -> None:
        self._measured.closed += 1
        if not self.subscribed.done():
            self.subscribed.set_exception(ConnectionError("refused"))

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        data = self._rest + data if self._rest else data
        if not self._open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._rest = head
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                raise ConnectionError(head.decode(errors="replace"))
            self._open = True
            self._send({"type": "auth", "token": self._key})
        self._rest = self._frames(data, now_ns)

    def _frames(self, data: bytes, now_ns: int) -> bytes:
        """Take all whole frames and return what is left."""
        position, available = 0, len(data)
        while available - position >= 2:
            size, start = data[position + 1], position + 2
            if size == _SHORT:
                size, start = int.from_bytes(data[start : start + 2]), start + 2
            elif size == _LONG:
                size, start = int.from_bytes(data[start : start + 8]), start + 8
            if start + size > available:
                break
            self._frame(data[position] & 0xF, data[start : start + size], now_ns)
            position = start + size
        return data[position:]

    def _frame(self, opcode: int, payload: bytes, now_ns: int) -> None:
        measured = self._measured
        if opcode == _TEXT and payload.startswith(b'{"type":"token.delta"'):
            measured.frames += 1
            # A text that waited with others came in one entry with them.
            for part in payload.split(b"@")[1:]:
                measured.tokens += 1
                measured.delays.append((now_ns - int(part.split(b" ", 1)[0])) / 1e9)
        elif opcode == _TEXT:
            self._other(json.loads(payload))
        elif opcode == _CLOSE:
            self._transport.close()

    def _other(self, event: dict[str, object]) -> None:
        if event["type"] == "ready":
            self._send({"type": "subscribe", "stream": self._generation_id, "after": None})
            self.subscribed.set_result(None)
        elif event["type"] == "message.started":
            self._measured.started += 1
        elif event["type"] == "error":
            raise ConnectionError(str(event))

    def _send(self, body: dict[str, object]) -> None:
        """A text frame; clients must mask, and a mask of zeros is one."""
        payload = json.dumps(body).encode()
        length = bytes([0x80 | len(payload)]) if len(payload) < _SHORT else b"\xfe" + len(payload).to_bytes(2)
        self._transport.write(b"\x81" + length + b"\x00\x00\x00\x00" + payload)


async def read(url: str, key: str, ids: list[str]) -> dict[str, float]:
    address = urlsplit(url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    measured = Measured()
    loop = asyncio.get_running_loop()
    for first in range(0, len(ids), _AT_ONCE):
        sockets = []
        for generation_id in ids[first : first + _AT_ONCE]:
            _, socket = await loop.create_connection(
                lambda id=generation_id: ReadingSocket(address.netloc, key, id, measured),  # type: ignore[misc]
                host,
                port,
            )
            sockets.append(socket.subscribed)
        async with asyncio.timeout(_SUBSCRIBE_SECONDS):
            await asyncio.gather(*sockets)
    print("ready", flush=True)
    cpu_before, began = time.process_time(), loop.time()
    await asyncio.to_thread(sys.stdin.readline)
    took = loop.time() - began
    delays = list(measured.delays)
    return {
        "tokens": measured.tokens,
        "frames": measured.frames,
        "started": measured.started,
        "closed": measured.closed,
        "cpu_share": (time.process_time() - cpu_before) / took,
        **{f"p{round(100 * share)}_ms": 1000 * percentile(delays, share) for share in (0.5, 0.95, 0.99)},
        "max_ms": 1000 * max(delays, default=float("nan")),
    }


def main() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    ids = json.loads(sys.stdin.readline())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(read(sys.argv[1], sys.argv[2], ids))), flush=True)


if __name__ == "__main__":
    main()
