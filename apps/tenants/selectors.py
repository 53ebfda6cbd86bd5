"""Reads: who is calling, for which tenant, and with which keys."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists
from django.db.models.functions import Now

from apps.accounts import second_factor
from apps.accounts.selectors import fingerprint
from apps.tenants import audit, key_secrets
from apps.tenants.contracts import ApiKeySummary, EarlierSecretSummary, MembershipSummary, Principal, Proof, Via
from apps.tenants.known_keys import KnownKey, known_keys
from apps.tenants.models import ApiKey, EarlierSecret, Membership, RefreshToken, Team, Tenant
from apps.tenants.policy import Action, allows
from apps.tenants.scope import own_scope, tenant_scope
from apps.vault import same_digest

_ACTIVE: dict[str, Any] = {
    "suspended_at": None,
    "user__is_active": True,
    "tenant__status": Tenant.Status.ACTIVE,
    "tenant__deleted_at": None,
}


def memberships_of(user_id: UUID) -> list[MembershipSummary]:
    """The active tenants a person belongs to, the earliest joined first."""
    with own_scope(user_id):
        rows = Membership.objects.filter(user_id=user_id, **_ACTIVE).select_related("tenant")
        return [
            MembershipSummary(row.tenant_id, row.tenant.name, row.tenant.slug, row.role)
            for row in rows.order_by("created_at", "id")
        ]


def principal_for(user_id: UUID, tenant_id: UUID | None = None, *, via: Via = Via.SESSION) -> Principal | None:
    """The person in that tenant, or in the one they joined first.

    None unless the person and the tenant are active and the membership exists.
    """
    with own_scope(user_id):
        rows = Membership.objects.filter(user_id=user_id, **_ACTIVE).select_related("tenant", "user")
        if tenant_id is not None:
            rows = rows.filter(tenant_id=tenant_id)
        row = rows.order_by("created_at", "id").first()
    return _principal(row, via) if row else None


def principal_for_token(user_id: UUID, tenant_id: UUID, family: UUID) -> Principal | None:
    """Whom a token of that family speaks for; None where the family is revoked, or where `principal_for` says so."""
    with tenant_scope(tenant_id, user_id=user_id):
        links = RefreshToken.objects.filter(tenant_id=tenant_id, user_id=user_id, family=family)
        rows = Membership.objects.filter(user_id=user_id, tenant_id=tenant_id, **_ACTIVE)
        rows = rows.filter(Exists(links), ~Exists(links.filter(revoked_at__isnull=False)))
        row = rows.select_related("tenant", "user").first()
    if row is None:
        return None
    return replace(_principal(row, Via.JWT), proof=Proof(fingerprint(row.user), family=family))


def tenant_id_by_slug(slug: str) -> UUID | None:
    """For operators: the tenant with this slug, read across tenants."""
    return Tenant.objects.using("engine").filter(slug=slug, deleted_at=None).values_list("id", flat=True).first()


def key_named(tenant_id: UUID, name: str) -> tuple[UUID, UUID] | None:
    """For operators: the id and person of a tenant's key, by its id or the prefix that lists show."""
    keys = ApiKey.objects.using("engine").filter(tenant_id=tenant_id)
    try:
        keys = keys.filter(id=UUID(name))
    except ValueError:
        keys = keys.filter(prefix=name.rstrip("…"))
    return keys.values_list("id", "user_id").first()


def api_keys(principal: Principal) -> list[ApiKeySummary]:
    """The caller's keys, the newest first; an administrator sees those of the whole tenant."""
    with tenant_scope(principal.tenant_id):
        rows = ApiKey.objects.filter(tenant_id=principal.tenant_id).select_related("user", "team")
        if not allows(principal.role, Action.KEYS_OF_OTHERS):
            rows = rows.filter(user_id=principal.user_id)
        elif rows.exclude(user_id=principal.user_id).exists():
            audit.record_read(principal, "api_key.listed", target=("tenant", principal.tenant_id))
        earlier = _earlier_secrets(principal.tenant_id)
        return [
            ApiKeySummary(
                id=row.id,
                name=row.name,
                prefix=row.prefix,
                scopes=tuple(row.scopes),
                user_name=row.user.name,
                created_at=row.created_at,
                expires_at=row.expires_at,
                last_used_at=row.last_used_at,
                revoked_at=row.revoked_at,
                is_yours=row.user_id == principal.user_id,
                models=None if row.allowed_models is None else tuple(row.allowed_models),
                rotated_at=row.rotated_at,
                earlier_secrets=tuple(earlier[row.id]) if row.revoked_at is None else (),
                team_id=row.team_id,
                team_name=row.team.name if row.team is not None else "",
            )
            for row in rows.order_by("-created_at", "-id")
        ]


def own_teams(principal: Principal) -> list[tuple[UUID, str]]:
    """Ids and names of the teams that the caller is in."""
    with tenant_scope(principal.tenant_id):
        rows = Team.objects.filter(tenant_id=principal.tenant_id, members__membership__user_id=principal.user_id)
        return list(rows.order_by("name", "id").values_list("id", "name"))


def _earlier_secrets(tenant_id: UUID) -> Mapping[UUID, list[EarlierSecretSummary]]:
    """Secrets that work beside their key's newest, by key. Demands the tenant's scope."""
    found: defaultdict[UUID, list[EarlierSecretSummary]] = defaultdict(list)
    for row in EarlierSecret.objects.filter(tenant_id=tenant_id, ends_at__gt=Now()).order_by("ends_at"):
        found[row.api_key_id].append(EarlierSecretSummary(row.prefix, row.ends_at))
    return found


def bounded_by_key(principal: Principal, key_id: UUID | None) -> Principal:
    """The person as they asked with one of their keys: what is done later for such a call reaches no further."""
    if key_id is None:
        return principal
    with tenant_scope(principal.tenant_id):
        row = ApiKey.objects.filter(tenant_id=principal.tenant_id, id=key_id).first()
    bound = None if row is None else _models_of(row)
    return replace(principal, api_key_id=key_id, models=bound)


def principal_for_api_key(secret: str) -> Principal | None:
    """Whom a key speaks for; None when it is unknown, expired or revoked, or its person or tenant is not active.

    Answers are kept for two seconds in this process (refusals for one), so a revoked key may work that much longer
    at a door without an admission; in this process, revoking it forgets it at once.
    """
    prefix = key_secrets.prefix_of(secret)
    if prefix is None:
        return None
    digest = key_secrets.digest(secret)
    found = known_keys.get(digest)
    while found is None:
        asked_at = known_keys.generation
        read = _look_up(prefix, digest)
        # What was forgotten while it was read may be what was read.
        found = known_keys.put(digest, read, asked_at)
    return found.principal if found.is_valid() else None


def principal_in_memory(secret: str) -> tuple[Principal | None, bool]:
    """Whom a key speaks for as far as this process remembers, and whether it is time to look again. No I/O.

    What is remembered is up to half a minute old. It is for callers whose admission holds the tenant's epoch against
    it, so that no key opens anything after it was revoked.
    """
    if not secret.startswith(key_secrets.MARK):
        return None, False
    found, stale = known_keys.remembered(key_secrets.digest(secret))
    return (found.principal, stale) if found is not None and found.is_valid() else (None, False)


def look_again(secret: str) -> None:
    """Read a remembered key anew."""
    prefix = key_secrets.prefix_of(secret)
    if prefix is not None:
        digest = key_secrets.digest(secret)
        asked_at = known_keys.generation
        known_keys.put(digest, _look_up(prefix, digest), asked_at)


def forget_api_key(digest: bytes) -> None:
    """Drop what this process remembers of a key."""
    known_keys.drop(digest)


def forget_api_keys(tenant_id: UUID) -> None:
    """Drop what this process remembers of a tenant's keys."""
    known_keys.drop_tenant(tenant_id)


def generation() -> int:
    """Rises whenever this process forgets a key. Whoever was found under an earlier one may have been forgotten."""
    return known_keys.generation


def _look_up(prefix: str, digest: bytes) -> KnownKey:
    """One key across all tenants, as `engine`: before the key is known, so is no tenant."""
    key, ends_at = _key_of(prefix, digest)
    if key is None:
        return KnownKey(None)
    rows = Membership.objects.using("engine").filter(tenant_id=key.tenant_id, user_id=key.user_id, **_ACTIVE)
    row = rows.select_related("tenant", "user").first()
    if row is None:
        return KnownKey(None)
    return KnownKey(replace(_principal(row, Via.API_KEY, key), key_prefix=prefix), ends_at)


def _key_of(prefix: str, digest: bytes) -> tuple[ApiKey | None, datetime | None]:
    """The key that a secret opens, by its newest secret or an earlier one, and when that ends."""
    key = ApiKey.objects.using("engine").filter(prefix=prefix, revoked_at=None).first()
    if key is not None:
        return (key, key.expires_at) if same_digest(bytes(key.digest), digest) else (None, None)
    rows = EarlierSecret.objects.using("engine").select_related("api_key").filter(prefix=prefix, ends_at__gt=Now())
    earlier = rows.filter(api_key__revoked_at=None).first()
    if earlier is None or not same_digest(bytes(earlier.digest), digest):
        return None, None
    return earlier.api_key, earlier.ends_at


def _models_of(key: ApiKey) -> frozenset[str] | None:
    return None if key.allowed_models is None else frozenset(key.allowed_models)


def _principal(row: Membership, via: Via, key: ApiKey | None = None) -> Principal:
    return Principal(
        user_id=row.user_id,
        tenant_id=row.tenant_id,
        role=row.role,
        user_name=row.user.name,
        user_email=row.user.email,
        tenant_name=row.tenant.name,
        via=via,
        scopes=frozenset(key.scopes) if key else frozenset(),
        api_key_id=key.id if key else None,
        models=_models_of(key) if key else None,
        # A key was made by somebody who could enter; programs have no second factor.
        lacks_second_factor=key is None
        and row.tenant.requires_second_factor
        and not second_factor.has_second_factor(row.user_id),
    )
