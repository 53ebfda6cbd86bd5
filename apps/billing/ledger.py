"""Rows of the ledger, and what they add up to."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce

from apps.billing.contracts import LedgerLine, LineKind
from apps.billing.models import LedgerEntry
from apps.limits.contracts import Counter, Level
from apps.tenants.models import ApiKey, TeamMember


def rows(
    *,
    tenant_id: UUID,
    user_id: UUID,
    api_key_id: UUID | None,
    call_id: UUID,
    lines: Sequence[LedgerLine],
    at: datetime | None = None,
) -> list[LedgerEntry]:
    """Lines of one call, not yet written. `at` None: the time of the transaction that writes them."""
    when = {} if at is None else {"created_at": at}
    return [
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
            **when,
        )
        for line in lines
    ]


def used_tokens(lines: Sequence[LedgerLine]) -> int:
    """Tokens that count against the tenant's limits; cached and reasoning tokens are parts of these."""
    return sum(line.input_tokens + line.output_tokens for line in lines if line.kind is LineKind.CHARGE)


def charged_nanousd(lines: Sequence[LedgerLine]) -> int:
    return sum(line.amount_nanousd for line in lines if line.kind is LineKind.CHARGE)


def of_team(team_id: UUID) -> Q:
    """Lines that are a team's: of its members of today, and of every key it has or had."""
    members = TeamMember.objects.filter(team_id=team_id)
    keys = ApiKey.objects.filter(team_id=team_id)
    return Q(user_id__in=members.values("membership__user_id")) | Q(api_key_id__in=keys.values("id"))


def spent(counter: Counter) -> tuple[int, int]:
    """Money and tokens of a counter's period. Demands the tenant's scope."""
    start = counter.starts_at
    end = start + timedelta(days=1) if len(counter.period) == 10 else (start + timedelta(days=32)).replace(day=1)
    lines = LedgerEntry.objects.filter(kind=LineKind.CHARGE.value, created_at__gte=start, created_at__lt=end)
    match counter.scope.level:
        case Level.USER:
            lines = lines.filter(user_id=UUID(counter.scope.id))
        case Level.TEAM:
            lines = lines.filter(of_team(UUID(counter.scope.id)))
        case Level.KEY:
            lines = lines.filter(api_key_id=UUID(counter.scope.id))
    total = lines.aggregate(
        money=Coalesce(Sum("amount_nanousd"), 0), tokens=Coalesce(Sum(F("input_tokens") + F("output_tokens")), 0)
    )
    return int(total["money"]), int(total["tokens"])
