"""What litellm raises as our errors: by the provider's status, which it keeps beside names of its own."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from apps.routing.errors import ConnectFailed, ContentFiltered, ContextExceeded, ProviderFailed, StreamCut
from apps.routing.providers import refusals
from apps.routing.providers.base import Progress, Request

_CONTEXT = "ContextWindowExceededError"
_FILTER = "ContentPolicyViolationError"
_KEY_NAMES = frozenset({"AuthenticationError"})
# Google answers a wrong key with 400.
_KEY_SIGN = "API_KEY_INVALID"
# What it raises by itself where Bedrock's events end in the middle of one: no status comes in the middle of a stream.
_UNREADABLE = 502
# By name, so that only workers with the package import httpx and what it brings. aiohttp carries its calls, and its
# transport calls a connection that was reset one that was never made: what speaks of a cut comes first.
_CUT = frozenset(
    {
        "BrokenPipeError",
        "ClientOSError",
        "ClientPayloadError",
        "ConnectionResetError",
        "ReadError",
        "RemoteProtocolError",
        "ServerDisconnectedError",
        "WriteError",
    }
)
_CONNECT = frozenset({"ClientConnectorError", "ConnectError", "ConnectTimeout", "ConnectionTimeoutError"})


def failure_of(error: Exception, request: Request, progress: Progress) -> ProviderFailed:
    """The error for what ended a call. An error in the middle of a stream carries the real one inside."""
    provider = request.provider_name
    chain = list(_chain(error))
    names = {type(one).__name__ for one in chain}
    if names & _CUT:
        return cut(provider)
    if names & _CONNECT:
        progress.sent = False
        return ConnectFailed(f"{provider} cannot be reached. An administrator should check the address.")
    if _CONTEXT in names:
        progress.refused = not progress.deltas
        return ContextExceeded(f"The conversation is longer than the model at {provider} can read. Shorten it.")
    if _FILTER in names:
        progress.refused = not progress.deltas
        return filtered(provider)
    told = next((one for one in reversed(chain) if _status(one)), error)
    if progress.deltas and _status(told) == _UNREADABLE:
        return cut(provider)
    progress.refused = not progress.deltas
    headers = getattr(getattr(told, "response", None), "headers", None) or {}
    fields = _fields(str(getattr(told, "message", "") or told))
    patience = headers.get("retry-after") or _retry_delay(fields)
    status = 401 if names & _KEY_NAMES or _KEY_SIGN in str(fields) else _status(told) or 500
    return refusals.from_fields(status, fields, {"Retry-After": patience} if patience else {}, provider, request.access)


def _fields(message: str) -> dict[str, Any]:
    """The provider's error object out of a sentence that holds its answer, or the answer's bytes as Python writes them.

    What cannot be read is left out: the package may have put the prompt into it.
    """
    begin, end = message.find("{"), message.rfind("}")
    if begin < 0:
        return {"message": message}
    body = message[begin : end + 1]
    if message[:begin].endswith(("b'", 'b"')):
        with suppress(UnicodeError):
            body = body.encode("latin-1").decode("unicode_escape").encode("latin-1").decode()
    return refusals.error_object(body.encode())


def _retry_delay(fields: dict[str, Any]) -> str | None:
    """Google says how long to wait in the error itself: `17s`."""
    details = fields.get("details")
    for one in details if isinstance(details, list) else ():
        if isinstance(one, dict) and isinstance(delay := one.get("retryDelay"), str):
            return delay.removesuffix("s")
    return None


def cut(provider: str) -> StreamCut:
    return StreamCut(f"{provider} ended the connection before the answer was complete. Try again.")


def filtered(provider: str) -> ContentFiltered:
    return ContentFiltered(f"The content rules of {provider} refuse this prompt. Rephrase it.")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those behind it, the nearest to the provider last."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "original_exception", None) or error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) and 400 <= status <= 599 else None
