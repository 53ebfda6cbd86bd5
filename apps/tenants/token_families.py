"""Refresh tokens in families: one sign-in of a program is one family, and each renewal uses up one link for the next.

A link is good for one use. Its second use ends the family at once, whoever comes second: of two who hold the same
token one has stolen it, and nobody can tell which. There is no grace period, so a program that loses the answer to a
renewal signs in again.

A family is revoked as soon as one of its links is. So a renewal that runs beside a revocation keeps nothing alive:
the link it adds belongs to a family that is revoked already.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connections, transaction
from django.db.models import Count, Exists, Max, Min, OuterRef, QuerySet
from django.db.models.functions import Now

from apps.accounts.contracts import is_storable
from apps.accounts.models import User
from apps.tenants import audit, epochs, provider_sessions
from apps.tenants.contracts import Principal, TokenFamily
from apps.tenants.errors import NotFound
from apps.tenants.models import RefreshToken
from apps.tenants.scope import tenant_scope
from apps.vault import keyed_digest

MAX_CLIENT = 200
LONGEST = timedelta(days=90)  # from signing in; a program that renews all the time asks its person again then
_LISTED = 100

_USE_UP = """
UPDATE tenants_refreshtoken link SET used_at = clock_timestamp()
WHERE digest = %s AND tenant_id = %s AND user_id = %s AND family = %s
  AND used_at IS NULL AND revoked_at IS NULL AND expires_at > clock_timestamp()
  AND NOT EXISTS (
    SELECT 1 FROM tenants_refreshtoken other
    WHERE other.tenant_id = link.tenant_id AND other.family = link.family AND other.revoked_at IS NOT NULL
  )
RETURNING id, client, identity_provider
"""
_FORGET = """
DELETE FROM tenants_refreshtoken link
WHERE expires_at < clock_timestamp() AND (revoked_at IS NULL OR NOT EXISTS (
    SELECT 1 FROM tenants_refreshtoken other
    WHERE other.tenant_id = link.tenant_id AND other.family = link.family AND other.expires_at >= clock_timestamp()
))
"""

log = structlog.get_logger(__name__)


class Outcome(Enum):
    """What became of one use of a refresh token."""

    RENEWED = "it was used up, and the next is written"
    UNKNOWN = "it is none of ours, has expired or belongs to a family that is revoked"
    REUSED = "it was used before, and its family is revoked now"


@dataclass(frozen=True, slots=True)
class Link:
    """A refresh token as it is kept: nothing of its text but a keyed digest."""

    digest: bytes
    expires_at: datetime

    @classmethod
    def of(cls, token: str, expires_at: datetime) -> "Link":
        return cls(digest(token), expires_at)


def digest(token: str) -> bytes:
    """What is stored of a refresh token: 32 bytes."""
    return keyed_digest(settings.ENV.api_key_pepper.get_secret_value(), token)


def begin(principal: Principal, family: UUID, link: Link, client: str, identity_provider: UUID | None = None) -> bool:
    """Write a new family's first link. `client` is how the program calls itself; what cannot be kept is left out.

    False, and nothing is written, where the company's sign-in whose session it was agreed to in has been closed.
    """
    with tenant_scope(principal.tenant_id):
        holds = provider_sessions.hold
        if identity_provider and not holds(principal.tenant_id, identity_provider, since=_began(family)):
            return False
        row = _row(principal, family, link)
        row.client = client[:MAX_CLIENT] if is_storable(client) else ""
        row.identity_provider = identity_provider
        row.save(force_insert=True)
        _record(principal, "token_family.opened", family)
    return True


def renew(principal: Principal, family: UUID, used: bytes, following: Link) -> Outcome:
    """Use up the link with the digest `used` and write the next, both or neither. Of uses at once, one succeeds.

    A family that began too long ago ends instead.
    """
    if datetime.now(UTC) - _began(family) > LONGEST:
        revoke(principal, family, "age")
        return Outcome.UNKNOWN
    with tenant_scope(principal.tenant_id):
        with connections["default"].cursor() as cursor:
            # Whoever comes second waits here for the first one's commit, and then finds the link used.
            cursor.execute(_USE_UP, [used, principal.tenant_id, principal.user_id, family])
            won = cursor.fetchone()
        if won is not None:
            row = _row(principal, family, following)
            row.parent, row.client, row.identity_provider = won
            row.save(force_insert=True)
            return Outcome.RENEWED
        earlier = _links(principal, family).filter(digest=used).first()
        if earlier is None or earlier.used_at is None:
            return Outcome.UNKNOWN
        _revoke(principal, family, "reuse")
    _tell(principal)
    return Outcome.REUSED


def _began(family: UUID) -> datetime:
    """A family's id is a UUIDv7: its first 48 bits are the milliseconds since 1970 at which it was made."""
    return datetime.fromtimestamp((family.int >> 80) / 1000, UTC)


def revoke(principal: Principal, family: UUID, reason: str) -> bool:
    """End a family of the principal's own; False where it had ended before, or never was."""
    with tenant_scope(principal.tenant_id):
        revoked = _revoke(principal, family, reason)
    _tell(principal)
    return revoked


def revoke_listed(principal: Principal, family: UUID) -> None:
    """The same for one that was chosen from the list. Raises `NotFound`."""
    with tenant_scope(principal.tenant_id):
        if not _links(principal, family).exists():
            raise NotFound("There is no such sign-in.")
        _revoke(principal, family, "asked")
    _tell(principal)


def revoke_all_of(user_id: UUID) -> int:
    """End every family of a person, in every tenant, as `engine`: their password changed. Returns links that ended."""
    return RefreshToken.objects.using("engine").filter(user_id=user_id, revoked_at=None).update(revoked_at=Now())


def end_with_password(instance: User, created: bool, using: str, **_: Any) -> None:
    """For Django's `post_save`: a person's new password ends all families, whoever set it.

    Every token carries the password's fingerprint and is refused without this; so are lists kept true.
    """
    # Not set where Django only renews the hash of an unchanged password.
    if not created and getattr(instance, "_password", None) is not None:
        transaction.on_commit(lambda: revoke_all_of(instance.id), using=using)


def revoke_in_tenant(tenant_id: UUID, user_id: UUID) -> int:
    """End every family of a person in the tenant of the caller's transaction; returns how many were alive."""
    links = RefreshToken.objects.filter(tenant_id=tenant_id, user_id=user_id)
    alive = links.filter(expires_at__gt=Now()).exclude(revoked_family()).aggregate(count=Count("family", distinct=True))
    links.filter(revoked_at=None).update(revoked_at=Now())
    return int(alive["count"])


def families(principal: Principal) -> list[TokenFamily]:
    """The person's families in this tenant that can still be renewed, the last renewed first; at most 100."""
    with tenant_scope(principal.tenant_id):
        rows = (
            RefreshToken.objects.filter(tenant_id=principal.tenant_id, user_id=principal.user_id)
            .exclude(revoked_family())
            .values("family")
            .annotate(begun=Min("issued_at"), renewed=Max("issued_at"), ends=Max("expires_at"), named=Max("client"))
            .filter(ends__gt=Now())
            .order_by("-renewed", "family")[:_LISTED]
        )
        return [
            TokenFamily(
                id=row["family"],
                client=row["named"],
                opened_at=row["begun"],
                renewed_at=row["renewed"],
                expires_at=row["ends"],
                current=principal.proof is not None and principal.proof.family == row["family"],
            )
            for row in rows
        ]


def forget_expired() -> int:
    """Delete links that nobody could use any more, as `engine`; returns how many.

    A revoked link stays while any link of its family could be used: it is what says that the family is revoked.
    """
    with connections["engine"].cursor() as cursor:
        cursor.execute(_FORGET)
        return int(cursor.rowcount)


def revoked_family() -> Exists:
    """For queries over refresh tokens: whether the row's family is revoked."""
    return Exists(
        RefreshToken.objects.filter(
            tenant_id=OuterRef("tenant_id"), family=OuterRef("family"), revoked_at__isnull=False
        )
    )


def _links(principal: Principal, family: UUID) -> QuerySet[RefreshToken]:
    return RefreshToken.objects.filter(tenant_id=principal.tenant_id, user_id=principal.user_id, family=family)


def _row(principal: Principal, family: UUID, link: Link) -> RefreshToken:
    return RefreshToken(
        tenant_id=principal.tenant_id,
        user_id=principal.user_id,
        family=family,
        digest=link.digest,
        expires_at=link.expires_at,
    )


def _revoke(principal: Principal, family: UUID, reason: str) -> bool:
    links = _links(principal, family)
    had_ended = links.filter(revoked_at__isnull=False).exists()
    # Of two at once, the second waits here for the first, and then finds nothing left to end.
    if not links.filter(revoked_at=None).update(revoked_at=Now()) or had_ended:
        return False
    _record(principal, "token_family.revoked", family, reason=reason)
    log.info("token_family.revoked", family=str(family), reason=reason)
    return True


def _tell(principal: Principal) -> None:
    """After the commit: what the family opened is asked again at once."""
    epochs.rights_changed(principal.tenant_id, principal.user_id)


def _record(principal: Principal, action: str, family: UUID, **data: str) -> None:
    actor = audit.Actor.of(principal)
    audit.record(principal.tenant_id, actor, action, target=("token_family", family), data=data)
