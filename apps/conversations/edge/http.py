"""The frame of an async HTTP door: method, principal, and problems in the door's own form."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from apps.problems import Problem, Unauthenticated
from apps.tenants.edge.problems import method_not_allowed, problem_of, problem_response

Door = Callable[..., Awaitable[HttpResponseBase]]


def door(method: str) -> Callable[[Door], Door]:
    """Wrap an async view `(request, principal, ...)`: one method, a known caller, errors as problem bodies."""

    def decorate(view: Door) -> Door:
        @wraps(view)
        async def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method != method:
                return method_not_allowed(method)
            try:
                principal = getattr(request, "principal", None)
                if principal is None:
                    raise Unauthenticated("Sign in, or send an API key or access token.")
                return await view(request, principal, *args, **kwargs)
            except Exception as error:
                problem = problem_of(error)
                if problem is None:
                    raise
                return problem_response(problem)

        return wrapped

    return decorate


__all__ = ["Problem", "door"]
