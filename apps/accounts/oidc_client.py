"""Signing in at a company's identity provider: OpenID Connect's code flow with PKCE, on django-allauth's client.

What allauth leaves open is closed here. The issuer is the one that was set up, the ID token's signature, issuer,
audience, times and nonce are checked each time, and every call goes through the guard for outbound calls.
"""

import secrets
from functools import lru_cache
from typing import Any

import jwt
import requests
import structlog
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.internal import statekit
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from apps.accounts.oidc_errors import ProviderAway, SignInRefused
from apps.outbound import Policy, requests_session

# Signatures alone: with a shared secret, whoever knows a client's secret could sign for anybody.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY_SECONDS = 60
_TOKEN_MAX_LENGTH = 16_384
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")

log = structlog.get_logger(__name__)


def _session() -> requests.Session:
    """The one place where calls to identity providers are made."""
    return requests_session(_policy(settings.ENV.outbound_allow))


@lru_cache(maxsize=8)
def _policy(places: str) -> Policy:
    return Policy.parse(places)


class ClientAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """allauth's client with our calls, and with nobody signing up or in through allauth's own pages."""

    def get_requests_session(self) -> requests.Session:
        return _session()

    def list_apps(self, request: HttpRequest, provider: str | None = None, client_id: str | None = None) -> list[Any]:
        return []

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False


class CompanyProvider(OpenIDConnectProvider):  # type: ignore[misc]
    """One company's provider. `app.settings`: `issuer`, and `callback_url` as it is registered there."""

    pkce_enabled_default = True

    def get_oauth2_adapter(self, request: HttpRequest) -> "CompanyAdapter":
        return CompanyAdapter(request, self)

    def get_pkce_params(self) -> dict[str, str]:
        found: dict[str, str] = super().get_pkce_params()
        if found.get("code_challenge_method") != "S256":
            raise RuntimeError("PKCE must be on")
        return found

    def begin(self, request: HttpRequest, process: str, next_url: str | None, **kept: str) -> HttpResponseBase:
        """Send the browser to the provider. `kept` comes back with the state. Raises `ProviderAway`."""
        nonce = secrets.token_urlsafe(24)
        try:
            answer: HttpResponseBase = self.redirect(
                request, process, next_url=next_url, auth_params={"nonce": nonce}, nonce=nonce, **kept
            )
        except (requests.RequestException, OAuth2Error) as error:
            raise _away(self, error) from error
        return answer

    def state_of(self, request: HttpRequest) -> dict[str, Any]:
        """What was kept when this browser was sent away; good for one use. Raises `SignInRefused`."""
        state_id = request.GET.get("state", "")
        state = statekit.unstash_state(request, provider_id=self.sub_id, state_id=state_id) if state_id else None
        if state is None:
            raise SignInRefused(
                "This sign-in was not begun in this browser, was used already, or took longer than ten minutes. "
                "Begin again."
            )
        kept: dict[str, Any] = state
        return kept

    def claims_of(self, request: HttpRequest, state: dict[str, Any]) -> dict[str, Any]:
        """Redeem the code that came back; the verified claims of the person. Raises `SignInRefused`, `ProviderAway`."""
        code = request.GET.get("code", "")
        if request.GET.get("error") or not code:
            raise SignInRefused(f"{self.app.name} did not sign you in. Begin again, or ask your administrator.")
        if request.GET.get("iss", self.app.settings["issuer"]) != self.app.settings["issuer"]:
            raise SignInRefused("The answer comes from another identity provider.")
        adapter = self.get_oauth2_adapter(request)
        try:
            return adapter.redeem(code, state["pkce_code_verifier"], state["nonce"])
        except (requests.RequestException, ImmediateHttpResponse) as error:
            raise _away(self, error) from error
        except OAuth2Error as error:
            log.warning("company_sign_in.refused", provider_id=self.app.provider_id, reason=str(error)[:200])
            raise SignInRefused(f"{self.app.name} did not accept this sign-in. Begin again.") from error


class CompanyAdapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """The calls of one sign-in."""

    def __init__(self, request: HttpRequest, provider: CompanyProvider) -> None:
        super().__init__(request, provider.app.provider_id)
        self._provider = provider

    def get_provider(self) -> CompanyProvider:
        return self._provider

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        return str(app.settings["callback_url"])

    @property
    def openid_config(self) -> dict[str, Any]:
        """The provider's document, where it is the issuer's that was set up."""
        if not hasattr(self, "_openid_config"):
            issuer = self._provider.app.settings["issuer"]
            document = _fetched(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if document.get("issuer") != issuer:
                raise OAuth2Error("the document names another issuer")
            if not all(isinstance(document.get(name), str) for name in _ENDPOINTS):
                raise OAuth2Error("the document names no endpoints")
            self._openid_config = document
        return self._openid_config

    def redeem(self, code: str, code_verifier: str, nonce: str) -> dict[str, Any]:
        app = self._provider.app
        answer = self.get_client(self.request, app).get_access_token(code, pkce_code_verifier=code_verifier)
        id_token = answer.get("id_token")
        if not isinstance(id_token, str):
            raise OAuth2Error("no ID token")
        keys = _fetched(self.openid_config["jwks_uri"]).get("keys")
        claims = verified_claims(id_token, keys, issuer=app.settings["issuer"], client_id=app.client_id, nonce=nonce)
        if "email" not in claims and isinstance(self.openid_config.get("userinfo_endpoint"), str):
            told = _fetched(self.profile_url, {"Authorization": f"Bearer {answer['access_token']}"})
            if told.get("sub") != claims["sub"]:
                raise OAuth2Error("userinfo speaks of somebody else")
            claims = {**told, **claims}
        return claims


def verified_claims(id_token: str, keys: Any, *, issuer: str, client_id: str, nonce: str) -> dict[str, Any]:
    """The claims of an ID token that this issuer signed, for this client and this sign-in. Raises `OAuth2Error`."""
    if len(id_token) > _TOKEN_MAX_LENGTH:
        raise OAuth2Error("the ID token is too long")
    try:
        header = jwt.get_unverified_header(id_token)
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise OAuth2Error("the ID token is not signed as it should be")
        claims: dict[str, Any] = jwt.decode(
            id_token,
            _key(keys, header.get("kid"), algorithm),
            algorithms=[algorithm],
            issuer=issuer,
            audience=client_id,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except jwt.PyJWTError as error:
        raise OAuth2Error(f"the ID token does not hold: {type(error).__name__}") from error
    if not secrets.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise OAuth2Error("the ID token is not for this sign-in")
    others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if others else client_id) != client_id:
        raise OAuth2Error("the ID token was given to another client")
    return claims


def _key(keys: Any, key_id: Any, algorithm: str) -> jwt.PyJWK:
    """The one key that may have signed: named by the token, or the only one there is."""
    signing = [key for key in keys if isinstance(key, dict) and key.get("use", "sig") == "sig"] if keys else []
    found = [key for key in signing if key.get("kid") == key_id] if key_id is not None else signing
    if len(found) != 1 or found[0].get("alg", algorithm) != algorithm:
        raise OAuth2Error("no key of the issuer signed the ID token")
    return jwt.PyJWK.from_dict(found[0], algorithm=algorithm)


def _fetched(url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    with _session() as session:
        response = session.get(url, headers=headers)
        response.raise_for_status()
        document = response.json()
    if not isinstance(document, dict):
        raise OAuth2Error("the answer is no object")
    return document


def _away(provider: CompanyProvider, error: Exception) -> ProviderAway:
    log.warning("company_sign_in.provider_away", provider_id=provider.app.provider_id, error=str(error)[:200])
    return ProviderAway(f"The sign-in of {provider.app.name} does not answer as it should. Try again shortly.")
