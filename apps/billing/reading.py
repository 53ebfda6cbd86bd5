"""What stateless calls read from the database, beside their way: limits that are not in memory, lost counters.

Each is read once, however many calls of this event loop wait for it.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

import structlog

from apps.billing import snapshots
from apps.billing.errors import AdmissionUnavailable
from apps.billing.projection import load
from apps.billing.snapshots import TenantLimits
from apps.limits.async_client import AsyncLimits
from apps.limits.contracts import Counter, Projection, Wanted
from apps.tenants.scope import DATABASE_AWAY, database_step

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


class Reading:
    """One object per event loop. Where PostgreSQL does not answer, its methods raise `AdmissionUnavailable`."""

    def __init__(self, limits: AsyncLimits, *, lease_seconds: float) -> None:
        self._limits = limits
        self._lease_seconds = lease_seconds
        self._sharing: dict[Hashable, asyncio.Task[Any]] = {}
        self._beside: set[asyncio.Task[Any]] = set()

    async def stop(self) -> None:
        tasks = [*self._sharing.values(), *self._beside]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def rebuild(self, tenant_id: UUID, missing: tuple[Counter, ...]) -> None:
        """Restore counters, once for all calls that miss the same ones."""

        async def read(wanted: Wanted) -> Projection:
            return await _database(load, tenant_id, wanted)

        def rebuild() -> Coroutine[Any, Any, None]:
            return self._limits.rebuild(tenant_id, read, missing=missing, lease_seconds=self._lease_seconds)

        await self._shared((tenant_id, missing), rebuild)

    async def snapshot(self, tenant_id: UUID) -> TenantLimits:
        """The tenant's limits in memory. Old ones are good for this call, and read again beside it."""
        known = snapshots.known(tenant_id)
        if known is None:
            return await self._shared((tenant_id, None), lambda: _database(snapshots.get, tenant_id))
        if known.old:
            known.read_at = time.monotonic()  # one reader is enough
            task = asyncio.create_task(_database(snapshots.load, tenant_id, known.epoch))
            self._beside.add(task)
            task.add_done_callback(self._refreshed)
        return known

    def _refreshed(self, task: asyncio.Task[Any]) -> None:
        self._beside.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("limits.not_refreshed", error=type(task.exception()).__name__)

    async def reload(self, tenant_id: UUID, epoch: int) -> TenantLimits:
        """The limits that are at least as new as `epoch`, which this process has not seen."""
        known = snapshots.known(tenant_id)
        if known is not None and known.epoch >= epoch:
            snapshots.tell(tenant_id)  # this caller's own view is older all the same
            return known
        return await self._shared((tenant_id, epoch), lambda: _database(snapshots.reload, tenant_id, epoch))

    async def _shared(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do the work once for all who want it at the same time; whoever gives up does not end it for the others."""
        task = self._sharing.get(key)
        if task is None:
            task = self._sharing[key] = asyncio.create_task(work())
            task.add_done_callback(lambda _: self._sharing.pop(key, None))
        return cast(T, await asyncio.shield(task))


async def _database(step: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return await database_step(step, *args, **kwargs)
    except DATABASE_AWAY as error:
        raise AdmissionUnavailable("Limits cannot be read right now.", retry_after_seconds=1) from error
