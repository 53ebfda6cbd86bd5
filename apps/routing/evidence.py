"""What speaks for a tenant's routing by difficulty. Without it a policy of that kind is not on offer there."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from apps.problems import NotFound
from apps.routing.catalogue_audit import COMMAND_LINE
from apps.routing.models import RoutingEvidence, RoutingPolicy
from apps.routing.selectors import invalidate
from apps.tenants import audit
from apps.tenants.audit import Actor


def auto_policy(tenant_id: UUID, slug: str) -> RoutingPolicy:
    """The policy of the kind `auto` that the tenant would use under that name. Raises `NotFound`."""
    rows = RoutingPolicy.objects.using("engine").filter(Q(tenant_id=tenant_id) | Q(tenant__isnull=True), slug=slug)
    row = rows.order_by(F("tenant").asc(nulls_last=True)).first()
    if row is None or row.kind != RoutingPolicy.Kind.AUTO:
        raise NotFound(f"There is no policy “{slug}” of the kind “auto” there.")
    return row


def store(tenant_id: UUID, slug: str, report: Mapping[str, Any], actor: Actor = COMMAND_LINE) -> None:
    """Keep an evaluation that speaks for the policy; it replaces an earlier one."""
    with transaction.atomic(using="engine"):
        RoutingEvidence.objects.using("engine").update_or_create(
            tenant_id=tenant_id, policy_slug=slug, defaults={"report": report}
        )
        told = {"questions": report["questions"], "apgr": report["router"]["apgr"]["value"]}
        audit.record(tenant_id, actor, "policy.evaluated", target=("policy", slug), data=told, using="engine")
    invalidate(tenant_id)
