"""Access and refresh tokens: signed, short-lived, and checked against the person's membership each time."""

from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from apps.accounts import selectors as accounts
from apps.tenants import selectors
from apps.tenants.contracts import Principal, Via
from apps.tenants.errors import CredentialRefused

_SUBJECT, _TENANT, _FINGERPRINT = "sub", "tenant", "cred"
MAX_TOKEN = 4096  # characters

TokenKind = TypeVar("TokenKind", bound=Token)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a sign-in of a program returns. `expires_in_seconds` is the access token's life."""

    access: str
    refresh: str
    expires_in_seconds: int


def issue(principal: Principal) -> TokenPair:
    """A new pair for a person in a tenant. Raises `CredentialRefused` when the person is not active."""
    refresh = RefreshToken()
    refresh[_SUBJECT] = str(principal.user_id)
    refresh[_TENANT] = str(principal.tenant_id)
    refresh[_FINGERPRINT] = _fingerprint(principal.user_id)
    return _pair(refresh)


def renew(refresh_token: str) -> TokenPair:
    """A new access token for a refresh token, and the same refresh token again.

    Raises `CredentialRefused` when the token is not (any longer) valid, the password has changed since, or the person,
    the tenant or the membership is not active.
    """
    refresh = _verified(RefreshToken, refresh_token)
    principal = _principal(refresh)
    if refresh.get(_FINGERPRINT) != _fingerprint(principal.user_id):
        raise CredentialRefused("The password has changed. Sign in again.")
    return _pair(refresh)


def principal_of_access(access_token: str) -> Principal:
    """Whom an access token speaks for. Raises `CredentialRefused`."""
    return _principal(_verified(AccessToken, access_token))


def _verified(kind: type[TokenKind], text: str) -> TokenKind:
    if not text or len(text) > MAX_TOKEN or not text.isascii():
        raise CredentialRefused("The token is not valid. Sign in again.")
    try:
        return kind(text)  # type: ignore[arg-type]
    except TokenError as error:
        raise CredentialRefused("The token is not valid, or has expired. Renew it or sign in again.") from error


def _principal(token: Token) -> Principal:
    try:
        user_id, tenant_id = UUID(token[_SUBJECT]), UUID(token[_TENANT])
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise CredentialRefused("The token is not valid. Sign in again.") from error
    principal = selectors.principal_for(user_id, tenant_id, via=Via.JWT)
    if principal is None:
        raise CredentialRefused("The account or its workspace is not active any more.")
    return principal


def _fingerprint(user_id: UUID) -> str:
    fingerprint = accounts.credential_fingerprint(user_id)
    if fingerprint is None:
        raise CredentialRefused("The account is not active any more.")
    return fingerprint


def _pair(refresh: RefreshToken) -> TokenPair:
    access = refresh.access_token
    del access.payload[_FINGERPRINT]  # an access token's life is too short to need it
    return TokenPair(str(access), str(refresh), int(AccessToken.lifetime.total_seconds()))
