"""OpenAI's chat completions over HTTP: OpenAI itself, Ollama, vLLM, the simulator and many more.

Raw aiohttp and orjson, because this is the hot path: a client library costs ten times as much per chunk.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from apps.outbound import refusal
from apps.routing.contracts import Deadlines
from apps.routing.errors import (
    ConnectFailed,
    FirstTokenTimeout,
    GapTimeout,
    MalformedStream,
    ProviderFailed,
    ProviderMisconfigured,
    StreamCut,
    TotalTimeout,
)
from apps.routing.providers import refusals, sessions
from apps.routing.providers.base import Delta, Progress, Request
from apps.routing.providers.chat_chunks import DONE, ChunkReader
from apps.routing.providers.sse import EventParser, EventTooLarge

ATTEMPT_HEADER = "X-Switchboard-Attempt"
# What is ours to say, whatever parameters a caller passes through.
_OURS = frozenset({"model", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens"})
_USAGE_WAIT_SECONDS = 2.0  # after the finish reason
_END_WAIT_SECONDS = 0.02  # for the connection to become reusable
_REFUSAL_WAIT_SECONDS = 5.0
_REFUSAL_MAX_BYTES = 16_384
_STREAM_MAX_BYTES = 1_048_576
_STREAM_MAX_BYTES_PER_TOKEN = 4_096
_SKIPPED_EVENTS_MAX = 20


class _Clock:
    """The deadlines of one attempt, in the loop's time."""

    __slots__ = ("_deadlines", "_heard", "_progress", "_provider", "_silent_since", "_total_at", "now")

    def __init__(self, deadlines: Deadlines, progress: Progress, provider: str) -> None:
        self.now = asyncio.get_running_loop().time
        self._silent_since = self.now()
        self._total_at = self._silent_since + deadlines.total_seconds
        self._heard = False
        self._deadlines = deadlines
        self._progress = progress
        self._provider = provider

    def heard(self) -> None:
        """A token came, so the silence ended."""
        self._heard = True
        if self._progress.first_token_seconds is None:
            self._progress.first_token_seconds = self.now() - self._silent_since

    def silent_until(self) -> float:
        """When the wait that begins now must end. The gap counts from the first wait after a token: the time that the
        reader of our stream took is not the provider's, and comments do not end a silence."""
        if self._heard:
            self._heard = False
            self._silent_since = self.now()
        if self._progress.finish_reason is not None:
            allowed_seconds = _USAGE_WAIT_SECONDS
        elif self._progress.first_token_seconds is None:
            allowed_seconds = self._deadlines.first_token_seconds
        else:
            allowed_seconds = self._deadlines.gap_seconds
        return min(self._total_at, self._silent_since + allowed_seconds)

    def expired(self) -> ProviderFailed:
        """The error for the deadline that passed."""
        if self.now() >= self._total_at:
            return TotalTimeout("The answer took longer than allowed. Try again, or ask for a shorter one.")
        if self._progress.first_token_seconds is None:
            return FirstTokenTimeout(
                f"{self._provider} did not begin to answer within {self._deadlines.first_token_seconds:g} s. Try again."
            )
        return GapTimeout(
            f"{self._provider} fell silent in its answer for {self._deadlines.gap_seconds:g} s. Try again."
        )


class OpenAICompatible:
    """Implements `base.Adapter`. Has no state: connections belong to the loop's session."""

    async def answer(self, request: Request, progress: Progress) -> AsyncGenerator[Delta, None]:
        """See `base.Adapter.answer`."""
        clock = _Clock(request.deadlines, progress, request.provider_name)
        response = await _post(request, progress, clock)
        try:
            await _check(response, request, progress)
            reader = ChunkReader(
                progress, lambda error: refusals.from_error_object(error, request.provider_name, request.access)
            )
            parser = EventParser()
            received_bytes = 0
            limit_bytes = _STREAM_MAX_BYTES + _STREAM_MAX_BYTES_PER_TOKEN * request.output_tokens_bound
            complete = False
            while not complete:
                data = await _read(response.content, clock, progress, request.provider_name)
                received_bytes += len(data)
                if received_bytes > limit_bytes:
                    raise _unreadable(request.provider_name)
                complete = not data
                for payload in _events(parser, data, request.provider_name):
                    if payload == DONE:
                        complete = True
                        break
                    before = progress.deltas
                    deltas = reader.take(payload)
                    if progress.deltas != before:
                        clock.heard()
                    for delta in deltas:
                        yield delta
                    complete = complete or (progress.finish_reason is not None and progress.usage_is_final)
                if progress.skipped_events > _SKIPPED_EVENTS_MAX:
                    raise _unreadable(request.provider_name)
            if progress.finish_reason is None:
                raise _cut(progress, request.provider_name)
            await _let_go(response)
        finally:
            _hang_up(response)


async def _post(request: Request, progress: Progress, clock: _Clock) -> aiohttp.ClientResponse:
    """Send the request and wait for the head of the answer."""
    provider, deadlines = request.provider_name, request.deadlines
    session = await sessions.current(trusted=request.access.trusted)
    progress.sent = True
    try:
        async with asyncio.timeout_at(clock.silent_until()):
            return await session.post(
                f"{request.access.base_url.rstrip('/')}/chat/completions",
                data=body_of(request),
                headers=_headers(request),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=deadlines.connect_seconds),
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


def refused_sentence(provider: str) -> str:
    """The same for every reason: what a name resolves to is nobody's business."""
    return f"The address of {provider} may not be called. An operator can allow it (OUTBOUND_ALLOW)."


def body_of(request: Request) -> bytes:
    """The request's body. Usage is always asked for, and `max_tokens` is what was reserved."""
    passed_on = {name: value for name, value in request.prompt.parameters.items() if name not in _OURS}
    return orjson.dumps(
        {
            **passed_on,
            "model": request.upstream_model,
            "messages": list(request.prompt.messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            _limit_name(request.access.base_url): request.output_tokens_bound,
        }
    )


def _limit_name(base_url: str) -> str:
    """OpenAI's newer models refuse `max_tokens`; many servers know nothing else."""
    return "max_completion_tokens" if urlsplit(base_url).hostname == "api.openai.com" else "max_tokens"


def _headers(request: Request) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        # Compressed streams arrive in lumps.
        "Accept-Encoding": "identity",
        ATTEMPT_HEADER: str(request.attempt_id),
    }
    if request.access.key:
        headers["Authorization"] = f"Bearer {request.access.key}"
    return headers


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


async def _read(content: aiohttp.StreamReader, clock: _Clock, progress: Progress, provider: str) -> bytes:
    """What has arrived, or arrives before the deadline; empty at the end. A finished answer may end in any way."""
    try:
        if data := content.read_nowait():
            return data
        async with asyncio.timeout_at(clock.silent_until()):
            return await content.readany()
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
