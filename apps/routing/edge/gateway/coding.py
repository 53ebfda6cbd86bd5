"""Answers compressed for whoever accepts gzip. Of a stream each piece is flushed, so that none waits for the next."""

import asyncio
import zlib
from collections.abc import Mapping
from functools import lru_cache

from django.conf import settings

from apps.routing.edge.gateway.http import Request, Response, Send

HEADER = b"accept-encoding"
# Below it the head outweighs what is saved.
SMALLEST_BYTES = 1024
# What takes milliseconds is left to a thread: zlib lets the event loop go on meanwhile.
_LONG_BYTES = 64 * 1024
# A window of 4 KiB holds many pieces, which repeat each other nearly word for word; the usual one of 32 KiB would take
# a quarter of a megabyte for each open stream, this one 32 KiB.
_GZIP_WINDOW = 16 + 12
_MEMORY_LEVEL = 5
_LEVEL = 1


def response_to(request: Request, send: Send) -> Response:
    """Tells the caller in the way that it asks for."""
    accepted = request.header(HEADER)
    if accepted is None or not settings.GATEWAY_COMPRESSION or not accepts_gzip(accepted):
        return Response(send)
    return Compressed(send)


@lru_cache(256)
def accepts_gzip(accepted: str) -> bool:
    """Whether an `Accept-Encoding` names gzip, and not only to exclude it."""
    for offer in accepted[:1000].lower().split(","):
        name, _, parameters = offer.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            quality = parameters.replace(" ", "").removeprefix("q=")
            return not quality or quality.strip("0.") != ""
    return False


class Compressed(Response):
    """gzip: whole answers where it pays, streams always."""

    def __init__(self, send: Send) -> None:
        super().__init__(send)
        self._stream = _compressor()

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        if len(body) >= SMALLEST_BYTES:
            body = _gzip(body) if len(body) < _LONG_BYTES else await asyncio.to_thread(_gzip, body)
            headers = {**headers, "content-encoding": "gzip"}
        await super().whole(status, headers, body)

    async def start(self, status: int, headers: Mapping[str, str], keep_alive: bytes) -> None:
        await super().start(status, {**headers, "content-encoding": "gzip"}, keep_alive)

    async def write(self, piece: bytes) -> None:
        await super().write(self._stream.compress(piece) + self._stream.flush(zlib.Z_SYNC_FLUSH))

    async def end(self, piece: bytes = b"", *, cut: bool = False) -> None:
        self.stop()  # nothing may be said between the last piece and the end of the format
        await super().end(self._stream.compress(piece) + self._stream.flush(), cut=cut)


def _compressor() -> "zlib._Compress":
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW, _MEMORY_LEVEL)


def _gzip(body: bytes) -> bytes:
    return zlib.compress(body, _LEVEL, 31)
