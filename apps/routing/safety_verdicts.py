"""What screening found, kept for those who answer for the workspace. Who, when, which rule; never the text."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import Count, Sum
from django.db.models.functions import Now

from apps.routing.contracts import Verdict
from apps.routing.models import SafetyVerdict
from apps.tenants.contracts import Principal
from apps.tenants.policy import Action, require
from apps.tenants.scope import tenant_scope

# Of one question and its answer: a text can hold more than anybody reads.
_MOST_ROWS = 40
MOST_LISTED = 200
# Long enough for a quarter to be looked back on; who sent what is not kept for longer than it is of use.
KEPT_DAYS = 90
_FORGET = "DELETE FROM routing_safetyverdict WHERE at < now() - make_interval(days => %s)"


def record(tenant_id: UUID, user_id: UUID, generation_id: UUID | None, verdicts: Sequence[Verdict]) -> None:
    """Keep what was found. Demands the tenant's transaction."""
    SafetyVerdict.objects.bulk_create(
        SafetyVerdict(
            tenant_id=tenant_id,
            user_id=user_id,
            generation_id=generation_id,
            direction=one.direction.value,
            category=one.category,
            rule=one.rule,
            action=one.action.value,
            score=one.score,
            threshold=one.threshold,
            count=one.count,
        )
        for one in verdicts[:_MOST_ROWS]
    )


def forget_old() -> int:
    """Delete every workspace's verdicts older than `KEPT_DAYS`, as `engine`; returns how many."""
    with connections["engine"].cursor() as cursor:
        cursor.execute(_FORGET, [KEPT_DAYS])
        return int(cursor.rowcount)


def latest(principal: Principal, limit: int = 50) -> list[dict[str, Any]]:
    """The workspace's latest verdicts, the newest first."""
    require(principal, Action.SAFETY_MANAGE)
    with tenant_scope(principal.tenant_id):
        return [
            dict(one)
            for one in SafetyVerdict.objects.filter(tenant_id=principal.tenant_id)
            .order_by("-at", "-id")
            .values(
                "id", "at", "user_id", "generation_id", "direction", "category", "rule", "action", "score", "threshold",
                "count",
            )[: max(1, min(limit, MOST_LISTED))]
        ]  # fmt: skip


def counted(principal: Principal, days: int = 30) -> list[dict[str, Any]]:
    """How often each rule found something in the last days, and what was done: the most frequent first."""
    require(principal, Action.SAFETY_MANAGE)
    with tenant_scope(principal.tenant_id):
        return [
            dict(one)
            for one in SafetyVerdict.objects.filter(tenant_id=principal.tenant_id, at__gt=Now() - timedelta(days=days))
            .values("direction", "category", "rule", "action")
            .annotate(texts=Count("id"), passages=Sum("count"))
            .order_by("-texts", "rule")[:MOST_LISTED]
        ]
