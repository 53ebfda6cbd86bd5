"""What happens to people's ways of signing in, in the audit chain of each tenant they belong to.

People belong to several tenants, so chains are written as `engine`, after the change they tell of has committed. Until
then a note of it lies beside the change, in the same transaction: what could not be told at once is told by a sweep.
Failures come as often as a stranger likes: one of a kind is told at once, and of the rest of the minute the number.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError, connections, transaction
from django.db.models.functions import Now
from structlog.contextvars import bound_contextvars, get_contextvars
from uuid6 import uuid7

from apps.accounts.models import PendingNote, User
from apps.tenants import audit, audit_content
from apps.tenants.models import IdentityProvider, Membership

SUM_OVER_SECONDS = 60
KEPT_SECONDS = 86_400
LEFT_SECONDS = 30  # how long a note is its own request's to tell
MAX_TENANTS = 50  # chains that one event is written to
MAX_TOLD = 500  # sums that one sweep writes
STRANGER = audit.Actor(None, "somebody not signed in", "session")
_JOB = audit.Actor.job("failures of sign-in, summed up")

_COUNT = """
INSERT INTO accounts_failurenote AS note (key, told_at, untold) VALUES (%s, clock_timestamp(), 1)
ON CONFLICT (key) DO UPDATE SET untold = note.untold + 1
RETURNING untold, xmax = 0 OR told_at < clock_timestamp() - make_interval(secs => %s)
"""
_NOTE = """
INSERT INTO accounts_pendingnote (id, person, actor, only_tenant, action, data, address, request_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_TAKE_NOTE = """
DELETE FROM accounts_pendingnote WHERE id = %s
RETURNING person, actor, only_tenant, action, data::text, host(address), request_id, noted_at
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
    """Tell what a person did to their own sign-in; with `tenant_id` in that tenant alone.

    Belongs into the transaction of the change. Whoever acts sees no fault when a chain cannot be written: what they
    did has happened, and the sweep tells it.
    """
    note_id = uuid7()
    request_id = audit_content.text(str(get_contextvars().get("request_id", "")), 64)
    values: list[Any] = [note_id, user.pk, user.email, tenant_id, action, json.dumps(audit_content.data(data or {}))]
    with connections["default"].cursor() as cursor:
        cursor.execute(_NOTE, [*values, audit_content.address(audit.address.get()), request_id])
    transaction.on_commit(lambda: _tell_or_leave(note_id))


def failed(target: tuple[str, UUID], action: str, method: str, *, via: str = "session") -> None:
    """Tell that somebody failed to be `target` (("user", id) or ("identity_provider", id)), in sums over a minute.

    Where the chain cannot be written it counts as one of the rest, and is told by the sweep.
    """
    key = f"{target[0]}:{target[1]}:{action}:{method}"
    actor = audit.Actor(None, STRANGER.name, via)

    def write() -> None:
        with transaction.atomic(using="engine"):
            tries, due = _count(key)
            if due:
                with connections["engine"].cursor() as cursor:
                    cursor.execute(_TOLD, [key])
                _write(_tenants_about(target), actor, action, target, {"method": method, "tries": tries})

    def write_or_count() -> None:
        try:
            write()
        except DatabaseError:
            log.exception("sign_in_log.untold", action=action)
            _count(key)

    transaction.on_commit(write_or_count, robust=True)


def tell_notes() -> int:
    """Write what could not be told when it happened. Returns how much it was."""
    waiting = PendingNote.objects.using("engine").filter(noted_at__lt=Now() - timedelta(seconds=LEFT_SECONDS))
    ids = list(waiting.order_by("noted_at").values_list("id", flat=True)[:MAX_TOLD])
    return sum(_tell_or_leave(one, late=True) for one in ids)


def _tell_or_leave(note_id: UUID, *, late: bool = False) -> bool:
    try:
        return _tell_note(note_id, late=late)
    except Exception:
        log.exception("sign_in_log.untold", note_id=str(note_id))
        return False


def _tell_note(note_id: UUID, *, late: bool) -> bool:
    with transaction.atomic(using="engine"):
        with connections["engine"].cursor() as cursor:
            cursor.execute(_TAKE_NOTE, [note_id])
            row = cursor.fetchone()
        if row is None:  # told by another sweep
            return False
        person, name, only, action, told, address, request_id, noted_at = row
        data = json.loads(told) | ({"noted_at": noted_at.isoformat()} if late else {})
        tenants = [only] if only else _tenants_of(person)
        came_from = audit.address.set(address)
        try:
            with bound_contextvars(request_id=request_id):
                _write(tenants, audit.Actor(person, name, "session"), action, ("user", person), data)
        finally:
            audit.address.reset(came_from)
    return True


def _count(key: str) -> tuple[int, bool]:
    """How many were not told, and whether it is time to."""
    with connections["engine"].cursor() as cursor:
        cursor.execute(_COUNT, [key, SUM_OVER_SECONDS])
        tries, due = cursor.fetchone()
    return tries, due


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
