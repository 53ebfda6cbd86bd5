"""Administration of what workspaces screen, and of what was found, for operators and for a workspace's own."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest

from apps.routing.models import SafetyRules, SafetyVerdict
from apps.routing.safety_settings import checked_limits, checked_thresholds
from apps.routing.selectors import invalidate
from apps.tenants.admin_changes import ALIAS
from apps.tenants.admin_engine import EngineAdmin, EngineForm
from apps.tenants.admin_scoped import ScopedAdmin, ScopedForm, ScopedReadOnly
from apps.tenants.admin_sites import manage
from apps.tenants.policy import Action

_OWN_RULES = ("prompt_limits", "answer_limits", "margin_characters", "redact_stored")
_MODERATION = (
    "moderation_model",
    "moderation_prompt",
    "moderation_answer",
    "moderation_threshold",
    "moderation_thresholds",
    "moderation_step_characters",
    "refuse_unreachable",
)
_FOUND = ("at", "direction", "category", "rule", "action", "score", "threshold", "count")


class _Checked:
    """Limits are told as JSON here; Settings, Safety has a field for each."""

    cleaned_data: dict[str, Any]

    def clean_prompt_limits(self) -> dict[str, Any]:
        return self._limits("prompt_limits")

    def clean_answer_limits(self) -> dict[str, Any]:
        return self._limits("answer_limits")

    def clean_moderation_thresholds(self) -> dict[str, int]:
        try:
            return checked_thresholds(self.cleaned_data["moderation_thresholds"] or {})
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def _limits(self, name: str) -> dict[str, Any]:
        try:
            return checked_limits(self.cleaned_data[name] or {})
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


class EngineSafetyForm(_Checked, EngineForm[SafetyRules]):
    class Meta:
        model = SafetyRules
        fields = ("tenant", *_OWN_RULES, *_MODERATION)


class OwnSafetyForm(_Checked, ScopedForm[SafetyRules]):
    class Meta:
        model = SafetyRules
        fields = (*_OWN_RULES, *_MODERATION)


@admin.register(SafetyRules)
class SafetyRulesAdmin(EngineAdmin[SafetyRules]):
    """What workspaces screen. One without a row screens nothing."""

    form = EngineSafetyForm
    list_display = ("tenant", "moderation_model", "redact_stored", "changed_at")
    list_select_related = ("tenant",)
    search_fields = ("tenant__name", "tenant__slug")
    fieldsets = (
        (None, {"fields": ("tenant",)}),
        ("Rules", {"fields": _OWN_RULES}),
        ("Moderation", {"fields": _MODERATION}),
    )

    def save_model(self, request: HttpRequest, obj: SafetyRules, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        transaction.on_commit(lambda: invalidate(obj.tenant_id), using=ALIAS)


@admin.register(SafetyVerdict)
class SafetyVerdictAdmin(EngineAdmin[SafetyVerdict]):
    """What was found, in which workspace. Never the text."""

    list_display = ("tenant", *_FOUND)
    list_filter = ("direction", "category", "action")
    list_select_related = ("tenant",)
    search_fields = ("rule",)
    ordering = ("-at",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(SafetyRules, site=manage)
class OwnSafetyRulesAdmin(ScopedAdmin[SafetyRules]):
    """What this workspace screens: one row, added once."""

    view_action = change_action = Action.SAFETY_MANAGE
    adds = True
    form = OwnSafetyForm
    list_display = ("__str__", "moderation_model", "redact_stored", "changed_at")
    fieldsets = (("Rules", {"fields": _OWN_RULES}), ("Moderation", {"fields": _MODERATION}))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request, obj) and not self.get_queryset(request).exists()

    def save_model(self, request: HttpRequest, obj: SafetyRules, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        transaction.on_commit(lambda: invalidate(obj.tenant_id))


@admin.register(SafetyVerdict, site=manage)
class OwnSafetyVerdictAdmin(ScopedReadOnly[SafetyVerdict]):
    """What was found in this workspace's questions and answers. Never the text."""

    view_action = Action.SAFETY_MANAGE
    list_display = _FOUND
    list_filter = ("direction", "category", "action")
    search_fields = ("rule",)
    ordering = ("-at",)
    fields = _FOUND
