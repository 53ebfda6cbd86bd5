"""How a candidate is reached at the moment of the call."""

import asyncio
import time
from typing import NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog

from apps.routing import selectors
from apps.routing.contracts import Candidate, ProviderAccess
from apps.tenants.scope import DATABASE_AWAY, database_step
from apps.vault import VaultError

DATABASE_RETRY_SECONDS = 0.25
_OLDER_SECONDS = 25.0
# What takes longer is not waited for where there is something older, nor begun again by each call.
_PATIENCE_SECONDS = 0.25
_AGAIN_SECONDS = 1.0
_MOST_REFRESHING = 1024

log = structlog.get_logger(__name__)


async def known(tenant_id: UUID, total_at: float) -> selectors.Snapshot:
    """The tenant's snapshot. A database that is away is waited for until `total_at` (monotonic seconds).

    It is not waited for where the last snapshot is less than half a minute old, as keys are remembered. Whatever
    changes rights drops it: the next admission refuses what rests on it.
    """
    if (fresh := selectors.snapshot_in_memory(tenant_id)) is not None:
        return fresh
    if (older := selectors.snapshot_in_memory(tenant_id, older_seconds=_OLDER_SECONDS)) is not None:
        return await _newer(tenant_id, older)
    while (found := selectors.snapshot_in_memory(tenant_id)) is None:
        try:
            return await database_step(selectors.snapshot, tenant_id)
        except DATABASE_AWAY as error:
            if time.monotonic() >= total_at:
                raise
            log.warning("access.retried", error=type(error).__name__)
            await asyncio.sleep(DATABASE_RETRY_SECONDS)
    return found


class _Refresh(NamedTuple):
    """A reading that calls wait for together."""

    task: "asyncio.Task[selectors.Snapshot]"
    began_at: float


_refreshing: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[UUID, _Refresh]] = WeakKeyDictionary()


async def _newer(tenant_id: UUID, older: selectors.Snapshot) -> selectors.Snapshot:
    """The snapshot as it is read now; the older one where the database is away or slow to answer."""
    here, now = _refreshing.setdefault(asyncio.get_running_loop(), {}), time.monotonic()
    refresh = here.get(tenant_id)
    if refresh is None or (refresh.task.done() and now - refresh.began_at > _AGAIN_SECONDS):
        if len(here) >= _MOST_REFRESHING:
            here.clear()
        task = asyncio.create_task(database_step(selectors.snapshot, tenant_id))
        task.add_done_callback(_heard)
        refresh = here[tenant_id] = _Refresh(task, now)
    patience_seconds = refresh.began_at + _PATIENCE_SECONDS - now
    if not refresh.task.done() and patience_seconds > 0:
        await asyncio.wait([refresh.task], timeout=patience_seconds)
    if not refresh.task.done():
        return older
    try:
        read = refresh.task.result()
    except DATABASE_AWAY as error:
        log.warning("access.older_snapshot", error=type(error).__name__)
        return older
    if here.get(tenant_id) is refresh:
        del here[tenant_id]
    return read


def _heard(task: "asyncio.Task[selectors.Snapshot]") -> None:
    """All who waited may be gone by now."""
    if not task.cancelled():
        task.exception()


async def access_to(tenant_id: UUID, candidate: Candidate, total_at: float) -> ProviderAccess | None:
    """How to reach the candidate now; None where it was switched off since, or its key cannot be opened.

    A database that is away is waited for until `total_at` (monotonic seconds).
    """
    try:
        return (await known(tenant_id, total_at)).access(candidate.deployment_id)
    except VaultError as error:
        log.error("provider.key_unreadable", provider=candidate.provider, error=type(error).__name__)
        return None
