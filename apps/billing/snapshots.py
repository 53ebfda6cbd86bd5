"""The limits of each tenant as this process last read them, with the epoch at which they were true."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from apps.billing.models import Quota
from apps.limits.contracts import Level, Scope, ScopeLimits
from apps.tenants.scope import tenant_scope

# What a tenant may use until an administrator says otherwise.
DEFAULT_PARALLEL_CALLS = 200
DEFAULT_REQUESTS_PER_MINUTE = 600

# A change that could not be announced is followed after this long all the same.
_KEPT_SECONDS = 30.0
_MOST_TENANTS = 10_000
_MOST_CALLERS = 10_000


def scopes(tenant_id: UUID, user_id: UUID) -> tuple[Scope, Scope]:
    """The scopes every call of this user counts in."""
    return Scope(Level.TENANT, str(tenant_id)), Scope(Level.USER, str(user_id))


@dataclass(slots=True)
class TenantLimits:
    """One tenant's limits. `epoch` 0: nobody has told an epoch yet."""

    tenant_id: UUID
    epoch: int
    quotas: dict[UUID | None, Quota]
    read_at: float = field(default_factory=time.monotonic)
    _callers: dict[UUID, tuple[ScopeLimits, ...]] = field(default_factory=dict)

    @property
    def old(self) -> bool:
        return time.monotonic() - self.read_at > _KEPT_SECONDS

    def of(self, user_id: UUID) -> tuple[ScopeLimits, ...]:
        """Every limit that applies to a caller, the tenant's first."""
        known = self._callers.get(user_id)
        if known is None:
            if len(self._callers) >= _MOST_CALLERS:
                self._callers.clear()
            known = self._callers[user_id] = self._chain(user_id)
        return known

    def _chain(self, user_id: UUID) -> tuple[ScopeLimits, ...]:
        tenant_scope_, user_scope = scopes(self.tenant_id, user_id)
        whole, own = self.quotas.get(None), self.quotas.get(user_id)
        return (
            _scope_limits(tenant_scope_, whole)
            if whole is not None
            else ScopeLimits(
                tenant_scope_,
                requests_per_minute=DEFAULT_REQUESTS_PER_MINUTE,
                parallel_calls=DEFAULT_PARALLEL_CALLS,
            ),
            _scope_limits(user_scope, own) if own is not None else ScopeLimits(user_scope),
        )


def _scope_limits(scope: Scope, quota: Quota) -> ScopeLimits:
    return ScopeLimits(
        scope,
        requests_per_minute=quota.requests_per_minute,
        parallel_calls=quota.parallel_calls,
        budget_day_nanousd=quota.budget_day_nanousd,
        budget_month_nanousd=quota.budget_month_nanousd,
    )


_lock = threading.Lock()
_known: dict[UUID, TenantLimits] = {}
_told_when_stale: list[Callable[[UUID], None]] = []


def known(tenant_id: UUID) -> TenantLimits | None:
    """What is in memory, however old."""
    return _known.get(tenant_id)


def get(tenant_id: UUID) -> TenantLimits:
    """What is in memory, read again where it is missing or old."""
    snapshot = _known.get(tenant_id)
    if snapshot is None or snapshot.old:
        return load(tenant_id, 0 if snapshot is None else snapshot.epoch)
    return snapshot


def load(tenant_id: UUID, epoch: int) -> TenantLimits:
    """Read the limits, which are at least as new as `epoch`."""
    with tenant_scope(tenant_id):
        quotas = {quota.user_id: quota for quota in Quota.objects.filter(tenant_id=tenant_id)}
    snapshot = TenantLimits(tenant_id, epoch, quotas)
    with _lock:
        current = _known.get(tenant_id)
        if current is not None and current.epoch > epoch:
            return current  # somebody else was told of a later change, and read after it
        if len(_known) >= _MOST_TENANTS:
            _known.clear()
        _known[tenant_id] = snapshot
    return snapshot


def reload(tenant_id: UUID, epoch: int) -> TenantLimits:
    """Read the limits again because `epoch` is newer than what was known, after telling all who keep such views."""
    tell(tenant_id)
    return load(tenant_id, epoch)


def when_stale(callback: Callable[[UUID], None]) -> None:
    """Have `callback(tenant_id)` called, from any thread, whenever keys, limits or models of a tenant have changed."""
    _told_when_stale.append(callback)


def tell(tenant_id: UUID) -> None:
    """Say that whatever is known of the tenant may be older than its last change."""
    for callback in _told_when_stale:
        callback(tenant_id)


def somebody_is_told() -> bool:
    return bool(_told_when_stale)
