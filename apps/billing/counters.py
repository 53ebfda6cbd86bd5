"""The admission counters of a tenant: which limits apply, what a rebuild reads, and refusals in the house's words."""

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID

from django.conf import settings
from django.db.models import Sum
from django.db.models.functions import Coalesce

from apps.billing.contracts import BudgetLeft, CallCost, LineKind
from apps.billing.errors import AdmissionUnavailable, LimitReached, OverBudget, RateLimited, TooManyParallel
from apps.billing.models import LedgerEntry, Quota, Reservation
from apps.limits.client import Limits
from apps.limits.contracts import (
    Admitted,
    Call,
    Cold,
    Counter,
    Level,
    LimitKind,
    OpenCall,
    Projection,
    Refused,
    Scope,
    ScopeLimits,
    SettledCall,
    Stale,
    Wanted,
)
from apps.limits.errors import LimitsError
from apps.observability import metrics
from apps.tenants.scope import tenant_scope

# What a tenant may use until an administrator says otherwise.
DEFAULT_PARALLEL_CALLS = 200
DEFAULT_REQUESTS_PER_MINUTE = 600

# An admission whose caller never hears of it, or dies before writing the call down, must not hold its place for long.
_UNWRITTEN_LEASE_SECONDS = 30.0
# A chat is over by its deadline at the latest; the lease of a written call outlives it, so that a reservation never
# lapses under a running call, and lapses by itself where its end was never told.
_LEASE_MARGIN_SECONDS = 120.0
# A change that could not be announced is followed after this long all the same.
_SNAPSHOT_SECONDS = 30.0
_RECENTLY_SETTLED = timedelta(minutes=10)
_STALE_TRIES = 4


@cache
def limits() -> Limits:
    """This process's client of the admission script."""
    return Limits(settings.REDIS_URL, prefix=settings.REDIS_PREFIX)


class _Snapshots:
    """The limits of each tenant as this process last read them, with the epoch at which they were true."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[UUID, tuple[int, dict[UUID | None, Quota]]] = {}
        self._read_at: dict[UUID, float] = {}

    def get(self, tenant_id: UUID) -> tuple[int, dict[UUID | None, Quota]]:
        with self._lock:
            known = self._known.get(tenant_id)
            old = time.monotonic() - self._read_at.get(tenant_id, 0.0) > _SNAPSHOT_SECONDS
        if known is None:
            return self.reload(tenant_id, 0)
        return self.reload(tenant_id, known[0]) if old else known

    def reload(self, tenant_id: UUID, epoch: int) -> tuple[int, dict[UUID | None, Quota]]:
        with tenant_scope(tenant_id):
            quotas = {quota.user_id: quota for quota in Quota.objects.filter(tenant_id=tenant_id)}
        with self._lock:
            if len(self._known) > 10_000:
                self._known.clear()
                self._read_at.clear()
            self._read_at[tenant_id] = time.monotonic()
            self._known[tenant_id] = (epoch, quotas)
        return epoch, quotas


_snapshots = _Snapshots()


def scopes(tenant_id: UUID, user_id: UUID) -> tuple[Scope, Scope]:
    """The scopes every call of this user counts in."""
    return Scope(Level.TENANT, str(tenant_id)), Scope(Level.USER, str(user_id))


def admit(tenant_id: UUID, user_id: UUID, calls: Sequence[CallCost]) -> None:
    """Admit all calls or none; see `services.admit`."""
    wanted = [Call(str(call.call_id), call.amount_nanousd) for call in calls]
    epoch, quotas = _snapshots.get(tenant_id)
    for _ in range(_STALE_TRIES):
        try:
            decision = limits().admit_warm(
                tenant_id,
                _limits_of(tenant_id, user_id, quotas),
                wanted,
                lease_seconds=_UNWRITTEN_LEASE_SECONDS,
                load=lambda asked: load(tenant_id, asked),
                epoch=epoch,
            )
        except LimitsError as error:
            raise AdmissionUnavailable(
                "Limits cannot be checked right now. Try again in a moment.", retry_after_seconds=1
            ) from error
        if isinstance(decision, Stale):
            epoch, quotas = _snapshots.reload(tenant_id, decision.epoch)
            continue
        if isinstance(decision, Refused):
            metrics.admission_refused(decision.kind)
            raise _refusal(decision)
        metrics.admission("admitted")
        if isinstance(decision, Admitted) and decision.dirty:
            repair(tenant_id)
        return
    raise AdmissionUnavailable("Limits are changing right now. Try again in a moment.", retry_after_seconds=1)


def hold(tenant_id: UUID, call_ids: Sequence[UUID]) -> None:
    """Lengthen the leases of calls that are written down now. Where this is lost they lapse, and the next admission
    restores them from the reservations."""
    try:
        limits().renew(tenant_id, call_ids, lease_seconds=_open_lease_seconds())
    except LimitsError:
        return


def release(tenant_id: UUID, call_ids: Sequence[UUID]) -> None:
    """Give back what calls hold that were never written down. A lost release lapses with its lease."""
    try:
        limits().release(tenant_id, call_ids)
    except LimitsError:
        return


def settle(tenant_id: UUID, user_id: UUID, call_id: UUID, cost_nanousd: int, at: datetime | None = None) -> None:
    """Move a call from reserved to spent. What fails here is repeated by `services.repeat_settlements`."""
    try:
        limits().settle(tenant_id, scopes(tenant_id, user_id), call_id, cost_nanousd, at=at)
    except LimitsError:
        return


def repair(tenant_id: UUID) -> None:
    """Recompute counters that are in doubt from the ledger and the open reservations."""
    try:
        limits().rebuild(tenant_id, lambda asked: load(tenant_id, asked), lease_seconds=_open_lease_seconds())
    except LimitsError:
        return  # the next admission finds them dirty again


def limits_changed(tenant_id: UUID) -> None:
    """After the commit of a changed quota: every process reads it before its next admission."""
    limits().bump_epoch(tenant_id)


def budget_left(tenant_id: UUID, user_id: UUID) -> BudgetLeft:
    """Money left in the tightest day and month budget that applies. Raises `AdmissionUnavailable`."""
    _, quotas = _snapshots.get(tenant_id)
    applying = _limits_of(tenant_id, user_id, quotas)
    try:
        overview = limits().peek(tenant_id, applying)
        if isinstance(overview, Cold):
            limits().rebuild(tenant_id, lambda asked: load(tenant_id, asked), missing=overview.missing,
                             lease_seconds=_open_lease_seconds())  # fmt: skip
            overview = limits().peek(tenant_id, applying)
    except LimitsError as error:
        raise AdmissionUnavailable("Budgets cannot be read right now.", retry_after_seconds=1) from error
    if isinstance(overview, Cold):
        raise AdmissionUnavailable("Budgets are being recomputed.", retry_after_seconds=1)

    def least(kind: LimitKind) -> int | None:
        return min((one.remaining for one in overview.allowances if one.kind is kind), default=None)

    return BudgetLeft(month_nanousd=least(LimitKind.BUDGET_MONTH), day_nanousd=least(LimitKind.BUDGET_DAY))


def load(tenant_id: UUID, wanted: Wanted) -> Projection:
    """What the ledger and the reservations say, read in one snapshot."""
    now = datetime.now(UTC)
    with tenant_scope(tenant_id, one_snapshot=True):
        spent = {counter: _spent(counter) for counter in wanted.counters}
        rows = list(
            Reservation.objects.filter(state=Reservation.State.SETTLED, settled_at__gte=now - _RECENTLY_SETTLED)
        )
        costs = _costs([row.id for row in rows])
        settled = [
            SettledCall(str(row.id), costs.get(row.id, 0), scopes(tenant_id, row.user_id), row.settled_at or now)
            for row in rows
        ]
        if not wanted.whole:
            return Projection(spent=spent, settled_calls=tuple(settled))
        still_open = [
            OpenCall(str(row.id), row.amount_nanousd, scopes(tenant_id, row.user_id))
            for row in Reservation.objects.filter(state=Reservation.State.OPEN)
        ]
        recent: dict[Scope, int] = {}
        for (user_id,) in Reservation.objects.filter(created_at__gte=now - timedelta(seconds=60)).values_list(
            "user_id"
        ):
            for scope in scopes(tenant_id, user_id):
                recent[scope] = recent.get(scope, 0) + 1
    return Projection(spent=spent, settled_calls=tuple(settled), open_calls=tuple(still_open), recent_requests=recent)


def _spent(counter: Counter) -> int:
    start = counter.starts_at
    end = start + timedelta(days=1) if len(counter.period) == 10 else (start + timedelta(days=32)).replace(day=1)
    lines = LedgerEntry.objects.filter(kind=LineKind.CHARGE.value, created_at__gte=start, created_at__lt=end)
    if counter.scope.level is Level.USER:
        lines = lines.filter(user_id=UUID(counter.scope.id))
    total: int = lines.aggregate(total=Coalesce(Sum("amount_nanousd"), 0))["total"]
    return int(total)


def _costs(call_ids: Sequence[UUID]) -> dict[UUID, int]:
    lines = LedgerEntry.objects.filter(call_id__in=call_ids, kind=LineKind.CHARGE.value)
    return dict(lines.values_list("call_id").annotate(total=Sum("amount_nanousd")))


def _open_lease_seconds() -> float:
    return float(settings.GENERATION_DEADLINE_SECONDS) + _LEASE_MARGIN_SECONDS


def _limits_of(tenant_id: UUID, user_id: UUID, quotas: dict[UUID | None, Quota]) -> list[ScopeLimits]:
    tenant_scope_, user_scope = scopes(tenant_id, user_id)
    whole, own = quotas.get(None), quotas.get(user_id)
    return [
        _scope_limits(tenant_scope_, whole)
        if whole is not None
        else ScopeLimits(
            tenant_scope_,
            requests_per_minute=DEFAULT_REQUESTS_PER_MINUTE,
            parallel_calls=DEFAULT_PARALLEL_CALLS,
        ),
        _scope_limits(user_scope, own) if own is not None else ScopeLimits(user_scope),
    ]


def _scope_limits(scope: Scope, quota: Quota) -> ScopeLimits:
    return ScopeLimits(
        scope,
        requests_per_minute=quota.requests_per_minute,
        parallel_calls=quota.parallel_calls,
        budget_day_nanousd=quota.budget_day_nanousd,
        budget_month_nanousd=quota.budget_month_nanousd,
    )


def _refusal(refused: Refused) -> LimitReached:
    whose = "your organisation" if refused.scope.level is Level.TENANT else "you"
    retry_after = refused.retry_after_seconds
    match refused.kind:
        case LimitKind.REQUESTS_PER_MINUTE:
            return RateLimited(
                f"The limit for {whose} is {refused.limit} requests per minute. Wait a moment and try again.",
                retry_after_seconds=retry_after,
            )
        case LimitKind.PARALLEL_CALLS:
            return TooManyParallel(
                f"The limit for {whose} is {refused.limit} answers at once. Wait for one, or ask fewer models.",
                retry_after_seconds=retry_after,
            )
        case _:
            return OverBudget(
                f"This could cost more than the budget for {whose} has left. Ask fewer or cheaper models, "
                "or ask an administrator for more.",
                left_nanousd=refused.remaining,
                retry_after_seconds=retry_after,
            )
