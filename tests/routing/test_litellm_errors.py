"""Errors as litellm hands them on, by shape: their names, what they wrap, the status they keep.

The package itself is imported in tests/verify, where it is held against five providers; an import costs seconds.
"""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from apps.routing.providers import litellm
from apps.routing.providers.base import Progress
from apps.routing.providers.litellm_errors import failure_of
from tests.routing.reception import receive, request


@dataclass
class Raised(Exception):
    """Has what the package's errors have."""

    message: str = ""
    status_code: int | None = None
    original_exception: BaseException | None = None
    response: Any = None


def _named(name: str, **fields: Any) -> Exception:
    error: Exception = type(name, (Raised,), {})(**fields)
    return error


def _headers(**headers: str) -> Any:
    return httpx.Response(429, headers={name.replace("_", "-"): value for name, value in headers.items()})


def _midway(inner: Exception) -> Exception:
    """Whatever goes wrong in the middle of a stream comes in one of these."""
    return _named("MidStreamFallbackError", message=str(inner), status_code=503, original_exception=inner)


@pytest.mark.parametrize("wrap", [lambda one: one, _midway], ids=["at once", "midway"])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (_named("RateLimitError", status_code=429), "provider_rate_limited"),
        (_named("AuthenticationError", status_code=401), "provider_auth_failed"),
        (_named("PermissionDeniedError", status_code=403), "provider_auth_failed"),
        (_named("NotFoundError", status_code=404), "provider_misconfigured"),
        (_named("BadRequestError", status_code=400, message="no such parameter"), "provider_rejected"),
        (_named("ContextWindowExceededError", status_code=400), "context_length_exceeded"),
        (_named("BadRequestError", status_code=400, message="exceeds the maximum context length"),
         "context_length_exceeded"),
        (_named("ContentPolicyViolationError", status_code=400), "content_filtered"),
        (_named("InternalServerError", status_code=500), "provider_overloaded"),
        (_named("ServiceUnavailableError", status_code=503), "provider_overloaded"),
        (_named("APIError", message="what is this"), "provider_overloaded"),
        (httpx.ReadError(""), "stream_cut"),
        (httpx.RemoteProtocolError("peer closed connection"), "stream_cut"),
        (_named("ClientPayloadError"), "stream_cut"),
    ],
)  # fmt: skip
def test_the_error_behind_decides(wrap: Any, error: Exception, code: str) -> None:
    progress = Progress(sent=True)
    assert failure_of(wrap(error), request("http://x/v1"), progress).code == code
    assert progress.sent


def test_a_connection_that_was_never_made_cost_nothing() -> None:
    for error in (httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), _named("ClientConnectorError")):
        progress = Progress(sent=True)
        outer = _named("InternalServerError", status_code=500)
        outer.__cause__ = error
        assert failure_of(outer, request("http://x/v1"), progress).code == "provider_unreachable"
        assert not progress.sent


def test_a_time_to_wait_is_kept_from_wherever_it_stands() -> None:
    inner = _named("RateLimitError", status_code=429, response=_headers(Retry_After="7"))
    for error in (inner, _midway(inner)):
        assert failure_of(error, request("http://x/v1"), Progress()).retry_after_seconds == 7.0


def test_keys_are_blotted_out_of_what_is_quoted() -> None:
    error = _named("BadRequestError", status_code=400, message="bad thing with sk-canary-0123456789abcdef in it")
    failed = failure_of(error, request("http://x/v1", key="sk-canary-0123456789abcdef"), Progress())
    assert "bad thing" in failed.detail
    assert "canary" not in failed.detail


def test_after_the_first_token_nothing_was_refused() -> None:
    progress = Progress(sent=True, deltas=3)
    failure_of(_midway(_named("RateLimitError", status_code=429)), request("http://x/v1"), progress)
    assert not progress.refused


async def test_a_process_that_did_not_load_it_cannot_call() -> None:
    assert not litellm.loaded()
    with pytest.raises(RuntimeError, match="did not load"):
        await receive(request("http://127.0.0.1:1/v1"), litellm.LiteLLM())
