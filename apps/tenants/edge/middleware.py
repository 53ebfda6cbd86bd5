"""What every request passes: context for logs and metrics, then who is calling.

Both work for synchronous and asynchronous views; in an asynchronous chain the database is asked on a thread.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from apps.accounts.browsers import note_use
from apps.observability import context, metrics
from apps.problems import Forbidden, Problem
from apps.tenants import audit, audit_content, policy
from apps.tenants.contracts import Principal
from apps.tenants.edge import credentials
from apps.tenants.edge.problems import answer, speaks_json, translate
from apps.tenants.errors import TenantMismatch
from apps.tenants.scope import database_step

TENANT_HEADER = "X-Switchboard-Tenant"
# The app name of administrations. They guard themselves: staff or the tenant's administrators, with a second factor.
ADMINISTRATION = "admin"

GetResponse = Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]

log = structlog.get_logger(__name__)


class _BothWays:
    """A middleware that is a coroutine function exactly when what it wraps is one."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(cast("Callable[..., Awaitable[HttpResponseBase]]", self))

    def respond(self, request: HttpRequest) -> HttpResponseBase:
        return cast("HttpResponseBase", self.get_response(request))

    async def respond_async(self, request: HttpRequest) -> HttpResponseBase:
        return await cast("Awaitable[HttpResponseBase]", self.get_response(request))


class RequestContextMiddleware(_BothWays):
    """Gives a request its id and trace, binds them to log lines, counts it, and tells errors to its caller.

    A well-formed `X-Request-Id` of the caller is kept; the answer carries it in any case.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._call_async(request)
        began = time.monotonic()
        with self._context(request):
            return self._finished(request, self.respond(request), began)

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        began = time.monotonic()
        with self._context(request):
            return self._finished(request, await self.respond_async(request), began)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """A view's problem becomes an answer; anything else goes on to the 500 handler."""
        problem = translate(exception) if _is_ours(exception) else None
        return answer(request, problem) if problem is not None else None

    @contextmanager
    def _context(self, request: HttpRequest) -> Iterator[None]:
        request.request_id = context.request_id(request.headers.get("X-Request-Id"))  # type: ignore[attr-defined]
        given = context.TraceParent.parse(request.headers.get("traceparent"))
        trace = given.child() if given else context.TraceParent.new()
        request.traceparent = str(trace)  # type: ignore[attr-defined]
        came_from = audit.address.set(audit_content.address(request.META.get("REMOTE_ADDR")))
        try:
            with context.bound(request_id=request.request_id, trace_id=trace.trace_id):  # type: ignore[attr-defined]
                yield
        finally:
            audit.address.reset(came_from)

    def _finished(self, request: HttpRequest, response: HttpResponseBase, began: float) -> HttpResponseBase:
        seconds = time.monotonic() - began
        match = request.resolver_match
        route = f"/{match.route}" if match is not None else None
        # What a view does not say otherwise is kept nowhere: not by the browser of a shared machine, nor on the way.
        response.headers.setdefault("Cache-Control", "no-store")
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        metrics.http_answered(request.method or "", route, response.status_code, seconds)
        principal: Principal | None = getattr(request, "principal", None)
        log.info(
            "request",
            method=request.method,
            route=route,
            status=response.status_code,
            duration_ms=round(seconds * 1000, 1),
            tenant_id=str(principal.tenant_id) if principal else None,
            user_id=str(principal.user_id) if principal else None,
        )
        return response


def _is_ours(exception: Exception) -> bool:
    """Django answers its own exceptions (404, 403, 400) through the handlers; the rest is for us to tell."""
    return isinstance(exception, Problem) or not exception.__class__.__module__.startswith(
        ("django.http", "django.core")
    )


class PrincipalMiddleware(_BothWays):
    """Sets `request.principal` (`Principal | None`) and `request.credential_problem` (`Problem | None`).

    A credential in the headers wins over the session cookie, whatever it is worth: a request that shows a bad token is
    nobody's, not its cookie's. Only a request that a header authenticated is exempt from CSRF checks.
    """

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        # A synchronous hook would cost an asynchronous chain a thread for every request.
        self.process_view = self._process_view_async if self.is_async else _refused_view

    async def _process_view_async(self, request: HttpRequest, *view: Any) -> HttpResponseBase | None:
        return _refused_view(request, *view)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._call_async(request)
        refusal = _identify(request)
        if refusal is not None:
            return answer(request, refusal)
        with _bound(request):
            return self.respond(request)

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        _nobody(request)
        if _carries_credential(request):
            refusal = await database_step(_identify, request)
            if refusal is not None:
                return answer(request, refusal)
        with _bound(request):
            return await self.respond_async(request)


def _refused_view(request: HttpRequest, view: Callable[..., Any], *_: Any) -> HttpResponseBase | None:
    """Hold a known caller up to the policy before the view runs. Strangers are told by the view itself what to do."""
    if not view.__module__.startswith("apps.") or request.resolver_match is None:
        return None  # the frame's own views (documents, sign-in) guard themselves
    if ADMINISTRATION in request.resolver_match.app_names:
        return None
    actions = policy.declared(view)
    if actions is None:
        log.error("policy.undeclared", view=f"{view.__module__}.{view.__qualname__}")
        return answer(request, Forbidden("This door is closed to everybody: nobody has said whom it is for."))
    principal: Principal | None = request.principal  # type: ignore[attr-defined]
    action = actions.get("GET" if request.method == "HEAD" else request.method or "")
    if principal is None or action is None:
        return None  # of a method without an action there is no handler; the view says so
    if not policy.allows(principal.role, action):
        log.warning("door.refused", action=action.value, role=principal.role, via=principal.via)
        return answer(request, policy.refusal(principal))
    if principal.lacks_second_factor:
        return redirect("mfa_index") if not speaks_json(request) else answer(request, policy.setup_required())
    return None


def _bound(request: HttpRequest) -> AbstractContextManager[None]:
    principal: Principal | None = request.principal  # type: ignore[attr-defined]
    if principal is None:
        return context.bound()
    return context.bound(tenant_id=principal.tenant_id, user_id=principal.user_id)


def _carries_credential(request: HttpRequest) -> bool:
    return credentials.bearer_of(request) is not None or settings.SESSION_COOKIE_NAME in request.COOKIES


def _nobody(request: HttpRequest) -> None:
    request.principal = None  # type: ignore[attr-defined]
    request.credential_problem = None  # type: ignore[attr-defined]


def _identify(request: HttpRequest) -> Problem | None:
    """Find out who is calling. Returns a problem only when the request must not go on: 503, or the wrong tenant."""
    _nobody(request)
    try:
        request.principal = _principal(request)  # type: ignore[attr-defined]
    except Exception as error:
        problem = translate(error)
        if problem is None:
            raise
        if problem.status >= 500:
            return problem
        log.warning("door.credential_refused", code=problem.code)
        request.credential_problem = problem  # type: ignore[attr-defined]
        return None
    return _mismatch(request)


def _principal(request: HttpRequest) -> Principal | None:
    """Raises the problem of a credential that is not accepted, and what the database raises."""
    credential = credentials.bearer_of(request)
    if credential is None:
        return _principal_of_session(request) if settings.SESSION_COOKIE_NAME in request.COOKIES else None
    request.user = AnonymousUser()
    principal = credentials.principal_of_credential(credential)
    credentials.require_scope(principal, credentials.scopes_of_door(request.method or "", request.path))
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    return principal


def _principal_of_session(request: HttpRequest) -> Principal | None:
    principal = credentials.principal_of_session(request)
    if principal is not None:
        note_use(request.session.session_key, audit.address.get())
    return principal


def _mismatch(request: HttpRequest) -> Problem | None:
    """A page says for which tenant it was opened; another tab may have changed the session's since."""
    principal: Principal | None = request.principal  # type: ignore[attr-defined]
    named = request.headers.get(TENANT_HEADER)
    if named is None or principal is None or named.strip().lower() == str(principal.tenant_id):
        return None
    return TenantMismatch("This page was opened for another workspace. Reload it.")
