"""Admit calls, set money aside, settle, and append to the ledger.

PostgreSQL is the truth (reservations, ledger). Redis holds projections that admission reads in one atomic step; a
missing one is rebuilt from the truth before anything is admitted.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast
from uuid import UUID

from django.db import connections

from apps.billing import counters
from apps.billing.contracts import Admission, BudgetLeft, CallCost, LedgerLine, LineKind
from apps.billing.models import LedgerEntry, Quota, Reservation
from apps.tenants.contracts import Principal

SETTLEMENTS_REPEATED_FOR = timedelta(minutes=2)


def admit(principal: Principal, calls: Sequence[CallCost]) -> tuple[Admission, ...]:
    """Admit all calls or none, in one atomic step over every limit that applies.

    Raises `RateLimited`, `TooManyParallel`, `OverBudget` (nothing consumed) or `AdmissionUnavailable`. The reservation
    in Redis is a short lease until `hold`; `reserve` writes the lasting one.
    """
    counters.admit(principal.tenant_id, principal.user_id, calls)
    now = datetime.now(UTC)
    return tuple(
        Admission(
            call_id=call.call_id,
            tenant_id=principal.tenant_id,
            user_id=principal.user_id,
            api_key_id=principal.api_key_id,
            amount_nanousd=call.amount_nanousd,
            admitted_at=now,
        )
        for call in calls
    )


def hold(admissions: Sequence[Admission]) -> None:
    """After the commit that wrote the calls down: keep what `admit` took until they settle."""
    if admissions:
        counters.hold(admissions[0].tenant_id, [admission.call_id for admission in admissions])


def release(admissions: Sequence[Admission]) -> None:
    """Give back what `admit` took, for calls that were never written down."""
    if admissions:
        counters.release(admissions[0].tenant_id, [admission.call_id for admission in admissions])


def reserve(admissions: Sequence[Admission]) -> None:
    """Write the reservations. Demands the tenant's transaction, the one that writes the calls down."""
    Reservation.objects.bulk_create(
        Reservation(
            id=admission.call_id,
            tenant_id=admission.tenant_id,
            user_id=admission.user_id,
            api_key_id=admission.api_key_id,
            amount_nanousd=admission.amount_nanousd,
        )
        for admission in admissions
    )


def append_lines(
    *,
    tenant_id: UUID,
    user_id: UUID,
    api_key_id: UUID | None,
    call_id: UUID,
    lines: Sequence[LedgerLine],
    using: str = "default",
) -> None:
    """Append ledger lines. Demands a transaction; a line whose attempt is already there is left as it is."""
    LedgerEntry.objects.using(using).bulk_create(
        (
            LedgerEntry(
                tenant_id=tenant_id,
                user_id=user_id,
                api_key_id=api_key_id,
                call_id=call_id,
                attempt_id=line.attempt_id,
                kind=line.kind.value,
                provider=line.provider,
                model=line.model,
                price_id=line.price_id,
                input_tokens=line.input_tokens,
                cached_tokens=line.cached_tokens,
                cache_write_tokens=line.cache_write_tokens,
                output_tokens=line.output_tokens,
                reasoning_tokens=line.reasoning_tokens,
                amount_nanousd=line.amount_nanousd,
                estimated=line.estimated,
            )
            for line in lines
        ),
        ignore_conflicts=True,
    )


def settle_reservations(call_ids: Sequence[UUID], using: str = "engine") -> None:
    """Close the lasting reservations of calls that are final. Demands a transaction."""
    if not call_ids:
        return
    with connections[using].cursor() as cursor:
        cursor.execute(
            "UPDATE billing_reservation SET state = 'settled', settled_at = clock_timestamp() "
            "WHERE id = ANY(%s) AND state = 'open'",
            [list(call_ids)],
        )


def settle_counters(tenant_id: UUID, user_id: UUID, call_ids: Sequence[UUID], cost_nanousd: int) -> None:
    """Move a final call from reserved to spent in Redis, after the ledger's commit.

    Best effort: the ledger is the truth, and counters that cannot be told are rebuilt from it.
    """
    for call_id in call_ids:
        counters.settle(tenant_id, user_id, call_id, cost_nanousd)


def repeat_settlements() -> int:
    """Tell Redis again of every call settled in the last minutes, and return how many; a repeat adds nothing.

    So a settlement that was lost between the ledger's commit and Redis is counted soon, whatever died in between.
    """
    since = datetime.now(UTC) - SETTLEMENTS_REPEATED_FOR
    settled = list(
        Reservation.objects.using("engine")
        .filter(state=Reservation.State.SETTLED, settled_at__gte=since)
        .values_list("id", "tenant_id", "user_id", "settled_at")
    )
    costs: dict[UUID, int] = {}
    lines = LedgerEntry.objects.using("engine").filter(
        kind=LineKind.CHARGE.value,
        call_id__in=[row[0] for row in settled],
        created_at__gte=since - SETTLEMENTS_REPEATED_FOR,
    )
    for call_id, amount in lines.values_list("call_id", "amount_nanousd"):
        costs[call_id] = costs.get(call_id, 0) + amount
    for call_id, tenant_id, user_id, settled_at in settled:
        counters.settle(tenant_id, user_id, call_id, costs.get(call_id, 0), settled_at)
    return len(settled)


def set_quota(
    *,
    tenant_id: UUID,
    user_id: UUID | None = None,
    parallel_calls: int | None = None,
    requests_per_minute: int | None = None,
    budget_day_nanousd: int | None = None,
    budget_month_nanousd: int | None = None,
) -> None:
    """Set the limits of a tenant, or of one user in it; None means that this scope sets no such limit."""
    Quota.objects.using("engine").update_or_create(
        tenant_id=tenant_id,
        user_id=cast(UUID, user_id),  # NULL is the tenant's own row
        defaults={
            "parallel_calls": parallel_calls,
            "requests_per_minute": requests_per_minute,
            "budget_day_nanousd": budget_day_nanousd,
            "budget_month_nanousd": budget_month_nanousd,
        },
    )
    limits_changed(tenant_id)


def limits_changed(tenant_id: UUID) -> None:
    """Call after the commit of a changed quota: every process reads it before its next admission."""
    counters.limits_changed(tenant_id)


def budget_left(principal: Principal) -> BudgetLeft:
    """Money left in the tightest budgets that apply. Raises `AdmissionUnavailable`."""
    return counters.budget_left(principal.tenant_id, principal.user_id)


def usd(nanousd: int) -> str:
    """US dollars as exact decimal text, without an exponent: 1500000 -> '0.0015'."""
    text = format(Decimal(nanousd) / Decimal(1_000_000_000), "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
