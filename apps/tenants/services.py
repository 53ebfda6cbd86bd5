"""Writes: opening tenants, signing up, making and revoking API keys."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.text import slugify
from uuid6 import uuid7

from apps.accounts import services as accounts
from apps.accounts.contracts import is_storable
from apps.problems import Forbidden
from apps.tenants import audit, epochs, features, key_secrets, selectors
from apps.tenants.contracts import NewApiKey, NewTenant, Principal, Scope, Via
from apps.tenants.errors import InvalidApiKey, InvalidTenant, NotFound
from apps.tenants.models import ApiKey, Membership, Tenant
from apps.tenants.offboarding import offboard, when_somebody_leaves
from apps.tenants.policy import Action, allows, require
from apps.tenants.scope import tenant_scope
from apps.tenants.standing import still_stands

__all__ = ["offboard", "still_stands", "when_somebody_leaves"]

MAX_NAME = 120
MAX_LIVE_KEYS = 100  # per person and tenant
_TOUCH_SECONDS = 60.0

log = structlog.get_logger(__name__)


def sign_up(
    name: str,
    email: str,
    password: str,
    tenant_name: str,
    *,
    plan: str = Tenant.Plan.FREE,
    actor: audit.Actor | None = None,
) -> NewTenant:
    """Make an account, a tenant and the membership that makes the one own the other; all of them or none.

    `actor` is who did it, where that is not the person. Raises `accounts.errors.InvalidAccount`, `InvalidTenant`.
    """
    tenant_name = _checked_name(tenant_name)
    account = accounts.check(email, name, password)
    tenant_id = uuid7()
    with tenant_scope(tenant_id, user_id=account.id):
        owner_id = accounts.insert(account)
        tenant = _insert_tenant(tenant_id, tenant_name, owner_id, plan)
        _note_opened(tenant, tenant_name, plan, actor or audit.Actor(owner_id, account.email, Via.SESSION))
        return tenant


def open_tenant(
    name: str, owner_id: UUID, *, plan: str = Tenant.Plan.FREE, actor: audit.Actor | None = None
) -> NewTenant:
    """Open a tenant owned by an existing person; `plan` is one of `Tenant.Plan`. Raises `InvalidTenant`.

    `actor` is who did it, where that is not the person.
    """
    name = _checked_name(name)
    tenant_id = uuid7()
    with tenant_scope(tenant_id, user_id=owner_id):
        tenant = _insert_tenant(tenant_id, name, owner_id, plan)
        if actor is None:
            membership = Membership.objects.select_related("user").get(tenant_id=tenant_id, user_id=owner_id)
            actor = audit.Actor(owner_id, membership.user.email, Via.SESSION)
        _note_opened(tenant, name, plan, actor)
        return tenant


def _note_opened(tenant: NewTenant, name: str, plan: str, actor: audit.Actor) -> None:
    told = {"name": name, "slug": tenant.slug, "plan": plan, "owner_id": tenant.owner_id}
    audit.record(tenant.id, actor, "tenant.opened", target=("tenant", tenant.id), data=told)


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME or not is_storable(name):
        message = f"Give the workspace a name of at most {MAX_NAME} characters."
        raise InvalidTenant("The workspace cannot be opened.", fields={"tenant_name": [message]})
    return name


def _insert_tenant(tenant_id: UUID, name: str, owner_id: UUID, plan: str) -> NewTenant:
    """Write tenant and membership inside the tenant's scope. A taken slug gets a random ending.

    Whether a slug is taken cannot be asked (row-level security hides other tenants); the unique index tells.
    """
    base = slugify(name)[:48].strip("-") or "workspace"
    slug = base
    while True:
        try:
            with transaction.atomic():
                Tenant(id=tenant_id, name=name, slug=slug, plan=plan).save(force_insert=True)
            break
        except IntegrityError as error:
            if "slug" not in str(error):
                raise
            slug = f"{base}-{secrets.token_hex(4)}"
    Membership(tenant_id=tenant_id, user_id=owner_id, role=Membership.Role.OWNER).save(force_insert=True)
    return NewTenant(tenant_id, slug, owner_id)


def create_api_key(
    principal: Principal,
    name: str,
    scopes: Collection[str] = (),
    expires_at: datetime | None = None,
    *,
    actor: audit.Actor | None = None,
) -> NewApiKey:
    """Make a key that speaks for the caller in this tenant. The secret is in the answer and nowhere else.

    `actor` is who makes it, where that is not the person it speaks for.
    Raises `InvalidApiKey`; `Forbidden` for viewers and for callers that are themselves a key; `FeatureOff` for a
    directory's key where the tenant has no directory.
    """
    if principal.via in (Via.API_KEY, Via.OAUTH):  # it would outlive what was given, or open more
        raise Forbidden("A key cannot make another key. Sign in to make one.")
    require(principal, Action.KEYS_MAKE)
    name = name.strip()
    wrong: dict[str, list[str]] = {}
    if not name or len(name) > MAX_NAME or not is_storable(name):
        wrong["name"] = [f"Give the key a name of at most {MAX_NAME} characters."]
    if unknown := sorted(set(scopes) - set(Scope)):
        wrong["scopes"] = [f"Unknown: {', '.join(unknown)[:200]}. Known: {', '.join(Scope)}."]
    elif Scope.SCIM in scopes:
        require(principal, Action.PROVISION)
        features.require(features.Feature.DIRECTORY, principal.tenant_id)
        if set(scopes) != {Scope.SCIM}:
            wrong["scopes"] = ["A directory's key opens the directory's doors alone. Choose no other with it."]
    if expires_at is not None and expires_at <= datetime.now(UTC):
        wrong["expires_at"] = ["Choose a time in the future."]
    if wrong:
        raise InvalidApiKey("The key cannot be made like this.", fields=wrong)
    prefix, secret = key_secrets.new_secret()
    key = ApiKey(
        tenant_id=principal.tenant_id,
        user_id=principal.user_id,
        name=name,
        prefix=prefix,
        digest=key_secrets.digest(secret),
        scopes=sorted(set(scopes)),
        expires_at=expires_at,
    )
    with tenant_scope(principal.tenant_id):
        if actor is None:
            still_stands(principal)
        live = ApiKey.objects.filter(tenant_id=principal.tenant_id, user_id=principal.user_id, revoked_at=None)
        if live.count() >= MAX_LIVE_KEYS:
            raise InvalidApiKey(f"There are {MAX_LIVE_KEYS} keys already. Revoke one that is not needed.")
        key.save(force_insert=True)
        audit.record(
            principal.tenant_id,
            actor or audit.Actor.of(principal),
            "api_key.made",
            target=("api_key", key.id),
            data={"name": name, "prefix": prefix, "scopes": key.scopes, "expires_at": expires_at}
            | ({} if actor is None else {"speaks_for": principal.user_id}),
        )
    log.info("api_key.created", api_key_id=str(key.id), prefix=prefix)
    return NewApiKey(key.id, name, prefix, secret)


def revoke_api_key(principal: Principal, key_id: UUID) -> None:
    """End a key for good; revoking it again changes nothing. An administrator may end any key of the tenant.

    Raises `NotFound`, also for a key that is somebody else's.
    """
    with tenant_scope(principal.tenant_id):
        keys = ApiKey.objects.filter(tenant_id=principal.tenant_id, id=key_id)
        if not allows(principal.role, Action.KEYS_OF_OTHERS):
            keys = keys.filter(user_id=principal.user_id)
        key = keys.first()
        if key is None:
            raise NotFound("There is no such key.")
        if keys.filter(revoked_at=None).update(revoked_at=Now()):
            _note_revoked(key, audit.Actor.of(principal))
    _forget(key)
    log.info("api_key.revoked", api_key_id=str(key_id), prefix=key.prefix)


def revoke_own_api_keys(principal: Principal) -> int:
    """End every key that speaks for the caller in this tenant; returns how many were alive.

    A changed password leaves keys as they are: programs go on, and whoever fears for their keys ends them by this.
    """
    with tenant_scope(principal.tenant_id):
        alive = ApiKey.objects.filter(tenant_id=principal.tenant_id, user_id=principal.user_id, revoked_at=None)
        keys = list(alive.order_by("id").select_for_update())
        alive.filter(id__in=[key.id for key in keys]).update(revoked_at=Now())
        for key in keys:
            _note_revoked(key, audit.Actor.of(principal))
    for key in keys:
        _forget(key)
    return len(keys)


def revoke_api_keys_as_operator(key_ids: Collection[UUID], actor: audit.Actor | None = None) -> int:
    """End keys of any tenant, as `engine`; returns how many were still alive."""
    actor = actor or audit.Actor(None, "operator", "admin")
    with transaction.atomic(using="engine"):
        alive = ApiKey.objects.using("engine").filter(id__in=list(key_ids), revoked_at=None)
        # Chains are taken in one order, so that two operators never wait for each other.
        keys = list(alive.order_by("tenant_id", "id").select_for_update())
        alive.update(revoked_at=Now())
        for key in keys:
            _note_revoked(key, actor, using="engine")
    for key in keys:
        _forget(key)
    return len(keys)


def _forget(key: ApiKey) -> None:
    """After the commit: this process forgets the key, and what it opened anywhere is asked again."""
    selectors.forget_api_key(bytes(key.digest))
    epochs.rights_changed(key.tenant_id, key.user_id)


def _note_revoked(key: ApiKey, actor: audit.Actor, *, using: str = "default") -> None:
    told = {"name": key.name, "prefix": key.prefix, "speaks_for": key.user_id}
    audit.record(key.tenant_id, actor, "api_key.revoked", target=("api_key", key.id), data=told, using=using)


def touch_api_key(key_id: UUID) -> None:
    """Note that a key is in use: at most once a minute, and never at the cost of the request."""
    if not _touched.is_due(key_id):
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - timedelta(seconds=_TOUCH_SECONDS))
    try:
        ApiKey.objects.using("engine").filter(stale, id=key_id).update(last_used_at=Now())
    except DatabaseError as error:
        log.warning("api_key.touch_failed", api_key_id=str(key_id), error=type(error).__name__)


class _Touched:
    """When this process last noted each key; bounded, the oldest go first."""

    LIMIT = 10_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: OrderedDict[UUID, float] = OrderedDict()

    def is_due(self, key_id: UUID) -> bool:
        """Whether it is time to write again; asking counts as writing."""
        now = time.monotonic()
        with self._lock:
            last = self._at.get(key_id)
            if last is not None and now - last < _TOUCH_SECONDS:
                return False
            self._at[key_id] = now
            self._at.move_to_end(key_id)
            if len(self._at) > self.LIMIT:
                self._at.popitem(last=False)
        return True


_touched = _Touched()
