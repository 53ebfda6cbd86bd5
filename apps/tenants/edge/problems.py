"""How errors leave the house: a problem document at programs' doors, a page elsewhere."""

import math
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import psycopg
import redis.exceptions
import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template import TemplateDoesNotExist
from rest_framework import exceptions as rest_exceptions

from apps import problems
from apps.problems import Forbidden, Invalid, NotFound, Problem, Unavailable
from apps.tenants.edge import scim_answers
from apps.tenants.errors import PayloadTooLarge

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = 2

_INFRASTRUCTURE = (
    OperationalError,
    InterfaceError,
    psycopg.OperationalError,  # a pool's timeout, outside of Django's wrapping
    psycopg.InterfaceError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,
)

_DOORS_OF_PROGRAMS = ("/api/", "/v1/", scim_answers.PREFIX, "/identity/o/api/", "/.well-known/")

log = structlog.get_logger(__name__)


def translate(error: BaseException) -> Problem | None:
    """The problem that tells an exception to a caller; None for what is a defect of ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, _INFRASTRUCTURE):
        log.error("door.unavailable", error=type(error).__name__)
        return Unavailable(
            "A part of the service does not answer at the moment. Nothing was changed; try again shortly.",
            retry_after_seconds=RETRY_SECONDS,
        )
    if isinstance(error, RequestDataTooBig):
        return PayloadTooLarge("The request is larger than this door takes.")
    if isinstance(error, SuspiciousOperation):
        return Invalid("The request was not understood.")
    if isinstance(error, Http404):
        return NotFound("There is nothing here.")
    if isinstance(error, PermissionDenied):
        return Forbidden("You may not do this.")
    return None


def is_of_programs(request: HttpRequest) -> bool:
    """Whether the door is one that programs use, whatever they say they accept."""
    return request.path.startswith(_DOORS_OF_PROGRAMS)


def speaks_json(request: HttpRequest) -> bool:
    """Whether the answer goes to a program: by its path, else by what it accepts."""
    if is_of_programs(request):
        return True
    accepted = request.headers.get("Accept", "")
    return "json" in accepted and "text/html" not in accepted


def headers_of(problem: Problem) -> dict[str, str]:
    """The headers that belong to a problem."""
    headers = {"Cache-Control": "no-store"}
    if problem.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after_seconds)))
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="switchboard"'
    return headers


def problem_response(problem: Problem) -> HttpResponse:
    """The problem as `application/problem+json`, with its status and headers."""
    return HttpResponse(
        orjson.dumps(problem.body()), status=problem.status, content_type=CONTENT_TYPE, headers=headers_of(problem)
    )


def answer(request: HttpRequest, problem: Problem) -> HttpResponse:
    """The problem in the form this caller reads: a document, a directory's document, or a page."""
    if request.path.startswith(scim_answers.PREFIX):
        return scim_answers.error(problem, headers_of(problem))
    return problem_response(problem) if speaks_json(request) else problem_page(request, problem)


def problem_page(request: HttpRequest, problem: Problem) -> HttpResponse:
    """A page that tells the problem: the status's own template, else the nearest one."""
    nearest = "400.html" if problem.status < 500 else "500.html"
    for name in (f"{problem.status}.html", nearest):
        try:
            page = render(request, name, {"problem": problem.body()}, status=problem.status)
        except TemplateDoesNotExist:
            continue
        for header, value in headers_of(problem).items():
            page[header] = value
        return page
    return HttpResponse(problem.detail, status=problem.status, content_type="text/plain; charset=utf-8")


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Django REST framework's hook: every refusal becomes a problem document; defects go on to the 500 handler."""
    problem = translate(error)
    if problem is not None:
        return problem_response(problem)
    if not isinstance(error, rest_exceptions.APIException):
        return None
    detail, fields = _told(error.detail)
    document = problems.body(
        status=error.status_code,
        code=_CODES.get(error.status_code, "invalid"),
        detail=detail,
        retryable=error.status_code in (429, 503),
        fields=fields,
    )
    headers = {"Cache-Control": "no-store"}
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="switchboard"'
    if isinstance(error, rest_exceptions.MethodNotAllowed):
        view = context.get("view")
        headers["Allow"] = ", ".join(view.allowed_methods) if view is not None else ""
    return HttpResponse(orjson.dumps(document), status=error.status_code, content_type=CONTENT_TYPE, headers=headers)


_CODES = {
    400: "invalid",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "unsupported_media_type",
    429: "rate_limited",
}


def _told(detail: Any) -> tuple[str, dict[str, Sequence[str]] | None]:
    """REST framework's error detail as one sentence and the fields at fault (nested ones with dotted names)."""
    if isinstance(detail, str):
        return str(detail), None
    fields: dict[str, list[str]] = {}
    _flatten(detail, "", fields)
    return "Some fields are not as they should be.", dict(fields)


def _flatten(detail: Any, name: str, fields: dict[str, list[str]]) -> None:
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            _flatten(value, f"{name}.{key}" if name else str(key), fields)
    elif isinstance(detail, Sequence) and not isinstance(detail, str):
        for index, value in enumerate(detail):
            nested = isinstance(value, Mapping)
            _flatten(value, f"{name}[{index}]" if nested else name, fields)
    else:
        fields.setdefault(name or "non_field_errors", []).append(str(detail))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler400."""
    return answer(request, translate(exception) or Invalid("The request was not understood."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler403."""
    return answer(request, Forbidden("You may not do this."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler404."""
    return answer(request, NotFound("There is nothing here."))


class _Defect(Problem):
    code = "internal_error"
    status = 500
    retryable = True


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Django's handler500. It must work when little else does, so a page that cannot be drawn becomes text.

    What fails outside of views (saving a session, say) arrives here too; it runs while that error is being handled.
    """
    error = sys.exc_info()[1]
    problem = (translate(error) if error is not None else None) or _Defect(
        "The fault is ours, and it is noted. Try again in a moment."
    )
    try:
        return answer(request, problem)
    except Exception as page_error:
        log.error("door.error_page_failed", error=type(page_error).__name__)
        return HttpResponse(problem.detail, status=problem.status, content_type="text/plain; charset=utf-8")
