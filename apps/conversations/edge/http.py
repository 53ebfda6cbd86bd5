"""The frame of an async HTTP door: one method, a known caller. Problems are told by the middleware."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from apps.problems import Invalid, Problem, Unauthenticated
from apps.tenants.edge.parsers import parse_json
from apps.tenants.edge.problems import problem_response

Door = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


class MethodNotAllowed(Problem):
    """This path knows another method."""

    code = "method_not_allowed"
    status = 405


class UnsupportedMediaType(Problem):
    """The body is not JSON by what its sender says."""

    code = "unsupported_media_type"
    status = 415


def door(method: str) -> Callable[[Door], Door]:
    """Wrap an async view `(request, principal, ...)`, so that only known callers reach it, by one method."""

    def decorate(view: Door) -> Door:
        @wraps(view)
        async def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method != method:
                response = problem_response(MethodNotAllowed(f"Use {method} here."))
                response["Allow"] = method
                return response
            principal = getattr(request, "principal", None)
            if principal is None:
                refused = getattr(request, "credential_problem", None)
                raise refused or Unauthenticated("Sign in, or send an API key or an access token.")
            return await view(request, principal, *args, **kwargs)

        return wrapped

    return decorate


def json_object(request: HttpRequest) -> dict[str, Any]:
    """The request's body as a JSON object; a sender that does not say what it sends is believed.

    Raises `Invalid` with what is wrong, `UnsupportedMediaType`, `PayloadTooLarge`.
    """
    if (request.content_type or "").lower() not in ("", "application/json"):
        raise UnsupportedMediaType("Send the body as application/json.")
    body = parse_json(request.body)
    if not isinstance(body, dict):
        raise Invalid("Send a JSON object.")
    return body
