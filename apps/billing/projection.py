"""What ledger and reservations say of a tenant's counters: what a rebuild reads."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import F, Max, Q, Sum

from apps.billing import ledger, snapshots
from apps.billing.clients import wait_for_others
from apps.billing.contracts import LineKind
from apps.billing.draining import drain_tenant
from apps.billing.models import LedgerEntry, Reservation
from apps.billing.snapshots import TenantLimits
from apps.limits.contracts import OpenCall, Projection, Scope, SettledCall, Wanted
from apps.tenants.scope import tenant_scope

_RECENTLY_SETTLED = timedelta(minutes=10)
# Calls without a reservation settle first and are written then. Those that this rebuild could meet twice are as old as
# the rebuild, or as their process's doubt about a settlement it has not seen drained.
_RECENTLY_WRITTEN = timedelta(seconds=15)
_MINUTE = timedelta(seconds=60)
_TOKENS = F("input_tokens") + F("output_tokens")


def load(tenant_id: UUID, wanted: Wanted) -> Projection:
    """What the ledger and the reservations say, read in one snapshot, after all that was settled is written."""
    if wanted.whole:
        wait_for_others()
    drain_tenant(tenant_id)
    limits = snapshots.get(tenant_id)
    now = datetime.now(UTC)
    with tenant_scope(tenant_id, one_snapshot=True):
        spent = {counter: ledger.spent(counter) for counter in wanted.counters}
        settled = _settled(limits, now)
        money = {counter: total[0] for counter, total in spent.items()}
        tokens = {counter: total[1] for counter, total in spent.items()}
        if not wanted.whole:
            return Projection(spent=money, spent_tokens=tokens, settled_calls=settled)
        still_open = tuple(
            OpenCall(str(row.id), row.amount_nanousd, limits.scopes(row.user_id, row.api_key_id), row.tokens)
            for row in Reservation.objects.filter(state=Reservation.State.OPEN)
        )
        requests, recent_tokens = _recent(limits, now)
    return Projection(
        spent=money,
        spent_tokens=tokens,
        settled_calls=settled,
        open_calls=still_open,
        recent_requests=requests,
        recent_tokens=recent_tokens,
    )


def _settled(limits: TenantLimits, now: datetime) -> tuple[SettledCall, ...]:
    """Calls that ended a moment ago: those with a reservation, and those that only ever had ledger lines."""
    rows = list(Reservation.objects.filter(state=Reservation.State.SETTLED, settled_at__gte=now - _RECENTLY_SETTLED))
    costs = _costs([row.id for row in rows])
    reserved = [
        SettledCall(
            str(row.id),
            costs.get(row.id, (0, 0))[0],
            limits.scopes(row.user_id, row.api_key_id),
            row.settled_at or now,
            costs.get(row.id, (0, 0))[1],
        )
        for row in rows
    ]
    written = (
        LedgerEntry.objects.filter(kind=LineKind.CHARGE.value, created_at__gte=now - _RECENTLY_WRITTEN)
        .exclude(call_id__in=[row.id for row in rows])
        .values_list("call_id", "user_id", "api_key_id")
        .annotate(money=Sum("amount_nanousd"), tokens=Sum(_TOKENS), at=Max("created_at"))
    )
    unreserved = [
        SettledCall(str(call_id), int(money), limits.scopes(user_id, key_id), at, int(tokens))
        for call_id, user_id, key_id, money, tokens, at in written
    ]
    return (*reserved, *unreserved)


def _costs(call_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    lines = LedgerEntry.objects.filter(call_id__in=call_ids, kind=LineKind.CHARGE.value)
    totals = lines.values_list("call_id").annotate(money=Sum("amount_nanousd"), tokens=Sum(_TOKENS))
    return {call_id: (int(money), int(tokens)) for call_id, money, tokens in totals}


def _recent(limits: TenantLimits, now: datetime) -> tuple[dict[Scope, int], dict[Scope, int]]:
    """Requests of the last minute, and the tokens they used or hold, by scope."""
    calls: dict[UUID, tuple[UUID, UUID | None, int]] = {}
    admitted = Reservation.objects.filter(created_at__gte=now - _MINUTE)
    for row in admitted:
        held = row.tokens if row.state == Reservation.State.OPEN else 0
        calls[row.id] = (row.user_id, row.api_key_id, held)
    written = (
        LedgerEntry.objects.filter(created_at__gte=now - _MINUTE)
        .values_list("call_id", "user_id", "api_key_id")
        .annotate(tokens=Sum(_TOKENS, filter=Q(kind=LineKind.CHARGE.value), default=0))
    )
    for call_id, user_id, key_id, used in written:
        calls[call_id] = (user_id, key_id, int(used))
    requests: dict[Scope, int] = {}
    tokens: dict[Scope, int] = {}
    for user_id, key_id, used in calls.values():
        for scope in limits.scopes(user_id, key_id):
            requests[scope] = requests.get(scope, 0) + 1
            tokens[scope] = tokens.get(scope, 0) + used
    return requests, tokens
