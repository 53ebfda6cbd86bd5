"""Who did what to which row, from where: one chain of entries per tenant, appended in the transaction of the change.

Each entry's hash covers its own content and the hash before it, so that a changed, removed or inserted entry shows.
The database lets nobody update or delete an entry.
"""

import getpass
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import QuerySet
from structlog.contextvars import get_contextvars

from apps.tenants import audit_content
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry

GENESIS = bytes(32)
# The same person reading the same thing again within this time is one read.
READ_AGAIN = timedelta(minutes=15)

# Where the current request came from; set at the door.
address: ContextVar[str | None] = ContextVar("audit_address", default=None)


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever acts. `via` is how they proved it: session, jwt, api_key, admin, scim, command or job."""

    id: UUID | None
    name: str
    via: str

    @classmethod
    def of(cls, principal: Principal) -> "Actor":
        """The caller; a key acts in its person's name and is named beside it."""
        key = f" (key {principal.api_key_id})" if principal.api_key_id else ""
        return cls(principal.user_id, f"{principal.user_email[: 254 - len(key)]}{key}", principal.via.value)

    @classmethod
    def command(cls, name: str) -> "Actor":
        """`manage.py <name>`, run by an account of the machine."""
        try:
            account = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            account = "unknown"
        return cls(None, f"manage.py {name} ({account})", "command")

    @classmethod
    def job(cls, name: str) -> "Actor":
        return cls(None, name, "job")


def record(
    tenant_id: UUID | None,
    actor: Actor,
    action: str,
    *,
    target: tuple[str, UUID | str] | None = None,
    data: Mapping[str, Any] | None = None,
    using: str = "default",
) -> None:
    """Append one entry to the tenant's chain. Demands the transaction of what it tells of, in that tenant's scope.

    `tenant_id` None is the installation's own chain, for `using="engine"` alone. `action` is a word such as
    `member.role_changed`; `data` says what changed and never holds a secret, a prompt or an answer. Call it last: the
    chain is locked until the transaction ends. Raises RuntimeError outside of a transaction.
    """
    at = _turn(tenant_id, using)
    last = chain(tenant_id, using=using).order_by("-seq").values_list("seq", "hash")[:1]
    seq, previous = next(((number + 1, bytes(digest)) for number, digest in last), (1, GENESIS))
    kind, target_id = (target[0], str(target[1])) if target else ("", "")
    entry = AuditEntry(
        tenant_id=tenant_id,
        seq=seq,
        at=at,
        actor_id=actor.id,
        actor=audit_content.text(actor.name, 254),
        via=actor.via,
        action=audit_content.text(action, 80),
        target_kind=audit_content.text(kind, 60),
        target_id=audit_content.text(target_id, 64),
        address=audit_content.address(address.get()),
        request_id=audit_content.text(str(get_contextvars().get("request_id", "")), 64),
        data=audit_content.data(data or {}),
        previous_hash=previous,
    )
    entry.hash = audit_content.digest(entry)
    entry.save(using=using, force_insert=True)


def record_read(
    principal: Principal,
    action: str,
    *,
    target: tuple[str, UUID | str] | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append that somebody read what is not theirs, once in 15 minutes for each person, credential and target.

    In the tenant's scope, like `record`.
    """
    kind, target_id = (target[0], str(target[1])) if target else ("", "")
    told = AuditEntry.objects.filter(
        tenant_id=principal.tenant_id,
        at__gt=_clock("default") - READ_AGAIN,
        actor_id=principal.user_id,
        via=principal.via.value,
        action=action,
        target_kind=kind,
        target_id=target_id,
        address=audit_content.address(address.get()),
    )
    if not told.exists():
        record(principal.tenant_id, Actor.of(principal), action, target=target, data=data)


def chain(tenant_id: UUID | None, *, using: str = "engine") -> QuerySet[AuditEntry]:
    """The entries of a tenant, or (None) of the installation."""
    entries = AuditEntry.objects.using(using)
    return entries.filter(tenant__isnull=True) if tenant_id is None else entries.filter(tenant_id=tenant_id)


def _turn(tenant_id: UUID | None, using: str) -> datetime:
    """Wait until this transaction is the chain's one writer, and tell the time from then, by the database's clock.

    The web processes' clocks may differ; by one clock, later entries are never earlier. The lock ends with the
    transaction, so a number is given again where it was rolled back.
    """
    connection = connections[using]
    if not connection.in_atomic_block:
        raise RuntimeError("an audit entry belongs to the transaction of the change it tells of")
    if tenant_id is None and using != "engine":
        raise RuntimeError("the installation's own chain is written as engine")
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(hashtextextended('audit:' || %s, 0))) "
            "SELECT clock_timestamp() FROM turn",
            [str(tenant_id)],
        )
        (at,) = cursor.fetchone()
    return at  # type: ignore[no-any-return]


def _clock(using: str) -> datetime:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (at,) = cursor.fetchone()
    return at  # type: ignore[no-any-return]
