"""How a candidate is reached at the moment of the call."""

import asyncio
import time
from uuid import UUID

import structlog

from apps.routing import selectors
from apps.routing.contracts import Candidate, ProviderAccess
from apps.tenants.scope import DATABASE_AWAY, database_step
from apps.vault import VaultError

DATABASE_RETRY_SECONDS = 0.25

log = structlog.get_logger(__name__)


async def known(tenant_id: UUID, total_at: float) -> selectors.Snapshot:
    """The tenant's snapshot. A database that is away is waited for until `total_at` (monotonic seconds)."""
    while (found := selectors.snapshot_in_memory(tenant_id)) is None:
        try:
            return await database_step(selectors.snapshot, tenant_id)
        except DATABASE_AWAY as error:
            if time.monotonic() >= total_at:
                raise
            log.warning("access.retried", error=type(error).__name__)
            await asyncio.sleep(DATABASE_RETRY_SECONDS)
    return found


async def access_to(tenant_id: UUID, candidate: Candidate, total_at: float) -> ProviderAccess | None:
    """How to reach the candidate now; None where it was switched off since, or its key cannot be opened.

    A database that is away is waited for until `total_at` (monotonic seconds).
    """
    try:
        return (await known(tenant_id, total_at)).access(candidate.deployment_id)
    except VaultError as error:
        log.error("provider.key_unreadable", provider=candidate.provider, error=type(error).__name__)
        return None
