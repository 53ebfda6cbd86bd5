"""Stored answers, forgotten on purpose: by an operator's command, or because their person left."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import structlog
from django.db import transaction
from redis.exceptions import RedisError

from apps.routing.caches import exact
from apps.routing.models import SemanticAnswer
from apps.routing.repeats import store as repeats
from apps.tenants import audit
from apps.tenants.audit import Actor

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cleared:
    """How many entries are gone."""

    exact: int
    semantic: int
    keyed: int = 0


def clear(
    tenant_id: UUID | None, *, model: str | None, kept_before: float | None, actor: Actor, keyed: bool = False
) -> Cleared:
    """Forget the answers of one tenant, or of all; only those that `model` gave, or kept before that Unix second.

    `keyed`: what is kept under idempotency keys, too, whatever else is said.
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
        told = {"semantic": semantic, "model": model or "", "kept_before": kept_before or 0, "keyed": keyed}
        audit.record(tenant_id, actor, "answer_caches.cleared", data=told, using="engine")
    by_key = repeats.erase(tenant_id) if keyed else 0
    return Cleared(exact.forget(tenant_id, model=model, kept_before=kept_before), semantic, by_key)


def forget_person(tenant_id: UUID, user_id: UUID) -> tuple[int, Callable[[], None]]:
    """In the transaction of somebody's leaving: nobody is left whom their own stored answers could be served to."""
    SemanticAnswer.objects.filter(tenant_id=tenant_id, owner_id=user_id).delete()

    def after() -> None:
        try:
            repeats.erase(tenant_id, user_id=user_id)
        except RedisError as error:  # they end by themselves, and until then no key opens them
            log.warning("repeats.not_erased", tenant_id=str(tenant_id), error=type(error).__name__)

    return 0, after
