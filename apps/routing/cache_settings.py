"""A tenant's rules for the answer caches: read, checked, changed, and told in its audit chain."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from django.core.exceptions import ValidationError

from apps.routing import cache_rules, selectors
from apps.routing.contracts import CacheRules
from apps.routing.errors import CacheRulesRefused
from apps.routing.models import CacheSettings, SemanticAnswer
from apps.tenants import audit
from apps.tenants.contracts import Principal
from apps.tenants.policy import Action, require
from apps.tenants.scope import tenant_scope

NOT_MEASURED = (
    "Nothing speaks for a semantic cache here yet. An operator installs its model (“make install-embedded”) and "
    "measures it (“manage.py measure_cache --store”)."
)


def rules_of(principal: Principal) -> CacheRules:
    """What holds in the caller's workspace, as it is stored now."""
    require(principal, Action.TENANT_READ)
    with tenant_scope(principal.tenant_id):
        row = CacheSettings.objects.filter(tenant_id=principal.tenant_id).first()
    return cache_rules.as_set(row or CacheSettings())


def least_threshold(principal: Principal) -> float | None:
    """The least threshold that was measured to be good enough here; None where no measurement speaks for the cache."""
    rules = rules_of(principal)
    with tenant_scope(principal.tenant_id):
        found = cache_rules.evidence_for(rules.embedding_model)
    return None if found is None else found.threshold


def change_rules(principal: Principal, **wanted: Any) -> CacheRules:
    """Change what is named, and leave the rest. Processes obey within seconds.

    Raises `CacheRulesRefused` with what is wrong with which field.
    """
    require(principal, Action.TENANT_CHANGE)
    with tenant_scope(principal.tenant_id):
        row = CacheSettings.objects.select_for_update().filter(tenant_id=principal.tenant_id).first()
        before = None if row is None else cache_rules.as_set(row)
        row = row or CacheSettings(tenant_id=principal.tenant_id)
        for name, value in wanted.items():
            setattr(row, name, value)
        problems = wrong_with(row, wanted)
        if problems:
            raise CacheRulesRefused("The answer caches cannot be set like this.", fields=problems)
        row.save()
        forget_if_off(row)
        after = cache_rules.as_set(row)
        told = _told(before, after)
        if told:
            actor = audit.Actor.of(principal)
            audit.record(
                principal.tenant_id, actor, "answer_caches.changed", target=("answer_caches", row.id), data=told
            )
    selectors.invalidate(principal.tenant_id)
    return after


def forget_if_off(row: CacheSettings, using: str = "default") -> None:
    """What nobody may be served any more is not kept. For every door that saves the row, in its transaction."""
    if not row.semantic:
        SemanticAnswer.objects.using(using).filter(tenant_id=row.tenant_id).delete()


def wrong_with(row: CacheSettings, changed: Collection[str]) -> dict[str, list[str]]:
    """What keeps the row from being stored, by field. For every door that changes it."""
    try:
        row.clean_fields(exclude={field.name for field in CacheSettings._meta.concrete_fields} - set(changed))
    except ValidationError as error:
        return dict(error.message_dict)
    return _wrong_with_semantic(row) if row.semantic else {}


def _wrong_with_semantic(row: CacheSettings) -> dict[str, list[str]]:
    """A semantic cache needs a measurement that speaks for it, of the very model that runs here."""
    found = cache_rules.evidence_for(row.embedding_model)
    if found is None:
        return {"semantic": [NOT_MEASURED]}
    if row.threshold < found.threshold:
        return {"threshold": [f"Use {found.threshold:.2f} at least: below it, too many answers were wrong."]}
    return {}


def _told(before: CacheRules | None, after: CacheRules) -> Mapping[str, Any]:
    was, now = asdict(before or CacheRules()), asdict(after)
    return {name: {"from": was[name], "to": now[name]} for name in now if was[name] != now[name]}
