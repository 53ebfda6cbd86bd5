"""A provider's refusal, by status or by error object, as one of our errors.

Only what is wrong with the request itself is quoted, with everything that looks like a secret blotted out.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from apps.observability.redaction import REDACTED, without_secrets
from apps.routing.contracts import ProviderAccess
from apps.routing.errors import (
    ContentFiltered,
    ContextExceeded,
    ProviderAuthFailed,
    ProviderFailed,
    ProviderMisconfigured,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
)

_QUOTED_CHARACTERS = 300
# A provider that asks for years is told on as one that asks for a day.
_LONGEST_SECONDS = 86_400.0
_CONTEXT_SIGNS = (
    "context_length",
    "context length",
    "context limit",
    "context window",
    "maximum context",
    "prompt is too long",
    "too many tokens",
)
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "responsibleaipolicyviolation"})
_FILTER_SIGN = "content filtering policy"
_NO_CREDIT_SIGN = "credit balance is too low"
_NO_CREDIT_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "account_deactivated"})
# Of the client errors, those that say nothing against the request; all others do, whatever their number. What a caller
# can bring about with a text must not open a breaker that others share.
_TEMPORARY = frozenset({408, 409, 421, 423, 424, 425, 499})
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "billing_error": 402,
    "not_found_error": 404,
    "request_too_large": 413,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def from_status(
    status: int, body: bytes, headers: Mapping[str, str], provider: str, access: ProviderAccess
) -> ProviderFailed:
    """The error for an HTTP status that is not 200."""
    return from_fields(status, error_object(body), headers, provider, access)


def from_fields(
    status: int, error: dict[str, Any], headers: Mapping[str, str], provider: str, access: ProviderAccess
) -> ProviderFailed:
    """The same for an error object that is read already."""
    return _classified(status, error, provider, access, retry_after_seconds(headers.get("Retry-After")))


def from_error_object(error: Any, provider: str, access: ProviderAccess) -> ProviderFailed:
    """The error for an error object that came with status 200."""
    fields = error if isinstance(error, dict) else {"message": str(error)}
    code = fields.get("code")
    if isinstance(code, int) and 400 <= code <= 599:
        status = code
    else:
        status = _STATUS_OF_TYPE.get(str(code), _STATUS_OF_TYPE.get(str(fields.get("type")), 500))
    return _classified(status, fields, provider, access, None)


def retry_after_seconds(header: str | None) -> float | None:
    """`Retry-After` in either of its forms, as seconds from now; None if absent or unreadable."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
            seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), _LONGEST_SECONDS) if seconds == seconds and seconds != float("inf") else None


def error_object(body: bytes) -> dict[str, Any]:
    """The error in a JSON body, in whichever of its usual places; empty where there is none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = document.get("error", document) if isinstance(document, dict) else {}
    return error if isinstance(error, dict) else {"message": str(error)}


def _classified(
    status: int, error: dict[str, Any], provider: str, access: ProviderAccess, retry_after: float | None
) -> ProviderFailed:
    code, message = str(error.get("code") or "").lower(), str(error.get("message") or "")
    if code in _NO_CREDIT_CODES or status == 402 or _NO_CREDIT_SIGN in message.lower():
        return ProviderAuthFailed(f"Our account at {provider} has no credit left. An administrator must top it up.")
    if status in (401, 403):
        return ProviderAuthFailed(f"{provider} does not accept our key. An administrator must renew it.")
    if status == 429:
        return ProviderRateLimited(
            f"{provider} is limiting our requests. Try again later.", retry_after_seconds=retry_after
        )
    if status == 404 or status == 405 or 300 <= status < 400:
        return ProviderMisconfigured(
            f"{provider} does not know this model, or its address is wrong (status {status}). An administrator must "
            "correct the deployment."
        )
    if 400 <= status < 500 and status not in _TEMPORARY:
        return _rejected(status, code, message, provider, access)
    return ProviderOverloaded(
        f"{provider} had an error of its own (status {status}). Try again in a minute.", retry_after_seconds=retry_after
    )


def _rejected(status: int, code: str, message: str, provider: str, access: ProviderAccess) -> ProviderRejected:
    lowered = message.lower()
    if status == 413 or any(sign in code or sign in lowered for sign in _CONTEXT_SIGNS):
        return ContextExceeded(
            f"The conversation is longer than the model at {provider} can read. Shorten it, or choose a model with a "
            "larger context."
        )
    if code in _FILTER_CODES or _FILTER_SIGN in lowered:
        return ContentFiltered(f"The content rules of {provider} refuse this prompt. Rephrase it.")
    quoted = _quotable(message, access)
    said = f": “{quoted}”" if quoted else ""
    return ProviderRejected(f"{provider} refuses the request{said}. Change it before trying again.")


def _quotable(message: str, access: ProviderAccess) -> str:
    if access.key:
        message = message.replace(access.key, REDACTED)
    if access.trusted and (host := urlsplit(access.base_url).hostname):
        # Where the installation's own servers stand is nobody's business; a workspace knows its own.
        message = re.sub(rf"(?i)(?:https?://)?{re.escape(host)}(?::\d+)?", REDACTED, message)
    printable = "".join(character if character.isprintable() else " " for character in message)
    return without_secrets(" ".join(printable.split()))[:_QUOTED_CHARACTERS].rstrip(".")
