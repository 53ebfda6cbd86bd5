"""Problems: errors that every door can tell, with the shape of RFC 9457. A library without tables.

Each app's `errors.py` draws its tree from `Problem`; doors map `status`, `code` and `retryable` to their own wire.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar


class Problem(Exception):
    """An error a caller can act on.

    `code` is stable and for programs; `detail` tells a person what to do next; `retryable` says whether the same
    request may succeed later; `retry_after_seconds` when. `fields` names what was wrong with which input.
    """

    code: ClassVar[str] = "problem"
    status: ClassVar[int] = 400
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        retry_after_seconds: float | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds
        self.fields = fields

    def body(self) -> dict[str, Any]:
        """The problem document, ready for JSON."""
        return body(
            status=self.status,
            code=self.code,
            detail=self.detail,
            retryable=self.retryable,
            fields=self.fields,
        )


class NotFound(Problem):
    """No such thing for this caller. Another tenant's thing looks exactly the same."""

    code = "not_found"
    status = 404


class Invalid(Problem):
    """The request cannot be understood or breaks a rule of the thing it changes."""

    code = "invalid"
    status = 400


class Forbidden(Problem):
    """The caller is known, and may not do this."""

    code = "forbidden"
    status = 403


class Unauthenticated(Problem):
    """Nobody, or nobody we know."""

    code = "unauthenticated"
    status = 401


class MethodNotAllowed(Problem):
    """The path is there, and takes other methods."""

    code = "method_not_allowed"
    status = 405


class Conflict(Problem):
    """The request contradicts what is already there."""

    code = "conflict"
    status = 409


class Unavailable(Problem):
    """A part of the installation does not answer; nothing was changed."""

    code = "unavailable"
    status = 503
    retryable = True


class InternalError(Problem):
    """A defect of ours."""

    code = "internal_error"
    status = 500
    retryable = True


def body(
    *,
    status: int,
    code: str,
    detail: str,
    retryable: bool = False,
    fields: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """A problem document (RFC 9457 members plus `code`, `retryable` and, for bad fields, `errors`)."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": retryable,
    }
    if fields:
        document["errors"] = {name: list(messages) for name, messages in fields.items()}
    return document
