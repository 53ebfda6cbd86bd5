"""Tokens that the authorisation server gave a program: for whom they speak, and whether they still do.

What a person agreed to is written on the token as resources: the tenant they were in, the token family that everything
given since belongs to, and what their password was. The family ends with the membership, with the password, when a
refresh token is used twice, and when the person or the program says so; every token of it ends at once.
"""

import re
from dataclasses import dataclass, replace
from uuid import UUID

from allauth.idp.oidc.models import Token

from apps.tenants import selectors
from apps.tenants.contracts import Principal, Scope, Via

_TOKEN = re.compile(r"[A-Za-z0-9_-]{86}\Z")
_TENANT, _FAMILY, _FINGERPRINT, _PROVIDER = (
    f"urn:switchboard:{name}:" for name in ("tenant", "family", "credential", "identity-provider")
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person agreed to. `identity_provider` is the company's sign-in that had opened their session, if any."""

    tenant_id: UUID
    family: UUID
    fingerprint: str
    identity_provider: UUID | None = None

    @classmethod
    def of(cls, token: Token) -> "Grant | None":
        """What a stored token rests on; None for one that rests on nothing."""
        resources: list[str] = token.get_resources()
        try:
            tenant, family, fingerprint = (
                next(text.removeprefix(mark) for text in resources if text.startswith(mark))
                for mark in (_TENANT, _FAMILY, _FINGERPRINT)
            )
            named = [text.removeprefix(_PROVIDER) for text in resources if text.startswith(_PROVIDER)]
            return cls(UUID(tenant), UUID(family), fingerprint, UUID(named[0]) if named else None)
        except (ValueError, RuntimeError):  # a part that is missing ends the generator
            return None

    def resources(self) -> list[str]:
        named = [f"{_PROVIDER}{self.identity_provider}"] if self.identity_provider else []
        return [f"{_TENANT}{self.tenant_id}", f"{_FAMILY}{self.family}", f"{_FINGERPRINT}{self.fingerprint}", *named]


def stored(token: str, *types: Token.Type) -> Token | None:
    """The token as it is kept, while it has not expired."""
    if not _TOKEN.match(token):
        return None
    found: Token | None = Token.objects.select_related("client").lookup_by_value(types, token)
    return found


def speaks_for(token: Token) -> Principal | None:
    """The person in the tenant, while the family, the membership and the password stand."""
    grant = Grant.of(token)
    if grant is None or token.user_id is None:
        return None
    principal = selectors.principal_for_token(token.user_id, grant.tenant_id, grant.family)
    if principal is None or principal.proof is None or principal.proof.fingerprint != grant.fingerprint:
        return None
    return replace(principal, via=Via.OAUTH)


def principal_of_oauth_token(token: str) -> Principal | None:
    """Whom an access token speaks for at our doors; None for no token of ours, or not any more.

    A token without a scope of ours opens nothing: it tells its program who somebody is, and no more.
    """
    kept = stored(token, Token.Type.ACCESS_TOKEN)
    principal = speaks_for(kept) if kept is not None else None
    if kept is None or principal is None:
        return None
    scopes = frozenset(kept.get_scopes()) & {Scope.CHAT.value, Scope.MANAGE.value}
    return replace(principal, scopes=scopes) if scopes else None
