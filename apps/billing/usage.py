"""What a tenant has used in a sliding window, from the ledger; and how often it was refused, from Redis."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.billing.clients import limits
from apps.billing.contracts import LineKind
from apps.billing.ledger import of_team
from apps.billing.models import LedgerEntry
from apps.tenants.models import ApiKey, Membership, Team
from apps.tenants.scope import tenant_scope

WINDOWS: Mapping[str, timedelta] = {
    "1m": timedelta(minutes=1),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "30d": timedelta(days=30),
}


class By(StrEnum):
    """What the use of a tenant is told apart by."""

    TEAM = "team"
    USER = "user"
    KEY = "key"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Used:
    """What calls used that the tenant pays for. Cached tokens are among the input, reasoning among the output."""

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    amount_nanousd: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the tenant's use. `id` is a UUID, or a model's name; `name` as people know it."""

    id: str
    name: str
    used: Used


_SUMS: Mapping[str, Any] = {
    "calls": Count("call_id", distinct=True),
    **{
        name: Coalesce(Sum(name), 0)
        for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "amount_nanousd")
    },
}
_MOST_SHARES = 1_000


def used(tenant_id: UUID, window: timedelta, now: datetime | None = None) -> Used:
    """All of the tenant's use."""
    with tenant_scope(tenant_id):
        return _used(_lines(tenant_id, window, now).aggregate(**_SUMS))


def shares(tenant_id: UUID, window: timedelta, by: By, now: datetime | None = None) -> list[Share]:
    """The tenant's use told apart, the most expensive first; a thousand at most.

    Somebody in several teams counts in each of them, as for the teams' limits. Sessions have no key and are left out
    where keys are told apart.
    """
    with tenant_scope(tenant_id):
        lines = _lines(tenant_id, window, now)
        if by is By.TEAM:
            found = _of_teams(tenant_id, lines)
        else:
            column = {By.USER: "user_id", By.KEY: "api_key_id", By.MODEL: "model"}[by]
            if by is By.KEY:
                lines = lines.filter(api_key_id__isnull=False)
            rows = list(lines.values(column).annotate(**_SUMS).order_by("-amount_nanousd", column)[:_MOST_SHARES])
            names = _names(tenant_id, by, [row[column] for row in rows])
            found = [Share(str(row[column]), names.get(row[column], str(row[column])), _used(row)) for row in rows]
    return sorted(found, key=lambda one: (-one.used.amount_nanousd, one.name))


def refused(tenant_id: UUID, window: timedelta) -> dict[str, dict[str, int]]:
    """How many calls were refused, by limit and by whose it was. Redis alone knows; a lost one begins anew.

    To the minute up to an hour, to the hour beyond. Raises `LimitsError`.
    """
    found: dict[str, dict[str, int]] = {}
    counted = limits().refusals(tenant_id, max(1, round(window.total_seconds() / 60)))
    for (kind, level), count in sorted(counted.items()):
        found.setdefault(kind.value, {})[level.value] = count
    return found


def _lines(tenant_id: UUID, window: timedelta, now: datetime | None) -> QuerySet[LedgerEntry]:
    since = (now or timezone.now()) - window
    return LedgerEntry.objects.filter(tenant_id=tenant_id, kind=LineKind.CHARGE.value, created_at__gt=since)


def _of_teams(tenant_id: UUID, lines: QuerySet[LedgerEntry]) -> list[Share]:
    found = []
    for team_id, name in Team.objects.filter(tenant_id=tenant_id).order_by("name").values_list("id", "name"):
        of_it = _used(lines.filter(of_team(team_id)).aggregate(**_SUMS))
        if of_it.calls:
            found.append(Share(str(team_id), name, of_it))
    return found


def _names(tenant_id: UUID, by: By, ids: list[Any]) -> dict[Any, str]:
    if by is By.USER:
        members = Membership.objects.filter(tenant_id=tenant_id, user_id__in=ids)
        return dict(members.values_list("user_id", "user__email"))
    if by is By.KEY:
        return dict(ApiKey.objects.filter(Q(tenant_id=tenant_id), id__in=ids).values_list("id", "name"))
    return {}


def _used(row: Mapping[str, Any]) -> Used:
    return Used(**{name: int(row[name]) for name in _SUMS})
