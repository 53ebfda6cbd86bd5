"""Changes of the catalogue, noted in the audit chain of the tenant they concern, or in the installation's own."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from apps.routing.models import Deployment, LanguageModel, Price, Provider, RoutingPolicy
from apps.tenants import audit

COMMAND_LINE = audit.Actor(None, "command line", "command")
_NEVER_TOLD = frozenset({"id", "tenant_id", "created_at", "sealed_key"})
_KINDS: Mapping[type[Model], str] = {
    Provider: "provider",
    LanguageModel: "model",
    Deployment: "deployment",
    Price: "price",
    RoutingPolicy: "policy",
}


def state(row: Model) -> dict[str, Any]:
    """What a row says, for `note` after it was changed. Never a sealed key."""
    return {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.attname not in _NEVER_TOLD
    }


def note(
    row: Provider | LanguageModel | Deployment | Price | RoutingPolicy,
    before: Mapping[str, Any] | None,
    actor: audit.Actor,
    *,
    key_given: bool = False,
) -> None:
    """Say in `engine`'s transaction that a row was added (`before` None), or what of it changed, if anything did."""
    after = state(row)
    if before is None:
        told: dict[str, Any] = {name: value for name, value in after.items() if value not in (None, "", False)}
        told.pop("valid_from", None)  # the database's own moment; the entry has its own
    else:
        told = {name: {"from": before[name], "to": after[name]} for name in after if before[name] != after[name]}
    if key_given:
        told["key_given"] = True
    if before is not None and not told:
        return
    kind = _KINDS[type(row)]
    action = f"{kind}.{'added' if before is None else 'changed'}"
    audit.record(row.tenant_id, actor, action, target=(kind, row.pk), data=told, using="engine")
