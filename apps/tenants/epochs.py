"""Telling every process that what it remembers of a tenant's callers is out of date.

Processes keep keys and rights in memory. Each admission names the epoch of what it rests on, and Redis refuses an older
one than the tenant's: so a key that was revoked opens nothing more, anywhere, without anybody asking the database.
"""

from functools import cache
from uuid import UUID

import structlog
from django.conf import settings

from apps.limits.client import Limits
from apps.limits.errors import LimitsError
from apps.streaming import hints

log = structlog.get_logger(__name__)


@cache
def _limits() -> Limits:
    return Limits(settings.REDIS_URL, prefix=settings.REDIS_PREFIX)


def rights_changed(tenant_id: UUID, user_id: UUID) -> None:
    """Call after the commit that changed what somebody may do: what they have open is asked for its right again, and
    what processes remember of the tenant's keys is void."""
    passed(tenant_id)
    hints.recheck(hints.person(tenant_id, user_id))


def passed(tenant_id: UUID) -> None:
    """Begin another epoch of the tenant. Where Redis is away, nothing is admitted either; processes ask the database
    again within seconds."""
    try:
        _limits().bump_epoch(tenant_id)
    except LimitsError:
        log.warning("epoch.not_told", tenant_id=str(tenant_id))
