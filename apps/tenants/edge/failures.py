"""What a request without a valid CSRF token is told."""

from django.http import HttpRequest, HttpResponse

from apps.problems import Forbidden, Unauthenticated
from apps.tenants.edge.problems import answer, speaks_json


class CsrfFailed(Forbidden):
    """A cookie alone does not prove that a change was meant; the page's token does."""

    code = "csrf_failed"


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW. A program without any credential learns that it has none: CSRF is not its trouble."""
    refused = getattr(request, "credential_problem", None)
    if refused is not None:
        return answer(request, refused)
    if speaks_json(request) and getattr(request, "principal", None) is None:
        return answer(request, Unauthenticated("Send a token or an API key as `Authorization: Bearer ...`."))
    return answer(request, CsrfFailed("This page is out of date. Reload it and try again."))
