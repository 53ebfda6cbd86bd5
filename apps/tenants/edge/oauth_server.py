"""The authorisation server for programs that people sign in to: code with PKCE (S256), consent, refresh, revocation.

allauth's OpenID provider does the protocol. Added here: what is agreed to is bound to the session's tenant and to a
token family, a code and a refresh token are good for one use however many come at once, and what we do not offer
(implicit answers, device codes, silent consent, `plain`) is neither announced nor answered.
"""

import hashlib
import json
from base64 import b64decode
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_plus, urlsplit
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.idp.oidc import views
from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from allauth.idp.oidc.models import Client, Token
from django.conf import settings
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from uuid6 import uuid7

from apps.accounts import selectors as accounts
from apps.problems import Forbidden
from apps.tenants import selectors, token_families
from apps.tenants.contracts import SESSION_PROVIDER, Principal, Scope, Via
from apps.tenants.edge.oauth_tokens import Grant, speaks_for, stored
from apps.tenants.errors import TenantMismatch
from apps.tenants.models import RefreshToken
from apps.tenants.policy import Action, public
from apps.tenants.token_families import Link, Outcome

SCOPES = {
    "openid": "Know you again",
    "profile": "Read your name",
    "email": "Read your e-mail address",
    Scope.CHAT.value: "Ask models in your name, and read the answers",
    Scope.MANAGE.value: "Read and change your chats and settings over the REST API",
}
_USED_SECONDS = 600  # longer than a code lives
_LOOPBACK = frozenset({"127.0.0.1", "::1"})


class Adapter(DefaultOIDCAdapter):  # type: ignore[misc]  # allauth ships no types
    scope_display = SCOPES

    def get_issuer(self) -> str:
        return str(settings.BASE_URL)

    def get_claims(
        self, purpose: str, user: Any, client: Client, scopes: Any, email: str | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        claims: dict[str, Any] = {"sub": self.get_user_sub(client, user)}
        if "email" in scopes:
            proven = EmailAddress.objects.filter(user_id=user.pk, email=user.email, verified=True).exists()
            claims |= {"email": user.email, "email_verified": proven}
        if "profile" in scopes:
            claims["name"] = user.name
        return claims


def _set_up() -> None:
    if not settings.IDP_OIDC_PRIVATE_KEYS:
        raise Http404


@public("programs find out here how to ask people to sign in")
def configuration(request: HttpRequest) -> HttpResponse:
    """The server's document (OpenID Connect Discovery 1.0)."""
    _set_up()
    methods = ["none", "client_secret_basic", "client_secret_post"]
    names = {
        "authorization_endpoint": "authorization",
        "token_endpoint": "token",
        "userinfo_endpoint": "userinfo",
        "revocation_endpoint": "revoke",
        "jwks_uri": "jwks",
    }
    document = {
        "issuer": settings.BASE_URL,
        **{name: settings.BASE_URL + reverse(f"idp:oidc:{view}") for name, view in names.items()},
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "scopes_supported": list(SCOPES),
    }
    return JsonResponse(document, headers={"Access-Control-Allow-Origin": "*", "Cache-Control": "max-age=300"})


@public("public keys")
class JwksView(views.JwksView):  # type: ignore[misc]
    """The public halves of every key that may have signed."""


class AuthorizationView(views.AuthorizationView):  # type: ignore[misc]
    """The page on which a person agrees, or does not."""

    actions = {"GET": Action.SELF, "POST": Action.SELF}

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        _set_up()
        if fault := _fault(request):
            return _fault_page(request, fault)
        if request.user.is_authenticated:
            _person(request)
        answer: HttpResponseBase = super().get(request, *args, **kwargs)
        if answer.status_code == HTTPStatus.OK:
            # A browser holds the redirect behind the form up to this list, too.
            place = urlsplit(request.GET["redirect_uri"])
            source = f"{place.scheme}://{place.netloc}" if place.netloc else f"{place.scheme}:"
            answer._csp_update = {"form-action": [source]}  # type: ignore[attr-defined]
        return answer

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        _set_up()
        answer: HttpResponseBase = super().post(request, *args, **kwargs)
        return answer

    def get_initial(self) -> dict[str, Any]:
        if self.request.method == "GET":  # afterwards it is the signed one that counts
            self._request_info["tenant"] = str(_person(self.request).tenant_id)
        initial: dict[str, Any] = super().get_initial()
        return initial

    def form_valid(self, form: Any) -> HttpResponseBase:
        principal = _person(self.request)
        if self._request_info.pop("tenant", "") != str(principal.tenant_id):
            raise TenantMismatch("You have changed to another workspace since. Begin again in the program.")
        fingerprint = accounts.credential_fingerprint(principal.user_id) or ""
        provider = self.request.session.get(SESSION_PROVIDER)
        grant = Grant(principal.tenant_id, uuid7(), fingerprint, UUID(provider) if provider else None)
        self._request_info["resources"] = grant.resources()
        answer: HttpResponseBase = super().form_valid(form)
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        place = urlsplit(self._request_info["redirect_uri"])
        told = {"principal": _person(self.request), "place": place.netloc or f"{place.scheme}:"}
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return context | told

    def _skip_consent(self) -> HttpResponseBase:
        answer: HttpResponseBase = super(views.AuthorizationView, self).get(self.request)  # we always ask
        return answer

    def _handle_login_prompt(self, request: HttpRequest, prompts: list[str]) -> HttpResponseBase:
        try:
            answer: HttpResponseBase = super()._handle_login_prompt(request, prompts)
        except NoReverseMatch:
            return _fault_page(request, "This server does not ask people who are signed in to sign in again.")
        return answer


@public("the code or refresh token in the body is the credential")
class TokenView(views.TokenView):  # type: ignore[misc]
    """A code, or a refresh token, for the next pair of tokens."""

    def post(self, request: HttpRequest) -> HttpResponse:
        _set_up()
        kind = request.POST.get("grant_type")
        if "resource" in request.POST:  # what a token rests on is written there by us alone
            return _refused("invalid_target", "This server has one resource, and it is not named.")
        if kind == "authorization_code":
            return self._redeem(request, request.POST.get("code", ""))
        if kind == "refresh_token":
            return self._renew(request, request.POST.get("refresh_token", ""))
        return _refused("unsupported_grant_type", "This server takes codes and refresh tokens.")

    def _redeem(self, request: HttpRequest, code: str) -> HttpResponse:
        used = "oauth-code:" + hashlib.sha256(code.encode(errors="replace")).hexdigest()
        if not cache.add(used, "", _USED_SECONDS):
            _end_family(cache.get(used) or "")
            return _refused("invalid_grant", "The code was used before.")
        answer: HttpResponse = super().post(request)
        if answer.status_code != HTTPStatus.OK:
            return answer
        access, body = _given(answer)
        grant = Grant.of(access)
        principal = selectors.principal_for(access.user_id, grant.tenant_id, via=Via.OAUTH) if grant else None
        if grant is None or principal is None:
            _forget(body)
            return _refused("invalid_grant", "Nobody agreed to this, or not any more.")
        link = _link(body.get("refresh_token") or body["access_token"])
        if not token_families.begin(principal, grant.family, link, access.client.name, grant.identity_provider):
            _forget(body)
            return _refused("invalid_grant", "The sign-in that this was agreed to in has ended.")
        cache.set(used, f"{grant.tenant_id} {access.user_id} {grant.family}", _USED_SECONDS)
        return answer

    def _renew(self, request: HttpRequest, token: str) -> HttpResponse:
        kept = stored(token, Token.Type.REFRESH_TOKEN)
        principal = speaks_for(kept) if kept is not None else None
        grant = Grant.of(kept) if kept is not None else None
        if principal is None or grant is None:
            _end_if_used_before(token)
            return _refused("invalid_grant", "The refresh token is not valid any more.")
        answer: HttpResponse = super().post(request)
        if answer.status_code != HTTPStatus.OK:
            return answer
        _access, body = _given(answer)
        digest = token_families.digest(token)
        outcome = token_families.renew(principal, grant.family, digest, _link(body["refresh_token"]))
        if outcome is not Outcome.RENEWED:
            _forget(body)
            return _refused("invalid_grant", "The refresh token was used before.")
        return answer


@public("the token in the body is what ends")
class RevokeView(views.RevokeView):  # type: ignore[misc]
    """End a token, and with it everything that was given since the person agreed."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        _set_up()
        kept = stored(request.POST.get("token", ""), Token.Type.ACCESS_TOKEN, Token.Type.REFRESH_TOKEN)
        if kept is not None and _programs_named(request) != {kept.client_id}:  # allauth does not compare them
            return _refused("unauthorized_client", "The token was given to another program.")
        principal, grant = (speaks_for(kept), Grant.of(kept)) if kept is not None else (None, None)
        answer: HttpResponse = super().post(request, *args, **kwargs)
        gone = kept is not None and not Token.objects.filter(pk=kept.pk).exists()
        if gone and principal is not None and grant is not None:
            token_families.revoke(principal, grant.family, "signed out")
        return answer


@public("the access token in the headers is the credential")
class UserInfoView(views.UserInfoView):  # type: ignore[misc]
    """Who the person is, as far as they agreed to tell."""

    def _respond(self, request: HttpRequest) -> HttpResponse:
        _set_up()
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        kept = stored(token.strip(), Token.Type.ACCESS_TOKEN) if scheme.lower() == "bearer" else None
        if kept is None or speaks_for(kept) is None:
            answer = _refused("invalid_token", "The token is not valid any more.", HTTPStatus.UNAUTHORIZED)
            answer["WWW-Authenticate"] = 'Bearer error="invalid_token"'
            return answer
        told: HttpResponse = super()._respond(request)
        return told


def _person(request: HttpRequest) -> Principal:
    principal: Principal | None = request.principal  # type: ignore[attr-defined]
    if principal is None or principal.via is not Via.SESSION:
        raise Forbidden("You are not a member of an active workspace. Ask its owner to add you.")
    return principal


def _programs_named(request: HttpRequest) -> set[str]:
    """Whom a request says to come from, in its body and in its headers."""
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    named = {request.POST["client_id"]} if "client_id" in request.POST else set()
    if scheme.lower() == "basic":
        try:
            named.add(unquote_plus(b64decode(sent, validate=True).decode().partition(":")[0]))
        except ValueError:
            named.add("")
    return named


def _fault(request: HttpRequest) -> str:
    """What is wrong with a request that must not be answered by a redirect; empty for nothing."""
    client = Client.objects.filter(id=request.GET.get("client_id", "")[:100]).first()
    if client is None:
        return "No such program is known here."
    if not _is_registered(request.GET.get("redirect_uri", ""), client.get_redirect_uris()):
        return "The program wants the answer at an address that it did not register."
    if request.GET.get("response_type") != "code":
        return "The program asks for an answer that this server does not give (response_type must be code)."
    if request.GET.get("code_challenge_method") != "S256" or not request.GET.get("code_challenge"):
        return "The program asks without PKCE (code_challenge with the method S256)."
    if "resource" in request.GET:
        return "The program names a resource, and this server has but one."
    return ""


def _is_registered(address: str, registered: list[str]) -> bool:
    """Letter by letter; on this very machine a program may listen on any port (RFC 8252)."""
    if address in registered:
        return True
    try:
        portless = _portless(address)
        return portless is not None and any(portless == _portless(one) for one in registered)
    except ValueError:
        return False


def _portless(address: str) -> str | None:
    parts = urlsplit(address)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK or "@" in parts.netloc or parts.fragment:
        return None
    return parts._replace(netloc=parts.hostname).geturl()


def _fault_page(request: HttpRequest, fault: str) -> HttpResponse:
    return render(request, "idp/oidc/error.html", {"fault": fault}, status=HTTPStatus.BAD_REQUEST)


def _refused(error: str, description: str, status: int = HTTPStatus.BAD_REQUEST) -> HttpResponse:
    body = {"error": error, "error_description": description}
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


def _given(answer: HttpResponse) -> tuple[Token, dict[str, Any]]:
    """The access token of an answer as it is kept, and the answer."""
    body: dict[str, Any] = json.loads(answer.content)
    return Token.objects.select_related("client").by_value(body["access_token"]).get(), body


def _forget(body: dict[str, Any]) -> None:
    for name in ("access_token", "refresh_token"):
        if name in body:
            Token.objects.by_value(body[name]).delete()


def _link(token: str) -> Link:
    return Link.of(token, timezone.now() + timedelta(seconds=settings.IDP_OIDC_REFRESH_TOKEN_EXPIRES_IN))


def _end_family(named: str) -> None:
    """End the family of a code that comes a second time: one of the two who have it should not."""
    parts = named.split(" ")
    if len(parts) == 3:
        tenant_id, user_id, family = map(UUID, parts)
        principal = selectors.principal_for(user_id, tenant_id, via=Via.OAUTH)
        if principal is not None:
            token_families.revoke(principal, family, "reuse")


def _end_if_used_before(token: str) -> None:
    """A refresh token that is not kept any more was perhaps renewed: whoever shows it again ends its family."""
    digest = token_families.digest(token)
    link = RefreshToken.objects.using("engine").filter(digest=digest, used_at__isnull=False).first()
    if link is not None:
        _end_family(f"{link.tenant_id} {link.user_id} {link.family}")
