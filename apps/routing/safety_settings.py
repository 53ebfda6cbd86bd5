"""The screening that a workspace has decided on: read, checked and changed."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.routing.errors import SafetySettingsRefused
from apps.routing.models import SafetyRules
from apps.routing.safety_rows import thresholds
from apps.routing.selectors import invalidate, snapshot
from apps.safety import Action, Category, Direction
from apps.tenants import audit
from apps.tenants.contracts import Principal
from apps.tenants.policy import Action as Permission
from apps.tenants.policy import require
from apps.tenants.scope import tenant_scope

# A provider's moderation names no passage, so there is nothing that could be replaced.
MODERATED = (Action.ALLOW, Action.FLAG, Action.BLOCK)
DEFAULT_THRESHOLD = 50
MOST_MARGIN = 2_000
MOST_STEP = 20_000
_FIELDS = tuple(
    field.name for field in SafetyRules._meta.concrete_fields if field.name not in ("id", "tenant", "changed_at")
)


def in_words(row: SafetyRules) -> dict[str, Any]:
    """The decisions as REST tells them, each category named."""
    told = {name: getattr(row, name) for name in _FIELDS}
    told["moderation_thresholds"] = thresholds(row.moderation_thresholds)
    for direction in Direction:
        stored = told[f"{direction}_limits"]
        told[f"{direction}_limits"] = {
            category.value: stored.get(category.value, {"action": Action.ALLOW.value, "threshold": DEFAULT_THRESHOLD})
            for category in Category
        }
    return told


def checked_limits(value: Any) -> dict[str, dict[str, Any]]:
    """Action and threshold by category. Raises `ValueError` with a sentence."""
    if not isinstance(value, Mapping) or set(value) - {one.value for one in Category}:
        raise ValueError(f"Give an action and a threshold by category; the categories are {', '.join(Category)}.")
    for name, one in value.items():
        if not isinstance(one, Mapping) or set(one) != {"action", "threshold"}:
            raise ValueError(f"“{name}” needs an action and a threshold, and nothing else.")
        if one["action"] not in {action.value for action in Action}:
            raise ValueError(f"The action of “{name}” must be one of {', '.join(Action)}.")
        _check_threshold(name, one["threshold"])
    return {name: {"action": str(one["action"]), "threshold": one["threshold"]} for name, one in value.items()}


def checked_thresholds(value: Any) -> dict[str, int]:
    """Thresholds by a moderation model's own categories. Raises `ValueError` with a sentence."""
    if not isinstance(value, Mapping) or len(value) > 40:
        raise ValueError("Give thresholds by the model's own categories, at most 40.")
    for name, threshold in value.items():
        if not isinstance(name, str) or not 1 <= len(name) <= 60:
            raise ValueError("A category's name has 1 to 60 characters.")
        _check_threshold(name, threshold)
    return dict(value)


def _check_threshold(name: str, threshold: Any) -> None:
    if isinstance(threshold, bool) or not isinstance(threshold, int) or not 1 <= threshold <= 100:
        raise ValueError(f"The threshold of “{name}” must be a whole number from 1 to 100.")


def shown(principal: Principal) -> dict[str, Any]:
    """What the workspace has decided. For those who manage it."""
    require(principal, Permission.SAFETY_MANAGE)
    with tenant_scope(principal.tenant_id):
        return in_words(_row(principal.tenant_id))


def moderation_models(tenant_id: UUID) -> list[tuple[str, str]]:
    """Slug and name of the moderation models that the workspace may use."""
    side = snapshot(tenant_id).catalogue.side_models
    return [(model.slug, model.name) for model in side.values() if model.kind == "moderation"]


def change(principal: Principal, given: Mapping[str, Any]) -> dict[str, Any]:
    """Change what is given and leave the rest. Other processes obey within seconds. Raises `SafetySettingsRefused`."""
    require(principal, Permission.SAFETY_MANAGE)
    checked = _checked(principal.tenant_id, given)
    with tenant_scope(principal.tenant_id):
        SafetyRules.objects.bulk_create([SafetyRules(tenant_id=principal.tenant_id)], ignore_conflicts=True)
        row = _row(principal.tenant_id)
        before = {name: getattr(row, name) for name in _FIELDS}
        for name, value in checked.items():
            setattr(row, name, value)
        after = {name: getattr(row, name) for name in _FIELDS}
        told = {name: {"from": before[name], "to": after[name]} for name in _FIELDS if before[name] != after[name]}
        if told:
            row.save()
            target = ("safety_rules", row.id)
            audit.record(
                principal.tenant_id, audit.Actor.of(principal), "safety_rules.changed", target=target, data=told
            )
            transaction.on_commit(lambda: invalidate(principal.tenant_id))
        return in_words(row)


def _row(tenant_id: UUID) -> SafetyRules:
    """The workspace's row, or what holds where there is none. Demands its scope."""
    found = SafetyRules.objects.select_for_update().filter(tenant_id=tenant_id).first()
    return found or SafetyRules(tenant_id=tenant_id)


def _checked(tenant_id: UUID, given: Mapping[str, Any]) -> dict[str, Any]:
    wrong: dict[str, list[str]] = {}
    checked: dict[str, Any] = {}
    for name, value in given.items():
        try:
            checked[name] = _checked_one(tenant_id, name, value)
        except ValueError as error:
            wrong[name] = [str(error)]
    if wrong:
        raise SafetySettingsRefused("The screening cannot be set like this.", fields=wrong)
    return checked


def _checked_one(tenant_id: UUID, name: str, value: Any) -> Any:
    if name in ("prompt_limits", "answer_limits"):
        return checked_limits(value)
    if name == "moderation_thresholds":
        return checked_thresholds(value)
    if name == "moderation_threshold":
        _check_threshold("moderation", value)
    elif name in ("moderation_prompt", "moderation_answer"):
        if value not in {one.value for one in MODERATED}:
            raise ValueError(f"Use one of {', '.join(MODERATED)}.")
    elif name == "moderation_model":
        if value and value not in dict(moderation_models(tenant_id)):
            raise ValueError("There is no such moderation model on offer.")
    elif name in ("margin_characters", "moderation_step_characters"):
        most = MOST_MARGIN if name == "margin_characters" else MOST_STEP
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise ValueError(f"Use a whole number from 0 to {most}.")
    elif name in ("redact_stored", "refuse_unreachable"):
        if not isinstance(value, bool):
            raise ValueError("Use true or false.")
    else:
        raise ValueError("There is no such setting.")
    return value
