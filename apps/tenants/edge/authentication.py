"""Django REST framework's view of the principal that the middleware found."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from apps.tenants.contracts import Principal, Via
from apps.tenants.edge.failures import CsrfFailed


class PrincipalAuthentication(BaseAuthentication):
    """`request.user` is the `Principal`. Sessions need a CSRF token; a refused credential is told, not ignored."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        http_request: HttpRequest = request._request
        refused = getattr(http_request, "credential_problem", None)
        if refused is not None:
            raise refused
        principal: Principal | None = getattr(http_request, "principal", None)
        if principal is None:
            return None
        if principal.via is Via.SESSION:
            _enforce_csrf(http_request)
        return principal, None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="switchboard"'


def _enforce_csrf(request: HttpRequest) -> None:
    """REST framework exempts its views from Django's check, so it is made here."""
    check = CSRFCheck(lambda _request: None)  # type: ignore[arg-type]
    check.process_request(request)
    if check.process_view(request, None, (), {}):  # type: ignore[arg-type]
        raise CsrfFailed("Send the page's CSRF token in X-CSRFToken, or use a token instead of a session.")


class PrincipalScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the published schema describes the credentials."""

    target_class = PrincipalAuthentication
    name = ["bearer", "apiKey", "session"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        return [
            {"type": "http", "scheme": "bearer", "description": "An access token, or an API key (`sk-sb-...`)."},
            {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            {
                "type": "apiKey",
                "in": "cookie",
                "name": settings.SESSION_COOKIE_NAME,
                "description": "Needs X-CSRFToken on changes.",
            },
        ]
