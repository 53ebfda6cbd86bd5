"""The admission counters of a tenant, for threads: admit, settle, repair."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.conf import settings

from apps.billing import snapshots
from apps.billing.clients import limits
from apps.billing.contracts import BudgetLeft, CallCost
from apps.billing.errors import AdmissionUnavailable
from apps.billing.projection import load
from apps.billing.refusals import is_refused, refusal
from apps.billing.snapshots import scopes
from apps.limits.contracts import Admitted, Call, Cold, LimitKind, Refused, Stale
from apps.limits.errors import LimitsError
from apps.observability import metrics

# An admission whose caller never hears of it, or dies before writing the call down, must not hold its place for long.
_UNWRITTEN_LEASE_SECONDS = 30.0
# A chat is over by its deadline at the latest; the lease of a written call outlives it, so that a reservation never
# lapses under a running call, and lapses by itself where its end was never told.
_LEASE_MARGIN_SECONDS = 120.0
STALE_TRIES = 4


def admit(
    tenant_id: UUID,
    user_id: UUID,
    api_key_id: UUID | None,
    calls: Sequence[CallCost],
    enough_nanousd: int | None = None,
) -> None:
    """Admit all calls or none; see `services.admit`."""
    wanted = [Call(str(call.call_id), call.amount_nanousd, call.tokens) for call in calls]
    snapshot = snapshots.get(tenant_id)
    for _ in range(STALE_TRIES):
        try:
            decision = limits().admit_warm(
                tenant_id,
                snapshot.of(user_id, api_key_id),
                wanted,
                lease_seconds=_UNWRITTEN_LEASE_SECONDS,
                load=lambda asked: load(tenant_id, asked),
                epoch=snapshot.epoch,
                open_lease_seconds=open_lease_seconds(),
                enough_nanousd=enough_nanousd,
            )
        except LimitsError as error:
            raise AdmissionUnavailable(
                "Limits cannot be checked right now. Try again in a moment.", retry_after_seconds=1
            ) from error
        if isinstance(decision, Stale):
            snapshot = snapshots.reload(tenant_id, decision.epoch)
            continue
        if isinstance(decision, Refused):
            if is_refused(decision, enough_nanousd):
                metrics.admission_refused(decision.kind)
            raise refusal(decision)
        metrics.admission("admitted")
        if isinstance(decision, Admitted) and decision.dirty:
            repair(tenant_id)
        return
    raise AdmissionUnavailable("Limits are changing right now. Try again in a moment.", retry_after_seconds=1)


def hold(tenant_id: UUID, call_ids: Sequence[UUID]) -> None:
    """Lengthen the leases of calls that are written down now. Where this is lost they lapse, and the next admission
    restores them from the reservations."""
    try:
        limits().renew(tenant_id, call_ids, lease_seconds=open_lease_seconds())
    except LimitsError:
        return


def release(tenant_id: UUID, call_ids: Sequence[UUID]) -> None:
    """Give back what calls hold that were never written down. A lost release lapses with its lease."""
    try:
        limits().release(tenant_id, call_ids)
    except LimitsError:
        return


def settle(
    tenant_id: UUID,
    user_id: UUID,
    call_id: UUID,
    cost_nanousd: int,
    at: datetime | None = None,
    *,
    tokens: int = 0,
    api_key_id: UUID | None = None,
) -> None:
    """Move a call from reserved to spent. What fails here is repeated by `services.repeat_settlements`."""
    known = snapshots.known(tenant_id)
    where = scopes(tenant_id, user_id) if known is None else known.scopes(user_id, api_key_id)
    try:
        limits().settle(tenant_id, where, call_id, cost_nanousd, at=at, tokens=tokens)
    except LimitsError:
        return


def repair(tenant_id: UUID) -> None:
    """Recompute counters that are in doubt from the ledger and the open reservations."""
    try:
        limits().rebuild(tenant_id, lambda asked: load(tenant_id, asked), lease_seconds=open_lease_seconds())
    except LimitsError:
        return  # the next admission finds them dirty again


def limits_changed(tenant_id: UUID) -> None:
    """After the commit of a changed quota: every process reads it before its next admission."""
    limits().bump_epoch(tenant_id)


def budget_left(tenant_id: UUID, user_id: UUID, api_key_id: UUID | None) -> BudgetLeft:
    """Money left in the tightest day and month budget that applies. Raises `AdmissionUnavailable`."""
    applying = snapshots.get(tenant_id).of(user_id, api_key_id)
    try:
        overview = limits().peek(tenant_id, applying)
        if isinstance(overview, Cold):
            limits().rebuild(tenant_id, lambda asked: load(tenant_id, asked), missing=overview.missing,
                             lease_seconds=open_lease_seconds())  # fmt: skip
            overview = limits().peek(tenant_id, applying)
    except LimitsError as error:
        raise AdmissionUnavailable("Budgets cannot be read right now.", retry_after_seconds=1) from error
    if isinstance(overview, Cold):
        raise AdmissionUnavailable("Budgets are being recomputed.", retry_after_seconds=1)

    def least(kind: LimitKind) -> int | None:
        return min((one.remaining for one in overview.allowances if one.kind is kind), default=None)

    return BudgetLeft(month_nanousd=least(LimitKind.BUDGET_MONTH), day_nanousd=least(LimitKind.BUDGET_DAY))


def open_lease_seconds() -> float:
    """How long a reservation that is written down holds its place."""
    return float(settings.GENERATION_DEADLINE_SECONDS) + _LEASE_MARGIN_SECONDS
