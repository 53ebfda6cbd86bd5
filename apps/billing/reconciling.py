"""Whether the counters say what the ledger says."""

import time
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from apps.billing import ledger, snapshots
from apps.billing.clients import limits
from apps.billing.draining import drain_tenant
from apps.billing.models import LedgerEntry
from apps.limits.contracts import MAX_NANOUSD, Cold, Counter, Level, LimitKind, Scope, ScopeLimits
from apps.tenants.scope import tenant_scope

# A call that settles while both are read is in one of them: what differs is looked at again.
_LOOKS = 3
_BETWEEN_SECONDS = 1.0
_KINDS = {
    LimitKind.BUDGET_DAY: ("%Y-%m-%d", 0),
    LimitKind.BUDGET_MONTH: ("%Y-%m", 0),
    LimitKind.TOKENS_PER_DAY: ("%Y-%m-%d", 1),
    LimitKind.TOKENS_PER_MONTH: ("%Y-%m", 1),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """A counter that says something else than the ledger: nano-dollars, or tokens."""

    scope: str
    kind: str
    counted: int
    written: int


def differences(tenant_id: UUID) -> list[Difference]:
    """Counters of the tenant that differ from the ledger, in one look after the other. Missing counters are none.

    Raises `LimitsError` where Redis does not answer.
    """
    drain_tenant(tenant_id)
    found = [one for scope in _scopes(tenant_id) for one in _compared(tenant_id, scope)]
    for _ in range(_LOOKS - 1):
        if not found:
            break
        time.sleep(_BETWEEN_SECONDS)
        drain_tenant(tenant_id)
        found = [one for scope in {one.scope for one in found} for one in _compared(tenant_id, Scope.parse(scope))]
    return sorted(found, key=lambda one: (one.scope, one.kind))


def _scopes(tenant_id: UUID) -> list[Scope]:
    """The tenant, whoever has a quota in it, and whoever used something this month."""
    known = snapshots.get(tenant_id)
    month = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    with tenant_scope(tenant_id):
        users = LedgerEntry.objects.filter(created_at__gte=month).values_list("user_id", flat=True).distinct()
        people = {Scope(Level.USER, str(user_id)) for user_id in users}
    return sorted({Scope(Level.TENANT, str(tenant_id)), *known.quotas, *people})


def _compared(tenant_id: UUID, scope: Scope) -> list[Difference]:
    found = []
    for kind, (period, place) in _KINDS.items():
        field = f"{kind.value}_nanousd" if place == 0 else kind.value
        overview = limits().peek(tenant_id, [ScopeLimits(scope, **{field: MAX_NANOUSD})])
        if isinstance(overview, Cold):
            continue
        with tenant_scope(tenant_id):
            written = ledger.spent(Counter(scope, timezone.now().strftime(period)))[place]
        counted = overview.allowances[0].used
        if counted != written:
            found.append(Difference(str(scope), kind.value, counted, written))
    return found
