"""Writes: opening tenants, signing up; API keys are made in `api_keys`."""

import secrets
import threading
import time
from collections import OrderedDict
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.text import slugify
from uuid6 import uuid7

from apps.accounts import services as accounts
from apps.accounts.contracts import is_storable
from apps.tenants import audit
from apps.tenants.api_keys import (
    MAX_NAME,
    create_api_key,
    end_earlier_secret,
    revoke_api_key,
    revoke_api_keys_as_operator,
    revoke_own_api_keys,
    rotate_api_key,
)
from apps.tenants.contracts import NewTenant, Via
from apps.tenants.errors import InvalidTenant
from apps.tenants.models import ApiKey, Membership, Tenant
from apps.tenants.offboarding import offboard, when_somebody_leaves
from apps.tenants.scope import tenant_scope
from apps.tenants.standing import still_stands

__all__ = [
    "MAX_NAME",
    "create_api_key",
    "end_earlier_secret",
    "offboard",
    "revoke_api_key",
    "revoke_api_keys_as_operator",
    "revoke_own_api_keys",
    "rotate_api_key",
    "still_stands",
    "when_somebody_leaves",
]

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
