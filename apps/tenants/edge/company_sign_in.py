"""Signing in with one's company: to its identity provider and back, into its tenant and into no other.

A session that began like this is bound to the provider's tenant. It enters no other tenant of the same person, and it
cannot change how the person signs in: otherwise whoever runs the provider could take the account along.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from allauth.account import signals as account_signals
from allauth.account.internal.flows.login import record_authentication
from allauth.account.utils import perform_login
from allauth.socialaccount.models import SocialApp
from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import oidc_accounts
from apps.accounts.models import User
from apps.accounts.oidc_client import ClientAdapter, CompanyProvider
from apps.accounts.oidc_errors import SignInRefused
from apps.problems import Forbidden
from apps.tenants import features, identity_providers, provider_sessions, sign_in_log
from apps.tenants.contracts import SESSION_ARRIVING, SESSION_COMPANY, SESSION_PROVIDER, SESSION_TENANT, Principal
from apps.tenants.edge import sign_in_events, sign_in_guard
from apps.tenants.edge.middleware import _BothWays
from apps.tenants.edge.pages import person_required
from apps.tenants.edge.problems import answer
from apps.tenants.edge.throttle import SIGN_IN
from apps.tenants.errors import NotFound
from apps.tenants.features import Feature
from apps.tenants.identity_providers import Provider
from apps.tenants.policy import Action, opens, public

_LOGIN, _CONNECT = "login", "connect"
_ARRIVED = "company_said_so_at"  # seconds since 1970
# What a person could sign in with past their company.
_OWN_WAYS_IN = frozenset({"account_set_password", "account_change_password", "account_email", "mfa_add_webauthn"})


class SocialAccountAdapter(ClientAdapter):
    """What allauth asks about providers: they are tenants' rows, named by their ids."""

    def get_provider(self, request: HttpRequest, provider: str, client_id: str | None = None) -> CompanyProvider:
        raise SocialApp.DoesNotExist  # ours are begun here alone, never through allauth's own addresses


@public("who signs in has no session yet")
@never_cache
@require_GET
def choose(request: HttpRequest) -> HttpResponse:
    """A field for the workspace's sign-in name; with one, the way there."""
    name = request.GET.get("workspace", "").strip().lower()
    if not name:
        return render(request, "tenants/company_sign_in.html", {"name": ""})
    provider = identity_providers.by_slug(name)
    if provider is None:
        fault = "No workspace signs in under this name. Ask your administrator for it."
        return render(request, "tenants/company_sign_in.html", {"name": name, "fault": fault}, status=404)
    return _onward(request, reverse("company_sign_in", args=[provider.slug]), provider)


@public("who signs in has no session yet")
@never_cache
@require_GET
def begin(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Send the browser to the company's provider."""
    provider = _provider_or_404(slug)
    target = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        target = settings.LOGIN_REDIRECT_URL
    return _client(request, provider).begin(request, _LOGIN, target)


@public("who signs in has no session yet; the state in the browser's session says whose answer it is")
@never_cache
@require_GET
def callback(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The provider's answer: a session, or another way in for somebody who is signed in already."""
    provider = _provider_or_404(slug)
    client = _client(request, provider)
    with _failure_told(provider):
        state = client.state_of(request)
        person = identity_providers.person_of(provider, client.claims_of(request, state))
    if state.get("process") == _CONNECT:
        return _connected(request, provider, person, state.get("user_id"))
    with _failure_told(provider):
        user_id = identity_providers.admit(provider, person)
    if request.user.is_authenticated:
        auth.logout(request)
    user = User.objects.get(id=user_id)
    request.session[SESSION_ARRIVING] = {
        "user_id": str(user_id),
        "tenant_id": str(provider.tenant_id),
        "provider_id": str(provider.id),
        "at": time.time(),
    }
    record_authentication(request, user, "socialaccount", provider=str(provider.id))
    found: HttpResponseBase = perform_login(request, user, email_verification="none", redirect_url=state.get("next"))
    return found


@receiver(user_logged_in, dispatch_uid="apps.tenants.edge.company_sign_in")
def _bind(sender: Any, request: HttpRequest | None, user: User, **_: Any) -> None:
    """Whoever came through a provider works in its tenant; whoever came otherwise is bound to none."""
    if request is None or not hasattr(request, "session"):
        return
    pending = request.session.pop(SESSION_ARRIVING, None)
    if pending is not None and pending["user_id"] == str(user.pk):
        request.session[SESSION_TENANT] = request.session[SESSION_COMPANY] = pending["tenant_id"]
        request.session[SESSION_PROVIDER], request.session[_ARRIVED] = pending["provider_id"], pending["at"]
    else:
        request.session.pop(SESSION_COMPANY, None)
        request.session.pop(SESSION_PROVIDER, None)


@receiver(account_signals.user_logged_in, dispatch_uid="apps.tenants.edge.company_sign_in.provider")
def _bind_to_provider(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    """After allauth has put the session into its list, which it makes anew at every sign-in."""
    provider_id = request.session.get(SESSION_PROVIDER)
    if provider_id is None:
        return
    tenant_id, key = UUID(request.session[SESSION_COMPANY]), request.session.session_key
    since = datetime.fromtimestamp(request.session[_ARRIVED], UTC)
    try:
        provider_sessions.bind(tenant_id, UUID(provider_id), user.pk, key, since=since)
    except SignInRefused:
        request.session.flush()  # Django has put the person into it already
        request.user = AnonymousUser()
        raise


@opens(GET=Action.SELF)
@never_cache
@require_GET
@person_required
def connections(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The company sign-ins of this workspace, and which of them the person uses."""
    return _connections_page(request, principal)


@opens(POST=Action.SELF)
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["POST"])
@person_required
def connect(request: HttpRequest, principal: Principal, provider_id: UUID) -> HttpResponse:
    """Begin to connect, for somebody who has just given their password."""
    _refuse_bound(request)
    features.require(Feature.COMPANY_SIGN_IN, principal.tenant_id)
    provider = next((one for one in identity_providers.providers(principal) if one.id == provider_id), None)
    if provider is None or not provider.enabled:
        raise NotFound("There is no such sign-in.")
    SIGN_IN.count(request, principal.user_email)
    tried = sign_in_guard.begin(request, principal.user_email)
    if auth.authenticate(request, username=principal.user_email, password=request.POST.get("password", "")) is None:
        return _connections_page(request, principal, fault="This is not your password.", status=400)
    tried.succeeded()
    client, target = _client(request, provider), reverse("company_connections")
    answer = client.begin(request, _CONNECT, target, user_id=str(principal.user_id))
    return _onward(request, answer["Location"], provider)


@opens(POST=Action.SELF)
@require_POST
@person_required
def disconnect(request: HttpRequest, principal: Principal, provider_id: UUID) -> HttpResponse:
    _refuse_bound(request)
    if not User.objects.get(id=principal.user_id).has_usable_password():
        raise Forbidden("Set a password first: without one and without your company you could not sign in any more.")
    identity_providers.disconnect(principal, provider_id)
    messages.success(request, "You sign in there no more.")
    return redirect("company_connections")


class CompanySessions(_BothWays):
    """Keeps a session that a company's provider opened from adding ways in that do not need the provider."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        self.process_view = self._process_view_async if self.is_async else _kept_from

    async def _process_view_async(self, request: HttpRequest, *view: Any) -> HttpResponseBase | None:
        return _kept_from(request, *view)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        return self.respond_async(request) if self.is_async else self.respond(request)


def _kept_from(request: HttpRequest, *_view: Any) -> HttpResponseBase | None:
    match = request.resolver_match
    if match is None or match.url_name not in _OWN_WAYS_IN or getattr(request, "principal", None) is None:
        return None  # with a principal the session has been read, so that asking it here does not block
    try:
        _refuse_bound(request)
    except Forbidden as problem:
        return answer(request, problem)
    return None


def _refuse_bound(request: HttpRequest) -> None:
    if SESSION_COMPANY in request.session:
        raise Forbidden(
            "You signed in with your company. To change how you sign in, sign in with a password first; "
            "“Forgot your password?” on the sign-in page makes one."
        )


def _connected(
    request: HttpRequest, provider: Provider, person: identity_providers.Person, begun_by: str | None
) -> HttpResponse:
    principal: Principal | None = request.principal  # type: ignore[attr-defined]
    if principal is None or str(principal.user_id) != begun_by:
        raise SignInRefused("Somebody else is signed in here by now. Begin again.")
    _refuse_bound(request)
    identity_providers.connect(principal, provider, person)
    messages.success(request, f"From now on you can sign in with {provider.name}.")
    return redirect("company_connections")


def _connections_page(
    request: HttpRequest, principal: Principal, *, fault: str = "", status: int = 200
) -> HttpResponse:
    known = oidc_accounts.providers_of(principal.user_id)
    rows = [
        {"provider": one, "connected": str(one.id) in known}
        for one in identity_providers.providers(principal)
        if one.enabled or str(one.id) in known
    ]
    bound = SESSION_COMPANY in request.session
    is_on = features.is_on(Feature.COMPANY_SIGN_IN, principal.tenant_id)
    context = {"principal": principal, "rows": rows, "fault": fault, "bound": bound, "is_on": is_on}
    return render(request, "tenants/company_connections.html", context, status=status)


def _onward(request: HttpRequest, address: str, provider: Provider) -> HttpResponse:
    """A page that goes on by itself: browsers hold a form's redirects up to our own address, and a page's not."""
    page = render(request, "tenants/company_onward.html", {"address": address, "provider": provider})
    page["Refresh"] = f"0; url={address}"
    return page


@contextmanager
def _failure_told(provider: Provider) -> Iterator[None]:
    """A refused sign-in is written down for the provider's tenant."""
    try:
        yield
    except SignInRefused:
        target = ("identity_provider", provider.id)
        sign_in_log.failed(target, sign_in_events.FAILED, sign_in_events.COMPANY)
        raise


def _provider_or_404(slug: str) -> Provider:
    provider = identity_providers.by_slug(slug)
    if provider is None:
        raise NotFound("No workspace signs in under this name. Ask your administrator for it.")
    return provider


def _client(request: HttpRequest, provider: Provider) -> CompanyProvider:
    app = SocialApp(
        provider=CompanyProvider.id,
        provider_id=str(provider.id),
        name=provider.name,
        client_id=provider.client_id,
        secret=identity_providers.secret_of(provider),
        settings={
            "issuer": provider.issuer,
            "callback_url": settings.BASE_URL + reverse("company_callback", args=[provider.slug]),
        },
    )
    return CompanyProvider(request, app=app)
