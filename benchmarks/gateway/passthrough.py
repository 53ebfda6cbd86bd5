"""The bare pass-through: an ASGI application that hands each call on with aiohttp, and nothing else.

No key is looked at, nothing is counted, bodies are not read: the least that a gateway in Python can cost.
"""

from __future__ import annotations

import os
from typing import Any

import aiohttp

UPSTREAM_VARIABLE = "BENCH_UPSTREAM_URL"
_PASSED_ON = {b"content-type", b"authorization"}
_CONNECTIONS = 2_000

_session: aiohttp.ClientSession | None = None


def _client() -> aiohttp.ClientSession:
    global _session
    if _session is None:
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=75)
        _session = aiohttp.ClientSession(
            os.environ[UPSTREAM_VARIABLE],
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
    return _session


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {name.decode(): value.decode() for name, value in scope["headers"] if name in _PASSED_ON}
    async with _client().post(scope["path"], data=body, headers=headers) as response:
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [
                    (name.lower().encode(), value.encode())
                    for name, value in response.headers.items()
                    if name.lower() in ("content-type", "content-length")
                ],
            }
        )
        if response.content_length is not None:
            await send({"type": "http.response.body", "body": await response.read()})
            return
        async for piece in response.content.iter_any():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown" and _session is not None:
            await _session.close()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
