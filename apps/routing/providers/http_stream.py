"""One call over HTTP, from posting to hanging up. What it says is the adapter's; how it fails is told here.

Raw aiohttp, because this is the hot path: a client library costs ten times as much per chunk.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import aiohttp
import orjson

from apps.outbound import refusal
from apps.routing.errors import ConnectFailed, MalformedStream, ProviderFailed, ProviderMisconfigured, StreamCut
from apps.routing.providers import refusals, sessions
from apps.routing.providers.base import Delta, Progress, Request
from apps.routing.providers.clock import Clock
from apps.routing.providers.sse import EventParser, EventTooLarge

ATTEMPT_HEADER = "X-Switchboard-Attempt"
_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "text/event-stream",
    # Compressed streams arrive in lumps.
    "Accept-Encoding": "identity",
}
_END_WAIT_SECONDS = 0.02  # for the connection to become reusable
_REFUSAL_WAIT_SECONDS = 5.0
_REFUSAL_MAX_BYTES = 16_384
_STREAM_MAX_BYTES = 1_048_576
_STREAM_MAX_BYTES_PER_TOKEN = 4_096
# An answer in one piece is held until it is complete, and read at once: a token has no frame of its own there.
_WHOLE_MAX_BYTES = 64 * 1_048_576
_WHOLE_MAX_BYTES_PER_TOKEN = 256
_SKIPPED_EVENTS_MAX = 20


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is posted: to which path below the provider's address, and with which headers beside those of every call."""

    path: str
    body: bytes
    headers: Mapping[str, str]


class Reader(Protocol):
    """Reads the events of one answer and keeps `progress`. `ended` says that the final marker came."""

    ended: bool

    def take(self, payload: bytes) -> Sequence[Delta]:
        """The deltas of one event. Raises a `ProviderFailed` for an error event."""
        ...

    def take_whole(self, document: Any) -> Sequence[Delta]:
        """The deltas of an answer that came in one piece. Raises a `ProviderFailed` where it is an error."""
        ...


async def deltas(
    request: Request, outgoing: Outgoing, reader: Reader, progress: Progress
) -> AsyncGenerator[Delta, None]:
    """See `base.Adapter.answer`. An answer whose finish reason and usage are there is complete, whatever may follow.

    Where the prompt says that nobody reads along, an answer in one piece will do, and costs a fraction.
    """
    whole_tokens = request.output_tokens_bound if request.prompt.whole else 0
    clock = Clock(request.deadlines, progress, request.provider_name, whole_tokens)
    response = await _post(request, outgoing, progress, clock)
    try:
        if request.prompt.whole and response.status == 200 and response.content_type == "application/json":
            for delta in reader.take_whole(await _document(response, request, progress, clock)):
                yield delta
            if progress.finish_reason is None:
                raise _unreadable(request.provider_name)
            return
        await _check(response, request, progress)
        parser = EventParser()
        received_bytes = 0
        limit_bytes = most_bytes(request)
        complete = False
        while not complete:
            data = await _read(response.content, clock, progress, request.provider_name)
            received_bytes += len(data)
            if received_bytes > limit_bytes:
                raise _unreadable(request.provider_name)
            complete = not data
            for payload in _events(parser, data, request.provider_name):
                before = progress.deltas
                read = reader.take(payload)
                if progress.deltas != before:
                    clock.heard()
                for delta in read:
                    yield delta
                if reader.ended:
                    complete = True
                    break
                complete = complete or (progress.finish_reason is not None and progress.usage_is_final)
            if progress.skipped_events > _SKIPPED_EVENTS_MAX:
                raise _unreadable(request.provider_name)
        if progress.finish_reason is None:
            raise _cut(progress, request.provider_name)
        await _let_go(response)
    finally:
        clock.stop()
        _hang_up(response)


def most_bytes(request: Request) -> int:
    """More than any answer to the request has."""
    return _STREAM_MAX_BYTES + _STREAM_MAX_BYTES_PER_TOKEN * request.output_tokens_bound


def most_whole_bytes(request: Request) -> int:
    """The same for an answer in one piece: a provider that goes on and on must not fill the memory of a process."""
    per_token = _STREAM_MAX_BYTES_PER_TOKEN if "logprobs" in request.prompt.parameters else _WHOLE_MAX_BYTES_PER_TOKEN
    return min(_STREAM_MAX_BYTES + per_token * request.output_tokens_bound, _WHOLE_MAX_BYTES)


async def _post(request: Request, outgoing: Outgoing, progress: Progress, clock: Clock) -> aiohttp.ClientResponse:
    """Send the request and wait for the head of the answer."""
    provider, deadlines = request.provider_name, request.deadlines
    session = await sessions.current(trusted=request.access.trusted)
    progress.sent = True
    try:
        async with asyncio.timeout_at(clock.silent_until()):
            return await session.post(
                f"{request.access.base_url.rstrip('/')}/{outgoing.path}",
                data=outgoing.body,
                headers={**_HEADERS, **outgoing.headers, ATTEMPT_HEADER: str(request.attempt_id)},
                allow_redirects=False,
                timeout=_timeout(deadlines.connect_seconds),
            )
    except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
        progress.sent = False
        if refusal(error):
            raise ProviderMisconfigured(refused_sentence(provider)) from error
        raise ConnectFailed(
            f"{provider} cannot be reached. Try again in a minute; if that does not help, an administrator should "
            "check the address."
        ) from error
    except TimeoutError as error:
        raise clock.expired() from error
    except aiohttp.InvalidURL as error:
        progress.sent = False
        raise ProviderMisconfigured(
            refused_sentence(provider)
            if refusal(error)
            else f"The address of {provider} is not valid. An administrator must correct it."
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise _cut(progress, provider) from error


@lru_cache(8)
def _timeout(connect_seconds: float) -> aiohttp.ClientTimeout:
    """For the connection alone: what follows has the clock's deadlines."""
    return aiohttp.ClientTimeout(total=None, connect=connect_seconds)


def refused_sentence(provider: str) -> str:
    """The same for every reason: what a name resolves to is nobody's business."""
    return f"The address of {provider} may not be called. An operator can allow it (OUTBOUND_ALLOW)."


async def _check(response: aiohttp.ClientResponse, request: Request, progress: Progress) -> None:
    """Raise unless the answer is a stream."""
    if response.status == 200 and response.content_type not in ("application/json", "text/html"):
        return
    progress.refused = response.status != 200
    body = b""
    try:
        async with asyncio.timeout(min(_REFUSAL_WAIT_SECONDS, request.deadlines.total_seconds)):
            while len(body) < _REFUSAL_MAX_BYTES and (data := await response.content.readany()):
                body += data
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass  # the status alone says enough
    provider, access = request.provider_name, request.access
    if response.status != 200:
        raise refusals.from_status(response.status, body[:_REFUSAL_MAX_BYTES], response.headers, provider, access)
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict) and document.get("error"):
        raise refusals.from_error_object(document["error"], provider, access)
    raise MalformedStream(f"{provider} did not answer with a stream. An administrator should check its address.")


async def _document(response: aiohttp.ClientResponse, request: Request, progress: Progress, clock: Clock) -> Any:
    """The answer in one piece. Raises what `deltas` raises for streams that end early, late or never."""
    parts: list[bytes] = []
    size_bytes, limit_bytes = 0, most_whole_bytes(request)
    content = response.content
    while not content.at_eof():
        data = await _read(content, clock, progress, request.provider_name)
        parts.append(data)
        size_bytes += len(data)
        if size_bytes > limit_bytes:
            raise _unreadable(request.provider_name)
    try:
        return orjson.loads(b"".join(parts))
    except orjson.JSONDecodeError as error:
        raise _unreadable(request.provider_name) from error


async def _read(content: aiohttp.StreamReader, clock: Clock, progress: Progress, provider: str) -> bytes:
    """What has arrived, or arrives before the deadline; empty at the end. A finished answer may end in any way."""
    try:
        return content.read_nowait() or await clock.next_bytes(content)
    except TimeoutError as error:
        if progress.finish_reason is not None:
            return b""
        raise clock.expired() from error
    except (aiohttp.ClientError, OSError) as error:
        if progress.finish_reason is not None:
            return b""
        raise _cut(progress, provider) from error


def _events(parser: EventParser, data: bytes, provider: str) -> Sequence[bytes]:
    """The events that are complete now; at the end of the input (no data) also one that lacks its blank line."""
    try:
        return parser.feed(data) if data else parser.rest()
    except EventTooLarge as error:
        raise _unreadable(provider) from error


def _unreadable(provider: str) -> MalformedStream:
    return MalformedStream(f"The answer of {provider} cannot be read. Try again.")


def _cut(progress: Progress, provider: str) -> ProviderFailed:
    if progress.skipped_events and not progress.deltas:
        return _unreadable(provider)
    when = "before the answer was complete" if progress.deltas else "without an answer"
    return StreamCut(f"{provider} ended the connection {when}. Try again.")


async def _let_go(response: aiohttp.ClientResponse) -> None:
    """Give the end of the body a moment to arrive, so that the connection can serve the next call."""
    try:
        async with asyncio.timeout(_END_WAIT_SECONDS):
            while await response.content.readany():
                pass
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass  # it is closed instead


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Close the connection at once, unless the whole answer was read and it is back in the pool already."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        # Not `close`, which would first say goodbye in TLS while the provider goes on generating.
        connection.transport.abort()
    response.close()
