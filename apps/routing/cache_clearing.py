"""Stored answers, forgotten on purpose: by an operator's command, or because their person left."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db import transaction

from apps.routing.caches import exact
from apps.routing.models import SemanticAnswer
from apps.tenants import audit
from apps.tenants.audit import Actor


@dataclass(frozen=True, slots=True)
class Cleared:
    """How many entries are gone."""

    exact: int
    semantic: int


def clear(tenant_id: UUID | None, *, model: str | None, kept_before: float | None, actor: Actor) -> Cleared:
    """Forget the answers of one tenant, or of all; only those that `model` gave, or kept before that Unix second.

    Told in the audit chain of the tenant, or of the installation. Raises `RedisError` where that server is away; the
    semantic entries are gone then all the same.
    """
    with transaction.atomic(using="engine"):
        rows = SemanticAnswer.objects.using("engine").all()
        if tenant_id is not None:
            rows = rows.filter(tenant_id=tenant_id)
        if model is not None:
            rows = rows.filter(model=model)
        if kept_before is not None:
            rows = rows.filter(kept_at__lt=datetime.fromtimestamp(kept_before, UTC))
        semantic, _by_kind = rows.delete()
        told = {"semantic": semantic, "model": model or "", "kept_before": kept_before or 0}
        audit.record(tenant_id, actor, "answer_caches.cleared", data=told, using="engine")
    return Cleared(exact.forget(tenant_id, model=model, kept_before=kept_before), semantic)


def forget_person(tenant_id: UUID, user_id: UUID) -> tuple[int, Callable[[], None]]:
    """In the transaction of somebody's leaving: nobody is left whom their own stored answers could be served to."""
    SemanticAnswer.objects.filter(tenant_id=tenant_id, owner_id=user_id).delete()
    return 0, lambda: None
