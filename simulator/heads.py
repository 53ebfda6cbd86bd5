"""Status lines and headers of responses."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from time import time

from simulator.pacing import Head


def head(
    status: int, content_type: str, *, length_bytes: int | None = None, extra: dict[str, str] | None = None
) -> Head:
    """Status line and headers; chunked when no length is given. A caller may always keep the connection."""
    lines = [f"HTTP/1.1 {status} {_reason(status)}", f"Content-Type: {content_type}", "Server: simulator"]
    if length_bytes is None:
        lines += ["Transfer-Encoding: chunked", "Cache-Control: no-cache"]
    else:
        lines.append(f"Content-Length: {length_bytes}")
    lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
    return Head(status, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), length_bytes is None)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded"


def retry_headers(after_seconds: float | None, date_seconds: float | None) -> dict[str, str]:
    """`Retry-After` in seconds or, the other form the standard allows, as a date."""
    if date_seconds is not None:
        return {"Retry-After": formatdate(time() + date_seconds, usegmt=True)}
    if after_seconds is not None:
        return {"Retry-After": format(after_seconds, "g")}
    return {}
