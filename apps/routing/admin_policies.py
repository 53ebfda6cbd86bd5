"""Forms and pages for what chooses among models: routing policies, and the fallbacks of models."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin

from apps.billing.admin_amounts import InDollars, shown
from apps.routing.contracts import FallbackKind
from apps.routing.models import LanguageModel, RoutingPolicy
from apps.tenants.admin_engine import EngineForm


def checked_fallbacks(value: Any) -> dict[str, list[str]]:
    """Lists of slugs by what went wrong. Raises `forms.ValidationError`."""
    kinds = [kind.value for kind in FallbackKind]
    if not isinstance(value, Mapping) or set(value) - set(kinds):
        raise forms.ValidationError(f"Give lists of models by kind; the kinds are {', '.join(kinds)}.")
    for kind, slugs in value.items():
        if not isinstance(slugs, list) or not all(isinstance(slug, str) and slug for slug in slugs):
            raise forms.ValidationError(f"“{kind}” must be a list of models' slugs.")
    return dict(value)


def checked_weights(value: Any) -> dict[str, float]:
    """Shares by slug. Raises `forms.ValidationError`."""
    if not isinstance(value, Mapping):
        raise forms.ValidationError("Give shares by model.")
    for slug, share in value.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < float("inf"):
            raise forms.ValidationError(f"The share of “{slug}” must be a number of 0 or more.")
    if value and not sum(value.values()):
        raise forms.ValidationError("At least one share must be above zero.")
    return dict(value)


class LanguageModelForm(EngineForm[LanguageModel]):
    class Meta:
        model = LanguageModel
        fields = "__all__"

    def clean_fallbacks(self) -> dict[str, list[str]]:
        return checked_fallbacks(self.cleaned_data["fallbacks"] or {})


class RoutingPolicyForm(EngineForm[RoutingPolicy]):
    class Meta:
        model = RoutingPolicy
        fields = "__all__"

    def clean_weights(self) -> dict[str, float]:
        return checked_weights(self.cleaned_data["weights"] or {})

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        given = self.cleaned_data
        if given.get("kind") == RoutingPolicy.Kind.WEIGHTED and not given.get("weights", True):
            self.add_error("weights", "The kind “by weights” needs them.")
        return cleaned


class PolicyColumns(InDollars):
    """How a policy is shown, to operators and to a tenant's own administrators."""

    @admin.display(description="chooses from")
    def models_shown(self, policy: RoutingPolicy) -> str:
        return ", ".join(policy.models_chosen_from) or "every model the caller may use"

    @admin.display(description="dearest answer", ordering="max_cost_nanousd")
    def max_cost(self, policy: RoutingPolicy) -> str | None:
        return shown(policy.max_cost_nanousd)
