"""API keys: made, rotated, revoked.

A key's rights never change after it was made, so that what a process remembers of it can only be too much where the
key, or one of its secrets, has ended; and every end begins another epoch of the tenant.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models.functions import Now

from apps.accounts.contracts import is_storable
from apps.problems import Conflict, Forbidden
from apps.tenants import audit, epochs, features, key_secrets, offered, selectors
from apps.tenants.contracts import NewApiKey, Principal, Scope, Via
from apps.tenants.errors import InvalidApiKey, NotFound
from apps.tenants.models import ApiKey, EarlierSecret, Membership, Team, TeamMember
from apps.tenants.policy import Action, allows, require
from apps.tenants.scope import tenant_scope
from apps.tenants.standing import still_stands

MAX_NAME = 120
MAX_LIVE_KEYS = 100  # per person and tenant
MAX_MODELS = 100
MAX_OVERLAP_SECONDS = 30 * 86_400
# Secrets of one key that work beside its newest.
MAX_EARLIER_SECRETS = 3

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rights:
    """What a new key is to open. `models`: slugs of models and policies, None for all that its person may use."""

    scopes: Collection[str] = ()
    models: Collection[str] | None = None
    team_id: UUID | None = None
    expires_at: datetime | None = None


def create_api_key(
    principal: Principal,
    name: str,
    scopes: Collection[str] = (),
    expires_at: datetime | None = None,
    *,
    models: Collection[str] | None = None,
    team_id: UUID | None = None,
    actor: audit.Actor | None = None,
) -> NewApiKey:
    """Make a key that speaks for the caller in this tenant. The secret is in the answer and nowhere else.

    `models` bounds what it reaches (see `Rights`), `team_id` is a team of the caller that it belongs to and ends with.
    `actor` is who makes it, where that is not the person it speaks for.
    Raises `InvalidApiKey`; `Forbidden` for viewers and for callers that are themselves a key; `FeatureOff` for a
    directory's key where the tenant has no directory.
    """
    _no_key(principal, "make another key")
    require(principal, Action.KEYS_MAKE)
    name, rights = name.strip(), Rights(scopes, models, team_id, expires_at)
    wrong = _wrong(principal, name, rights)
    prefix, secret = key_secrets.new_secret()
    key = ApiKey(
        tenant_id=principal.tenant_id,
        user_id=principal.user_id,
        name=name,
        prefix=prefix,
        digest=key_secrets.digest(secret),
        scopes=sorted(set(scopes)),
        allowed_models=None if models is None else sorted(set(models)),
        team_id=team_id,
        expires_at=expires_at,
    )
    with tenant_scope(principal.tenant_id):
        if actor is None:
            still_stands(principal)
        if team_id is not None and not _is_member(principal, team_id):
            wrong["team"] = ["You are in no such team."]
        if wrong:
            raise InvalidApiKey("The key cannot be made like this.", fields=wrong)
        live = ApiKey.objects.filter(tenant_id=principal.tenant_id, user_id=principal.user_id, revoked_at=None)
        if live.count() >= MAX_LIVE_KEYS:
            raise InvalidApiKey(f"There are {MAX_LIVE_KEYS} keys already. Revoke one that is not needed.")
        key.save(force_insert=True)
        _note(key, actor or audit.Actor.of(principal), "api_key.made", _told(key, actor))
    log.info("api_key.created", api_key_id=str(key.id), prefix=prefix)
    return NewApiKey(key.id, name, prefix, secret)


def _no_key(principal: Principal, what: str) -> None:
    if principal.via in (Via.API_KEY, Via.OAUTH):  # it would outlive what was given, or open more
        raise Forbidden(f"A key cannot {what}. Sign in to do that.")


def _wrong(principal: Principal, name: str, rights: Rights) -> dict[str, list[str]]:
    """What of a new key breaks a rule, by field. Raises `Forbidden` and `FeatureOff` for a directory's key."""
    wrong: dict[str, list[str]] = {}
    if not name or len(name) > MAX_NAME or not is_storable(name):
        wrong["name"] = [f"Give the key a name of at most {MAX_NAME} characters."]
    if unknown := sorted(set(rights.scopes) - set(Scope)):
        wrong["scopes"] = [f"Unknown: {', '.join(unknown)[:200]}. Known: {', '.join(Scope)}."]
    elif Scope.SCIM in rights.scopes:
        require(principal, Action.PROVISION)
        features.require(features.Feature.DIRECTORY, principal.tenant_id)
        if set(rights.scopes) != {Scope.SCIM}:
            wrong["scopes"] = ["A directory's key opens the directory's doors alone. Choose no other with it."]
        elif rights.models is not None or rights.team_id is not None:
            wrong["scopes"] = ["A directory's key asks no models, and is of no team."]
    if rights.expires_at is not None and rights.expires_at <= datetime.now(UTC):
        wrong["expires_at"] = ["Choose a time in the future."]
    if rights.models is not None and (told := _wrong_models(principal, set(rights.models))):
        wrong["models"] = [told]
    return wrong


def _wrong_models(principal: Principal, named: set[str]) -> str | None:
    if len(named) > MAX_MODELS:
        return f"Name at most {MAX_MODELS}."
    offers = {one.slug: one for one in offered.names_for(principal)}
    if unknown := sorted(named - set(offers)):
        return f"Not on offer to you: {', '.join(unknown)[:200]}."
    if not any(offers[slug].answers for slug in named):
        return "Name at least one model. A policy answers only by models that are named too."
    return None


def _is_member(principal: Principal, team_id: UUID) -> bool:
    """Demands the tenant's scope. Holds the team until the key is written: who leaves it meanwhile waits, and then ends
    the key."""
    Team.objects.select_for_update(no_key=True).filter(tenant_id=principal.tenant_id, id=team_id).first()
    members = TeamMember.objects.filter(tenant_id=principal.tenant_id, team_id=team_id)
    return members.filter(membership__user_id=principal.user_id, membership__suspended_at=None).exists()


def _told(key: ApiKey, actor: audit.Actor | None) -> dict[str, object]:
    """What the audit log says of a new key: a bound is named where there is one."""
    told: dict[str, object] = {"scopes": key.scopes, "expires_at": key.expires_at}
    if key.allowed_models is not None:
        told["models"] = key.allowed_models
    if key.team_id is not None:
        told["team"] = key.team_id
    return told | ({} if actor is None else {"speaks_for": key.user_id})


def rotate_api_key(
    principal: Principal, key_id: UUID, overlap_seconds: int = 0, *, actor: audit.Actor | None = None
) -> NewApiKey:
    """Give one's key a new secret; the one it had goes on working for so long, 0 for not at all.

    It stays the same key: its id, rights, limits and end, and what it used. Secrets that an earlier rotation left
    working are left as they are, unless `overlap_seconds` is 0: then the new one alone works.
    Raises `InvalidApiKey`, `NotFound` for another's key, `Conflict` where it has ended or too many secrets work;
    `Forbidden` for callers that are themselves a key.
    """
    _no_key(principal, "be given a new secret by a key")
    require(principal, Action.KEYS_MAKE)
    if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
        wrong = f"Choose from 0 to {MAX_OVERLAP_SECONDS} seconds, which are 30 days."
        raise InvalidApiKey("The key was not rotated.", fields={"overlap_seconds": [wrong]})
    prefix, secret = key_secrets.new_secret()
    with tenant_scope(principal.tenant_id):
        if actor is None:
            still_stands(principal)
        key = _own_live_key(principal, key_id)
        if Scope.SCIM in key.scopes:
            require(principal, Action.PROVISION)
        now = datetime.now(UTC)
        earlier = EarlierSecret.objects.filter(tenant_id=key.tenant_id, api_key_id=key.id, ends_at__gt=Now())
        shown = digests_of([key])
        if overlap_seconds == 0:
            earlier.update(ends_at=Now())
        elif earlier.count() >= MAX_EARLIER_SECRETS:
            raise Conflict(f"{MAX_EARLIER_SECRETS} earlier secrets of this key still work. End one of them first.")
        else:
            _keep_for_a_while(key, now + timedelta(seconds=overlap_seconds))
        replaced, key.prefix, key.digest, key.rotated_at = key.prefix, prefix, key_secrets.digest(secret), now
        key.save(update_fields=["prefix", "digest", "rotated_at"])
        told: dict[str, object] = {"from": replaced, "overlap_seconds": overlap_seconds}
        told |= {} if actor is None else {"speaks_for": key.user_id}
        _note(key, actor or audit.Actor.of(principal), "api_key.rotated", told)
    _forget(key, shown)
    log.info("api_key.rotated", api_key_id=str(key.id), prefix=prefix)
    return NewApiKey(key.id, key.name, prefix, secret)


def _own_live_key(principal: Principal, key_id: UUID) -> ApiKey:
    """Locked. Nobody else's: who has the new secret speaks for its person."""
    rows = ApiKey.objects.select_for_update(no_key=True).filter(tenant_id=principal.tenant_id, id=key_id)
    key = rows.filter(user_id=principal.user_id).first()
    if key is None:
        raise NotFound("There is no such key of yours.")
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= datetime.now(UTC)):
        raise Conflict("This key has ended. Make a new one.")
    return key


def _keep_for_a_while(key: ApiKey, ends_at: datetime) -> None:
    """The secret that the key has now works until then, and no longer than the key."""
    EarlierSecret(
        tenant_id=key.tenant_id,
        api_key_id=key.id,
        prefix=key.prefix,
        digest=bytes(key.digest),
        ends_at=ends_at if key.expires_at is None else min(ends_at, key.expires_at),
    ).save(force_insert=True)


def end_earlier_secret(principal: Principal, key_id: UUID, prefix: str) -> None:
    """End a secret that a rotation left working; ending it again changes nothing. The newest ends with its key alone.

    Raises `NotFound`, also for a key that is somebody else's.
    """
    with tenant_scope(principal.tenant_id):
        key = _reachable(principal, key_id)
        rows = EarlierSecret.objects.filter(tenant_id=principal.tenant_id, api_key_id=key.id, prefix=prefix)
        secret = rows.first()
        if secret is None:
            raise NotFound("There is no such earlier secret.")
        if rows.filter(ends_at__gt=Now()).update(ends_at=Now()):
            _note(key, audit.Actor.of(principal), "api_key.secret_ended", {"ended": prefix})
    _forget(key, [bytes(secret.digest)])


def revoke_api_key(principal: Principal, key_id: UUID) -> None:
    """End a key for good; revoking it again changes nothing. An administrator may end any key of the tenant.

    Raises `NotFound`, also for a key that is somebody else's.
    """
    with tenant_scope(principal.tenant_id):
        key = _reachable(principal, key_id)
        digests = digests_of([key])
        if ApiKey.objects.filter(id=key.id, revoked_at=None).update(revoked_at=Now()):
            _note_revoked(key, audit.Actor.of(principal))
    _forget(key, digests)
    log.info("api_key.revoked", api_key_id=str(key_id), prefix=key.prefix)


def _reachable(principal: Principal, key_id: UUID) -> ApiKey:
    """One's own, or for an administrator any of the tenant's. Raises `NotFound`."""
    keys = ApiKey.objects.filter(tenant_id=principal.tenant_id, id=key_id)
    if not allows(principal.role, Action.KEYS_OF_OTHERS):
        keys = keys.filter(user_id=principal.user_id)
    key = keys.first()
    if key is None:
        raise NotFound("There is no such key.")
    return key


def revoke_own_api_keys(principal: Principal) -> int:
    """End every key that speaks for the caller in this tenant; returns how many were alive.

    A changed password leaves keys as they are: programs go on, and whoever fears for their keys ends them by this.
    """
    with tenant_scope(principal.tenant_id):
        alive = ApiKey.objects.filter(tenant_id=principal.tenant_id, user_id=principal.user_id, revoked_at=None)
        keys = list(alive.order_by("id").select_for_update())
        digests = digests_of(keys)
        alive.filter(id__in=[key.id for key in keys]).update(revoked_at=Now())
        for key in keys:
            _note_revoked(key, audit.Actor.of(principal))
    for key in keys[:1]:
        _forget(key, digests)
    return len(keys)


def revoke_api_keys_as_operator(key_ids: Collection[UUID], actor: audit.Actor | None = None) -> int:
    """End keys of any tenant, as `engine`; returns how many were still alive."""
    actor = actor or audit.Actor(None, "operator", "admin")
    with transaction.atomic(using="engine"):
        alive = ApiKey.objects.using("engine").filter(id__in=list(key_ids), revoked_at=None)
        # Chains are taken in one order, so that two operators never wait for each other.
        keys = list(alive.order_by("tenant_id", "id").select_for_update())
        digests = digests_of(keys, using="engine")
        alive.update(revoked_at=Now())
        for key in keys:
            _note_revoked(key, actor, using="engine")
    for key in keys:
        _forget(key, digests)
    return len(keys)


def end_keys_of_team(
    tenant_id: UUID, team_id: UUID, actor: audit.Actor, membership_ids: Collection[UUID] | None = None
) -> None:
    """End the keys of a team that speak for these members, None for all: they leave it, or it goes.

    In the transaction, and in the tenant's scope, of that; whoever deletes the rows by other ways ends the keys too,
    by a trigger. After the commit every process is told.
    """
    keys = ApiKey.objects.filter(tenant_id=tenant_id, team_id=team_id, revoked_at=None)
    if membership_ids is not None:
        leaving = Membership.objects.filter(tenant_id=tenant_id, id__in=list(membership_ids))
        keys = keys.filter(user_id__in=leaving.values("user_id"))
    ended = list(keys.order_by("id").select_for_update(of=("self",)))
    digests = digests_of(ended)
    ApiKey.objects.filter(id__in=[key.id for key in ended]).update(revoked_at=Now())
    for key in ended:
        _note(key, actor, "api_key.revoked", {"speaks_for": key.user_id, "left_team": team_id})

    def tell() -> None:
        for key in ended:
            _forget(key, digests)
        if not ended:
            epochs.passed(tenant_id)  # the team's limits apply to others now

    transaction.on_commit(tell)


def digests_of(keys: Sequence[ApiKey], *, using: str = "default") -> list[bytes]:
    """Of all secrets of these keys."""
    earlier = EarlierSecret.objects.using(using).filter(api_key_id__in=[key.id for key in keys])
    return [bytes(key.digest) for key in keys] + [bytes(one) for one in earlier.values_list("digest", flat=True)]


def _forget(key: ApiKey, digests: Collection[bytes]) -> None:
    """After the commit: this process forgets the secrets, and what they opened anywhere is asked again."""
    for digest in digests:
        selectors.forget_api_key(digest)
    epochs.rights_changed(key.tenant_id, key.user_id)


def _note(key: ApiKey, actor: audit.Actor, action: str, told: Mapping[str, object], *, using: str = "default") -> None:
    data = {"name": key.name, "prefix": key.prefix, **told}
    audit.record(key.tenant_id, actor, action, target=("api_key", key.id), data=data, using=using)


def _note_revoked(key: ApiKey, actor: audit.Actor, *, using: str = "default") -> None:
    _note(key, actor, "api_key.revoked", {"speaks_for": key.user_id}, using=using)
