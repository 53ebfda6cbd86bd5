"""Admit calls, set money aside, settle, and append to the ledger.

PostgreSQL is the truth (reservations, ledger). Redis holds projections that admission reads in one atomic step; a
missing one is rebuilt from the truth before anything is admitted.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast
from uuid import UUID

from django.db import connections

from apps.billing import bounds, counters, draining, ledger, open_calls, reconciling, snapshots, usage
from apps.billing.bounds import CallBounds
from apps.billing.contracts import Admission, Allowance, BudgetLeft, CallCost, LedgerLine, LineKind
from apps.billing.models import LedgerEntry, Quota, Reservation
from apps.billing.reconciling import Difference
from apps.billing.usage import By, Share, Used
from apps.tenants.contracts import Principal

SETTLEMENTS_REPEATED_FOR = timedelta(minutes=2)


def admit(
    principal: Principal, calls: Sequence[CallCost], *, enough_nanousd: int | None = None
) -> tuple[Admission, ...]:
    """Admit all calls or none, in one atomic step over every limit that applies.

    `enough_nanousd`: what the caller will ask for at once where a budget does not cover this, and leaves as much; that
    counts as no refusal then.

    Raises `RateLimited`, `TooManyParallel`, `OverBudget` (nothing consumed) or `AdmissionUnavailable`. The reservation
    in Redis is a short lease until `hold`; `reserve` writes the lasting one.
    """
    counters.admit(principal.tenant_id, principal.user_id, principal.api_key_id, calls, enough_nanousd)
    now = datetime.now(UTC)
    return tuple(
        Admission(
            call_id=call.call_id,
            tenant_id=principal.tenant_id,
            user_id=principal.user_id,
            api_key_id=principal.api_key_id,
            amount_nanousd=call.amount_nanousd,
            admitted_at=now,
            tokens=call.tokens,
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
            tokens=admission.tokens,
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
    entries = ledger.rows(tenant_id=tenant_id, user_id=user_id, api_key_id=api_key_id, call_id=call_id, lines=lines)
    LedgerEntry.objects.using(using).bulk_create(entries, ignore_conflicts=True)


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


def settle_counters(
    tenant_id: UUID, user_id: UUID, call_ids: Sequence[UUID], cost_nanousd: int, tokens: int = 0
) -> None:
    """Move a final call from reserved to spent in Redis, after the ledger's commit.

    Best effort: the ledger is the truth, and counters that cannot be told are rebuilt from it.
    """
    for call_id in call_ids:
        counters.settle(tenant_id, user_id, call_id, cost_nanousd, tokens=tokens)


def repeat_settlements() -> int:
    """Tell Redis again of every call settled in the last minutes, and return how many; a repeat adds nothing.

    So a settlement that was lost between the ledger's commit and Redis is counted soon, whatever died in between.
    """
    since = datetime.now(UTC) - SETTLEMENTS_REPEATED_FOR
    settled = list(
        Reservation.objects.using("engine")
        .filter(state=Reservation.State.SETTLED, settled_at__gte=since)
        .values_list("id", "tenant_id", "user_id", "api_key_id", "settled_at")
    )
    costs: dict[UUID, tuple[int, int]] = {}
    lines = LedgerEntry.objects.using("engine").filter(
        kind=LineKind.CHARGE.value,
        call_id__in=[row[0] for row in settled],
        created_at__gte=since - SETTLEMENTS_REPEATED_FOR,
    )
    for call_id, amount, *tokens in lines.values_list("call_id", "amount_nanousd", "input_tokens", "output_tokens"):
        money, used = costs.get(call_id, (0, 0))
        costs[call_id] = (money + amount, used + sum(tokens))
    for call_id, tenant_id, user_id, key_id, settled_at in settled:
        money, used = costs.get(call_id, (0, 0))
        counters.settle(tenant_id, user_id, call_id, money, settled_at, tokens=used, api_key_id=key_id)
    return len(settled)


def set_quota(
    *,
    tenant_id: UUID,
    user_id: UUID | None = None,
    team_id: UUID | None = None,
    api_key_id: UUID | None = None,
    parallel_calls: int | None = None,
    requests_per_minute: int | None = None,
    budget_day_nanousd: int | None = None,
    budget_month_nanousd: int | None = None,
    tokens_per_minute: int | None = None,
    tokens_per_day: int | None = None,
    tokens_per_month: int | None = None,
    max_input_tokens: int | None = None,
    max_output_tokens: int | None = None,
) -> None:
    """Set the limits of a tenant, or of one user, team or key in it; None means that this scope sets no such limit."""
    Quota.objects.using("engine").update_or_create(
        tenant_id=tenant_id,
        user_id=cast(UUID, user_id),  # NULL three times is the tenant's own row
        team_id=cast(UUID, team_id),
        api_key_id=cast(UUID, api_key_id),
        defaults={
            "parallel_calls": parallel_calls,
            "requests_per_minute": requests_per_minute,
            "budget_day_nanousd": budget_day_nanousd,
            "budget_month_nanousd": budget_month_nanousd,
            "tokens_per_minute": tokens_per_minute,
            "tokens_per_day": tokens_per_day,
            "tokens_per_month": tokens_per_month,
            "max_input_tokens": max_input_tokens,
            "max_output_tokens": max_output_tokens,
        },
    )
    limits_changed(tenant_id)


async def open_call(
    principal: Principal,
    calls: Sequence[CallCost],
    *,
    epoch: int | None = None,
    enough_nanousd: int | None = None,
) -> tuple[Admission, ...]:
    """Admit stateless calls, all or none, in one round trip to Redis; each must end in `close_call`.

    `epoch`: what `epoch_of` said before the caller read its own view of the tenant (keys, models); None where it keeps
    none. `enough_nanousd` as in `admit`. Raises `RateLimited`, `TokensRateLimited`, `TooManyParallel`,
    `OverTokenQuota`, `OverBudget` (nothing consumed), `SnapshotStale` (drop what you know of this tenant, resolve and
    plan again, ask once more) or `AdmissionUnavailable`. The call is held until `close_call`, as long as this event
    loop runs.
    """
    return await open_calls.here().open(principal, calls, epoch, enough_nanousd=enough_nanousd)


async def take_request(principal: Principal, call_id: UUID) -> tuple[Allowance, ...]:
    """Take one request from the limits per minute, for what neither costs nor lasts; says what is left of them.

    Raises `RateLimited`, `SnapshotStale` (resolve your key again, ask once more) or `AdmissionUnavailable`.
    """
    return await open_calls.here().take_request(principal, call_id)


async def close_call(admission: Admission, lines: Sequence[LedgerLine], state: str) -> None:
    """The call is over: count what it cost and hand its ledger lines in. Without lines, give back what it held.

    Returns after one round trip to Redis, or two failed ones; the lines are then told again until they are taken, and
    kept until they are in the ledger. Closing twice, or being cancelled here, loses and doubles nothing.
    """
    await open_calls.here().close(admission, lines, state)


async def stop_calls(seconds: float = 3.0) -> None:
    """When this event loop is about to end: tell what was not told yet, for so long."""
    await open_calls.here().stop(seconds)


def epoch_of(tenant_id: UUID) -> int:
    """The last change of the tenant's keys, limits and models that this process knows of. Take it before reading."""
    snapshot = snapshots.known(tenant_id)
    return 0 if snapshot is None else snapshot.epoch


def when_stale(tell: Callable[[UUID], None]) -> None:
    """Call `tell(tenant_id)`, from any thread, whenever what is known of a tenant turns out to be older than a change.

    Views of tenants that are kept in memory are dropped there. See `open_call`.
    """
    snapshots.when_stale(tell)


def used(tenant_id: UUID, window: timedelta) -> Used:
    """What the tenant used in the last `window`; stateless calls count within half a second of their end."""
    return usage.used(tenant_id, window)


def used_by(tenant_id: UUID, window: timedelta, by: By) -> list[Share]:
    """The same told apart by team, user, key or model: the most expensive first."""
    return usage.shares(tenant_id, window, by)


def refused(tenant_id: UUID, window: timedelta) -> dict[str, dict[str, int]]:
    """How many calls limits refused, by limit and by whose it was. Raises `LimitsError`."""
    return usage.refused(tenant_id, window)


def differences(tenant_id: UUID) -> list[Difference]:
    """Counters of the tenant that say something else than the ledger. Raises `LimitsError`."""
    return reconciling.differences(tenant_id)


def drain_settlements() -> int:
    """Write into the ledger what stateless calls have settled; returns how many."""
    return draining.drain_settlements()


async def drain_forever(stopping: threading.Event) -> None:
    """A worker's duty: `drain_settlements`, several times a second."""
    await draining.drain_forever(stopping)


def limits_changed(tenant_id: UUID) -> None:
    """Call after the commit of a changed quota: every process reads it before its next admission."""
    counters.limits_changed(tenant_id)


def call_bounds(tenant_id: UUID) -> CallBounds:
    """What quotas say of the size of single calls. Demands the tenant's transaction."""
    return bounds.read(tenant_id)


def budget_left(principal: Principal) -> BudgetLeft:
    """Money left in the tightest budgets that apply. Raises `AdmissionUnavailable`."""
    return counters.budget_left(principal.tenant_id, principal.user_id, principal.api_key_id)


def usd(nanousd: int) -> str:
    """US dollars as exact decimal text, without an exponent: 1500000 -> '0.0015'."""
    text = format(Decimal(nanousd) / Decimal(1_000_000_000), "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
