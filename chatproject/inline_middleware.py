"""Django's middleware without a thread for every hook.

In an asynchronous chain Django runs each `process_request` and `process_response` on a thread, because a hook might
block. Those used here only look at headers and cookies; a dozen of these hops cost more than the hooks and the door
behind them. The few hooks that may reach the database or a request's body still get their thread, and only then.
"""

from typing import Any, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware

from apps.problems import Forbidden
from apps.tenants.edge.credentials import is_session_key
from apps.tenants.edge.problems import answer, is_of_programs
from apps.tenants.errors import MethodRefused

_PERMISSIONS = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), serial=(), usb=()"
_METHODS = "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class _Inline:
    """Mixed into a middleware: its hooks run where the chain runs."""

    get_response: Any

    def may_block(self, request: HttpRequest) -> bool:
        """Whether this `process_response` must not run on the event loop."""
        return False

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        before, after = getattr(self, "process_request", None), getattr(self, "process_response", None)
        response = before(request) if before is not None else None
        response = response or await self.get_response(request)
        if after is None:
            return cast(HttpResponseBase, response)
        if self.may_block(request):
            return cast(HttpResponseBase, await sync_to_async(after, thread_sensitive=True)(request, response))
        return cast(HttpResponseBase, after(request, response))


class InlineSecurity(_Inline, SecurityMiddleware):
    """Adds headers: Django's, no use of what a browser's machine has, and no embedding by other origins.

    People who come over plain HTTP are sent on to HTTPS. A program is refused: a redirect would hide that its key has
    just crossed the network in the open. TRACE, which tells back what a request carried, is refused to everybody.
    """

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        if request.method == "TRACE":
            refused = answer(request, MethodRefused("There is no TRACE here."))
            refused["Allow"] = _METHODS
            return refused
        sent_on = cast("HttpResponseBase | None", super().process_request(request))
        if sent_on is not None and is_of_programs(request):
            return answer(request, Forbidden("Use HTTPS. What this request carried was readable on its way."))
        return sent_on

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        answered = super().process_response(request, response)
        answered.headers.setdefault("Permissions-Policy", _PERMISSIONS)
        answered.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return answered


class InlineCSP(_Inline, CSPMiddleware):
    """Adds a header."""


class InlineCommon(_Inline, CommonMiddleware):
    """Redirects to the path with a slash, where only that exists."""


class InlineFrameOptions(_Inline, XFrameOptionsMiddleware):
    """Adds a header."""


class InlineAuthentication(_Inline, AuthenticationMiddleware):
    """Sets `request.user`, which is read from the database when somebody looks at it."""


class InlineSession(_Inline, SessionMiddleware):
    """Sets `request.session`, which is read when somebody looks at it, and saved where it was changed."""

    def process_request(self, request: HttpRequest) -> None:
        """A cookie that is no session key at all is dropped here: the database is never asked for it."""
        if not is_session_key(request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")):
            request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
        super().process_request(request)

    def may_block(self, request: HttpRequest) -> bool:
        return bool(request.session.modified)


class InlineMessages(_Inline, MessageMiddleware):
    """Keeps the messages of one page for the next; in the session where a cookie is too small."""

    def may_block(self, request: HttpRequest) -> bool:
        storage = getattr(request, "_messages", None)
        return storage is not None and (storage.used or storage.added_new)


class InlineCsrf(_Inline, CsrfViewMiddleware):
    """Compares the token of a change with its cookie; the token may be in a form, which is then read on a thread."""

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        if iscoroutinefunction(get_response):
            self.process_view = self._process_view_async  # type: ignore[assignment]

    async def _process_view_async(self, request: HttpRequest, *view: Any) -> HttpResponseBase | None:
        check = super().process_view
        exempt = request.method in _SAFE_METHODS or getattr(request, "_dont_enforce_csrf_checks", False)
        if exempt:
            return cast("HttpResponseBase | None", check(request, *view))
        return cast("HttpResponseBase | None", await sync_to_async(check, thread_sensitive=True)(request, *view))
