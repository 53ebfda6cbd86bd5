"""Who did what to which row, from where: one chain of entries per tenant, appended in the transaction of the change.

Each entry's hash covers its own content and the hash before it, so that a changed, removed or inserted entry shows.
The database lets nobody update or delete an entry.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from django.db import connections
from structlog.contextvars import get_contextvars

from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry

GENESIS = bytes(32)
_FORMAT = "switchboard-audit-1"

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
        return cls(principal.user_id, principal.user_email, principal.via.value)


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
    `member.role_changed`; `data` says what changed and never holds a secret, a prompt or an answer.
    """
    connection = connections[using]
    if not connection.in_atomic_block:
        raise RuntimeError("an audit entry belongs to the transaction of the change it tells of")
    with connection.cursor() as cursor:
        # One writer at a time per chain; the lock ends with the transaction.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('audit:' || %s, 0))", [str(tenant_id)])
    last = (
        AuditEntry.objects.using(using).filter(tenant_id=tenant_id).order_by("-seq").values_list("seq", "hash").first()
    )
    seq, previous = (last[0] + 1, bytes(last[1])) if last else (1, GENESIS)
    kind, target_id = (target[0], str(target[1])) if target else ("", "")
    entry = AuditEntry(
        tenant_id=tenant_id,
        seq=seq,
        at=datetime.now(UTC),
        actor_id=actor.id,
        actor=actor.name[:254],
        via=actor.via,
        action=action,
        target_kind=kind,
        target_id=target_id[:64],
        address=address.get(),
        request_id=str(get_contextvars().get("request_id", ""))[:64],
        data=dict(data or {}),
        previous_hash=previous,
    )
    entry.hash = digest(entry)
    entry.save(using=using, force_insert=True)


def digest(entry: AuditEntry) -> bytes:
    """SHA-256 over everything an entry says, and over the hash before it."""
    told = [
        _FORMAT,
        str(entry.tenant_id),
        entry.seq,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        str(entry.actor_id),
        entry.actor,
        entry.via,
        entry.action,
        entry.target_kind,
        entry.target_id,
        str(entry.address),
        entry.request_id,
        entry.data,
        bytes(entry.previous_hash).hex(),
    ]
    return sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).digest()
