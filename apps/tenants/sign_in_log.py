"""What happens to people's ways of signing in, in the audit chain of each tenant they belong to.

People belong to several tenants, so it is written as `engine`, after the change it tells of has committed. Failures
come as often as a stranger likes: one of a kind is told at once, and of the rest of the minute the number.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog
from django.db import connections, transaction

from apps.accounts.models import User
from apps.tenants import audit
from apps.tenants.models import IdentityProvider, Membership

SUM_OVER_SECONDS = 60
KEPT_SECONDS = 86_400
MAX_TENANTS = 50  # chains that one event is written to
MAX_TOLD = 500  # sums that one sweep writes
STRANGER = audit.Actor(None, "somebody not signed in", "session")
_JOB = audit.Actor.job("failures of sign-in, summed up")

_COUNT = """
INSERT INTO accounts_failurenote AS note (key, told_at, untold) VALUES (%s, clock_timestamp(), 1)
ON CONFLICT (key) DO UPDATE SET untold = note.untold + 1
RETURNING untold, xmax = 0 OR told_at < clock_timestamp() - make_interval(secs => %s)
"""
_TOLD = "UPDATE accounts_failurenote SET untold = 0, told_at = clock_timestamp() WHERE key = %s"
_LEFT = """
SELECT key, untold FROM accounts_failurenote
WHERE untold > 0 AND told_at < clock_timestamp() - make_interval(secs => %s)
ORDER BY told_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_FORGET = """
DELETE FROM accounts_failurenote WHERE untold = 0 AND told_at < clock_timestamp() - make_interval(secs => %s)
"""

log = structlog.get_logger(__name__)


def note(user: User, action: str, *, data: Mapping[str, Any] | None = None, tenant_id: UUID | None = None) -> None:
    """Tell what a person did to their own sign-in; with `tenant_id` in that tenant alone. After the commit."""
    actor = audit.Actor(user.pk, user.email, "session")

    def write() -> None:
        with transaction.atomic(using="engine"):
            tenants = [tenant_id] if tenant_id else _tenants_of(user.pk)
            _write(tenants, actor, action, ("user", user.pk), data or {})

    transaction.on_commit(write)


def failed(target: tuple[str, UUID], action: str, method: str, *, via: str = "session") -> None:
    """Tell that somebody failed to be `target` (("user", id) or ("identity_provider", id)), in sums over a minute."""
    key = f"{target[0]}:{target[1]}:{action}:{method}"
    actor = audit.Actor(None, STRANGER.name, via)

    def write() -> None:
        with transaction.atomic(using="engine"), connections["engine"].cursor() as cursor:
            cursor.execute(_COUNT, [key, SUM_OVER_SECONDS])
            tries, due = cursor.fetchone()
            if due:
                cursor.execute(_TOLD, [key])
                _write(_tenants_about(target), actor, action, target, {"method": method, "tries": tries})

    transaction.on_commit(write)


def tell_the_rest() -> int:
    """Write the sums of floods that have ended, and forget old ones. Returns how many were written."""
    told = 0
    while told < MAX_TOLD and _tell_one():
        told += 1
    with connections["engine"].cursor() as cursor:
        cursor.execute(_FORGET, [KEPT_SECONDS])
    return told


def _tell_one() -> bool:
    with transaction.atomic(using="engine"), connections["engine"].cursor() as cursor:
        cursor.execute(_LEFT, [SUM_OVER_SECONDS])
        row = cursor.fetchone()
        if row is None:
            return False
        key, tries = row
        kind, target_id, action, method = key.split(":")
        target = (kind, UUID(target_id))
        cursor.execute(_TOLD, [key])
        _write(_tenants_about(target), _JOB, action, target, {"method": method, "tries": tries})
    return True


def _write(
    tenants: list[UUID], actor: audit.Actor, action: str, target: tuple[str, UUID], data: Mapping[str, Any]
) -> None:
    for one in tenants:
        audit.record(one, actor, action, target=target, data=data, using="engine")
    log.info(action, target=target[0], target_id=str(target[1]), tenants=len(tenants), **data)


def _tenants_about(target: tuple[str, UUID]) -> list[UUID]:
    kind, target_id = target
    if kind == "user":
        return _tenants_of(target_id)
    found = IdentityProvider.objects.using("engine").filter(id=target_id)
    return list(found.values_list("tenant_id", flat=True))


def _tenants_of(user_id: UUID) -> list[UUID]:
    """In the order in which everybody takes chains, so that nobody waits in a circle."""
    rows = Membership.objects.using("engine").filter(user_id=user_id, suspended_at=None, tenant__deleted_at=None)
    return list(rows.order_by("tenant_id").values_list("tenant_id", flat=True)[:MAX_TENANTS])
