"""From settlement streams into the ledger. Any number of processes may drain at once: a line is written once."""

import asyncio
import threading
import time
from collections.abc import Sequence
from uuid import UUID

import structlog
from django.db import DataError, IntegrityError, transaction

from apps.billing import settlement
from apps.billing.clients import limits
from apps.billing.ledger import rows
from apps.billing.models import LedgerEntry
from apps.billing.settlement import Record
from apps.limits.contracts import Settlement
from apps.limits.errors import LimitsError
from apps.tenants.scope import DATABASE_AWAY, database_step

DRAIN_SECONDS = 0.25
# A process that was only slow, or cut off from Redis, comes back within this time after its leases ended.
GRACE_SECONDS = 60.0
# Processes say this often that a tenant is busy while a call is open; longer silence and nothing left means idle.
IDLE_SECONDS = 60.0
_BATCH = 500
# One busy tenant must not keep a drainer from the others for ever.
_MOST_BATCHES = 20

log = structlog.get_logger(__name__)


def drain_settlements(*, grace_seconds: float = GRACE_SECONDS) -> int:
    """Write every settlement into the ledger; returns how many. Raises `LimitsError` where Redis does not answer."""
    drained = 0
    for tenant_id, seen in limits().busy().items():
        try:
            count, waiting = _drain(UUID(tenant_id), grace_seconds)
        except (LimitsError, *DATABASE_AWAY):
            raise
        except Exception:  # the others' must be written all the same
            log.exception("settlements.failed", tenant_id=tenant_id)
            continue
        drained += count
        if not count and not waiting and time.time() - float(seen) > IDLE_SECONDS:
            limits().mark_idle(tenant_id, seen)
    return drained


def drain_tenant(tenant_id: UUID) -> None:
    """Write what one tenant's calls have settled, so that the ledger tells all that the counters knew."""
    _drain(tenant_id, GRACE_SECONDS)


async def drain_forever(stopping: threading.Event) -> None:
    """A worker's duty: settlements reach the ledger within half a second."""
    while not stopping.is_set():
        try:
            await database_step(drain_settlements)
        except (LimitsError, *DATABASE_AWAY) as error:
            log.warning("settlements.waiting", error=type(error).__name__)
        except Exception:
            log.exception("settlements.failed")
        await asyncio.sleep(DRAIN_SECONDS)


def _drain(tenant_id: UUID, grace_seconds: float) -> tuple[int, int]:
    """How many were written, and how many calls of the tenant are open still."""
    count, waiting = 0, 1
    for _ in range(_MOST_BATCHES):
        collected = limits().settlements(tenant_id, grace_seconds=grace_seconds, count=_BATCH)
        waiting = collected.waiting
        if not collected.settlements:
            break
        _write([one for one in map(_read, collected.settlements) if one is not None])
        limits().drained(tenant_id, collected.settlements[-1].id)
        count += len(collected.settlements)
    return count, waiting


def _read(one: Settlement) -> Record | None:
    try:
        if one.abandoned:
            log.warning("call.abandoned", call_id=one.call_id, amount_nanousd=one.amount_nanousd)
            return settlement.read_abandoned(one.record, one.amount_nanousd, one.tokens)
        return settlement.read(one.record)
    except (ValueError, KeyError, TypeError):
        log.exception("settlement.unreadable", record=one.record)
        return None


def _write(records: Sequence[Record]) -> None:
    """All in one transaction; where the database will not have one of them, each in its own."""
    try:
        _insert(records)
    except (IntegrityError, DataError):
        for record in records:
            try:
                _insert([record])
            except (IntegrityError, DataError):
                # Its person or tenant is gone. It must not hold up those behind it.
                log.exception("settlement.refused", call_id=str(record.call_id), tenant_id=str(record.tenant_id))


def _insert(records: Sequence[Record]) -> None:
    entries = [entry for record in records for entry in _entries(record)]
    with transaction.atomic(using="engine"):
        LedgerEntry.objects.using("engine").bulk_create(entries, batch_size=500, ignore_conflicts=True)


def _entries(record: Record) -> list[LedgerEntry]:
    return rows(
        tenant_id=record.tenant_id,
        user_id=record.user_id,
        api_key_id=record.api_key_id,
        call_id=record.call_id,
        lines=record.lines,
        at=record.at,
    )
