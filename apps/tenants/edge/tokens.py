"""Access and refresh tokens: signed under named keys, short-lived, and checked against their family each time.

An access token says whose it is, in which tenant, of which family, and under which password. Whatever of this has
ended by the time of a request ends the token with it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import jwt
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenError
from rest_framework_simplejwt.tokens import Token
from uuid6 import uuid7

from apps.accounts import selectors as accounts
from apps.tenants import selectors, token_families
from apps.tenants.contracts import Principal, Proof
from apps.tenants.errors import CredentialRefused
from apps.tenants.signing_keys import signing_keys
from apps.tenants.token_families import Link, Outcome

_SUBJECT, _TENANT, _FAMILY, _FINGERPRINT = "sub", "tenant", "family", "cred"
MAX_TOKEN = 4096  # characters
ALGORITHM = "HS256"
ISSUER, AUDIENCE = "switchboard", "switchboard-api"

TokenKind = TypeVar("TokenKind", bound=Token)


class NamedKeys(TokenBackend):
    """Signs under the current key and names it; verifies under the key a token names, if that is one of ours.

    The algorithm is ours to say, never the token's, and so is where keys come from.
    """

    def __init__(self) -> None:
        super().__init__(ALGORITHM, audience=AUDIENCE, issuer=ISSUER)

    def encode(self, payload: dict[str, Any]) -> str:
        keys = signing_keys()
        claims = {**payload, "iss": ISSUER, "aud": AUDIENCE}
        return jwt.encode(claims, keys.signing, algorithm=ALGORITHM, headers={"kid": keys.current})

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        """The claims of a token of ours. Raises `TokenBackendError`; nothing skips the verification."""
        try:
            key = signing_keys().by_id.get(jwt.get_unverified_header(token).get("kid", ""))
            if key is None:
                raise TokenBackendError("No key of ours signed it.")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": ["exp", "iat", "iss", "aud", "jti", "sub"]},
            )
        except (jwt.InvalidTokenError, TypeError, ValueError) as error:
            raise TokenBackendError("The token is not valid.") from error
        return claims


class AccessToken(Token):
    """Opens the doors, for minutes."""

    token_type = "access"  # noqa: S105 - a kind, not a secret
    lifetime: timedelta = cast(timedelta, settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"])
    _token_backend = NamedKeys()


class RefreshToken(Token):
    """Good for one renewal."""

    token_type = "refresh"  # noqa: S105 - a kind, not a secret
    lifetime: timedelta = cast(timedelta, settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"])
    _token_backend = NamedKeys()


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a sign-in of a program returns. `expires_in_seconds` is the access token's life."""

    access: str
    refresh: str
    expires_in_seconds: int


def issue(principal: Principal, client: str = "") -> TokenPair:
    """A new family for a person in a tenant, and its first pair. `client` is how the program calls itself.

    Raises `CredentialRefused` when the person is not active.
    """
    fingerprint = accounts.credential_fingerprint(principal.user_id)
    if fingerprint is None:
        raise CredentialRefused("The account is not active any more.")
    family = uuid7()
    proof = Proof(fingerprint, family=family)
    pair, link = _pair(principal, proof)
    token_families.begin(principal, family, link, client)
    return pair


def renew(refresh_token: str) -> TokenPair:
    """The next pair of a family. The token is used up by it; using it again ends the family.

    Raises `CredentialRefused` when the token is not (any longer) valid, was used before, the password has changed, or
    the person, the tenant or the membership is not active.
    """
    refresh = _verified(RefreshToken, refresh_token)
    principal, proof = _speaks_for(refresh)
    if refresh.get(_FINGERPRINT) != proof.fingerprint:
        token_families.revoke(principal, _family(refresh), "password")
        raise CredentialRefused("The password has changed. Sign in again.")
    pair, link = _pair(principal, proof)
    outcome = token_families.renew(principal, _family(refresh), token_families.digest(refresh_token), link)
    if outcome is Outcome.REUSED:
        raise CredentialRefused("This refresh token was used before, so its sign-in has ended. Sign in again.")
    if outcome is Outcome.UNKNOWN:
        raise CredentialRefused("The token is not valid any more. Sign in again.")
    return pair


def revoke(refresh_token: str) -> None:
    """End the family of a refresh token, used or not. What is no token of ours, or not any more, changes nothing."""
    try:
        refresh = _verified(RefreshToken, refresh_token)
        principal, _proof = _speaks_for(refresh)
    except CredentialRefused:
        return
    token_families.revoke(principal, _family(refresh), "signed out")


def principal_of_access(access_token: str) -> Principal:
    """Whom an access token speaks for. Raises `CredentialRefused`."""
    token = _verified(AccessToken, access_token)
    principal, proof = _speaks_for(token)
    if token.get(_FINGERPRINT) != proof.fingerprint:
        raise CredentialRefused("The password has changed. Sign in again.")
    return principal


def _verified(kind: type[TokenKind], text: str) -> TokenKind:
    if not text or len(text) > MAX_TOKEN or not text.isascii():
        raise CredentialRefused("The token is not valid. Sign in again.")
    try:
        return kind(text)  # type: ignore[arg-type]
    except TokenError as error:
        raise CredentialRefused("The token is not valid, or has expired. Renew it or sign in again.") from error


def _speaks_for(token: Token) -> tuple[Principal, Proof]:
    """The person in the tenant, where the token's family still stands."""
    try:
        user_id, tenant_id = UUID(token[_SUBJECT]), UUID(token[_TENANT])
        family = _family(token)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise CredentialRefused("The token is not valid. Sign in again.") from error
    principal = selectors.principal_for_token(user_id, tenant_id, family)
    if principal is None or principal.proof is None:
        raise CredentialRefused("This sign-in has ended, or the account or its workspace is not active any more.")
    return principal, principal.proof


def _family(token: Token) -> UUID:
    return UUID(token[_FAMILY])


def _pair(principal: Principal, proof: Proof) -> tuple[TokenPair, Link]:
    claims = {
        _SUBJECT: str(principal.user_id),
        _TENANT: str(principal.tenant_id),
        _FAMILY: str(proof.family),
        _FINGERPRINT: proof.fingerprint,
    }
    refresh, access = RefreshToken(), AccessToken()
    refresh.payload.update(claims)
    access.payload.update(claims)
    text = str(refresh)
    link = Link.of(text, datetime.fromtimestamp(refresh["exp"], UTC))
    return TokenPair(str(access), text, int(AccessToken.lifetime.total_seconds())), link
