"""What a company's sign-in opened: sessions, and programs that were agreed to in them. They end with it.

The database ends them, whoever switches the provider off, removes it or turns it to another issuer or directory
(`tenants_end_with_provider`). Here they are bound to it. Whoever binds holds the provider's row: a provider that is
switched off at that moment either is seen, or finds what was bound. API keys stay: they are listed in the workspace.
"""

from datetime import datetime
from uuid import UUID

from allauth.usersessions.models import UserSession
from django.db import connections
from django.db.models.functions import Now

from apps.accounts.oidc_errors import SignInRefused
from apps.tenants import audit, selectors
from apps.tenants.models import IdentityProvider, RefreshToken
from apps.tenants.scope import tenant_scope

_BOUND = "identity_provider"  # as the database's function names it
_HOLD = """
SELECT 1 FROM tenants_identityprovider
WHERE tenant_id = %s AND id = %s AND enabled AND (turned_at IS NULL OR turned_at < %s) FOR SHARE
"""


def bind(tenant_id: UUID, provider_id: UUID, user_id: UUID, session_key: str | None, *, since: datetime) -> None:
    """Bind a session to the provider whose word was given at `since`, and put it down.

    Raises `SignInRefused` when that is worth nothing any more. A member who was suspended while a second factor was
    asked for gets a session that opens nothing.
    """
    principal = selectors.principal_for(user_id, tenant_id)
    with tenant_scope(tenant_id):
        if not hold(tenant_id, provider_id, since=since):
            raise SignInRefused("This way to sign in was closed while you were on it. Ask your administrator.")
        UserSession.objects.filter(session_key=session_key).update(data={_BOUND: str(provider_id)})
        if principal is not None:
            told = {"identity_provider_id": provider_id}
            audit.record(tenant_id, audit.Actor.of(principal), "session.opened", target=("user", user_id), data=told)


def hold(tenant_id: UUID, provider_id: UUID, *, since: datetime) -> bool:
    """Whether the provider has been open `since` then, and stays so until the caller's transaction ends."""
    with connections["default"].cursor() as cursor:
        cursor.execute(_HOLD, [tenant_id, provider_id, since])
        return cursor.fetchone() is not None


def opened_by(row: IdentityProvider) -> dict[str, int]:
    """How much would end with a provider now, for the audit log; in the caller's transaction, in the tenant's scope."""
    alive = RefreshToken.objects.filter(tenant_id=row.tenant_id, identity_provider=row.id, revoked_at=None)
    return {
        "sessions_ended": UserSession.objects.filter(data__identity_provider=str(row.id)).count(),
        "token_families_ended": alive.filter(expires_at__gt=Now()).values("family").distinct().count(),
    }
