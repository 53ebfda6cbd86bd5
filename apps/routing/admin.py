"""Administration of the catalogue, for operators. Reads and writes as `engine`, because it crosses tenants by nature.

Nothing is deleted here: ledger lines name models and providers, so what is no longer wanted is switched off. Prices are
appended, never changed.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest

from apps.billing.admin_amounts import InDollars, shown
from apps.routing import (
    admin_caches,
    admin_safety,  # noqa: F401 - registers its pages
    provider_keys,
)
from apps.routing.admin_policies import LanguageModelForm, PolicyColumns, RoutingPolicyForm
from apps.routing.errors import ProviderAddressRefused
from apps.routing.models import Deployment, LanguageModel, Price, Provider, RoutingPolicy
from apps.routing.queues import KNOWN_ADDRESS
from apps.routing.registration import checked_adapter, checked_base_url, checked_key
from apps.routing.selectors import invalidate
from apps.tenants.admin_changes import ALIAS
from apps.tenants.admin_engine import EngineAdmin, EngineForm, Row
from apps.tenants.admin_scoped import ScopedReadOnly
from apps.tenants.admin_sites import manage
from apps.tenants.policy import Action

# Fields that are declared here get the look of those that the administration makes from columns.
if TYPE_CHECKING:
    _TextInput, _PasswordInput, _Switch = forms.TextInput, forms.PasswordInput, forms.CheckboxInput
else:
    from unfold.widgets import UnfoldAdminPasswordWidget as _PasswordInput
    from unfold.widgets import UnfoldAdminTextInputWidget as _TextInput
    from unfold.widgets import UnfoldBooleanSwitchWidget as _Switch


class CatalogueAdmin(EngineAdmin[Row]):
    """Every process reads the catalogue again after a change."""

    def save_model(self, request: HttpRequest, obj: Row, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        transaction.on_commit(invalidate, using=ALIAS)


class ProviderForm(EngineForm[Provider]):
    """The key goes in and never comes out.

    The address is a field of its own, because Django's check of URLs refuses hosts of one word (`http://ollama:11434`).
    """

    address = forms.CharField(
        max_length=400,
        widget=_TextInput,
        help_text=f"Up to and with /v1. Through litellm, {KNOWN_ADDRESS} stands for the provider's own address.",
    )
    key = forms.CharField(
        required=False,
        widget=_PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text="Leave it empty to keep the stored key. A new address needs it again.",
    )
    remove_key = forms.BooleanField(
        required=False, widget=_Switch, help_text="Forget the stored key; the provider asks for none."
    )

    class Meta:
        model = Provider
        fields = ("tenant", "slug", "name", "adapter", "simulated", "enabled")
        help_texts: ClassVar = {
            "adapter": "The provider's wire format. “litellm” needs a worker of its own: “make run” starts it by "
            "itself within seconds, other installations run it as docs/operations.md says."
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["address"].initial = self.instance.base_url

    def clean_address(self) -> str:
        try:
            return checked_base_url(self.cleaned_data["address"], self.cleaned_data.get("adapter", ""))
        except ProviderAddressRefused as refused:
            raise forms.ValidationError(refused.detail) from refused

    def clean_key(self) -> str:
        try:
            return checked_key(self.cleaned_data["key"])
        except ProviderAddressRefused as refused:
            raise forms.ValidationError(refused.detail) from refused

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        given = self.cleaned_data
        try:
            checked_adapter(given.get("adapter", ""), given["tenant"].id if given.get("tenant") else None)
        except ProviderAddressRefused as refused:
            self.add_error("adapter", refused.detail)
        if given.get("key") and given.get("remove_key"):
            self.add_error("remove_key", "Either give a key or remove it.")
        moves = self.instance.base_url != given.get("address", self.instance.base_url)
        if self.instance.sealed_key and moves and not (given.get("key") or given.get("remove_key")):
            self.add_error("key", "The address changes, so give the key again.")
        return cleaned


admin_caches.register()


@admin.register(Provider)
class ProviderAdmin(CatalogueAdmin[Provider]):
    form = ProviderForm
    fields = ("tenant", "slug", "name", "adapter", "address", "key", "remove_key", "simulated", "enabled")
    list_display = ("name", "slug", "tenant", "base_url", "has_key", "simulated", "enabled")
    list_filter = ("enabled", "simulated")
    list_select_related = ("tenant",)
    search_fields = ("name", "slug")

    @admin.display(boolean=True, description="key")
    def has_key(self, provider: Provider) -> bool:
        return bool(provider.sealed_key)

    def save_model(self, request: HttpRequest, obj: Provider, form: Any, change: bool) -> None:
        obj.base_url = form.cleaned_data["address"]
        if form.cleaned_data["remove_key"]:
            obj.sealed_key = ""
        elif form.cleaned_data["key"]:
            obj.sealed_key = provider_keys.seal(obj.id, form.cleaned_data["key"])
        super().save_model(request, obj, form, change)

    def changed(self, form: Any) -> list[str]:
        columns = {"address": ["base_url"], "key": ["sealed_key"], "remove_key": ["sealed_key"]}
        return [column for name in form.changed_data for column in columns.get(name, [name])]

    def told(self, request: HttpRequest, row: Provider, form: Any) -> Mapping[str, Any]:
        if form.cleaned_data["remove_key"]:
            return {"key_removed": True}
        return {"key_given": True} if form.cleaned_data["key"] else {}


@admin.register(LanguageModel)
class LanguageModelAdmin(CatalogueAdmin[LanguageModel]):
    form = LanguageModelForm
    list_display = (
        "name",
        "slug",
        "tenant",
        "tier",
        "hue",
        "context_tokens",
        "max_output_tokens",
        "position",
        "enabled",
    )
    list_filter = ("enabled", "reasoning", "tier")
    list_select_related = ("tenant",)
    search_fields = ("name", "slug")
    fieldsets = (
        (None, {"fields": ("tenant", "slug", "name", "description", "kind", "enabled")}),
        ("In lists", {"fields": ("hue", "position", "tier")}),
        ("How much it reads and writes", {"fields": ("context_tokens", "max_output_tokens")}),
        ("What it can do", {"fields": ("reasoning", "tools", "vision", "json_schema", "prefill", "languages")}),
        ("How good and how safe it is", {"fields": ("strength", "safety_class")}),
        ("When it fails", {"fields": ("fallbacks",)}),
    )


@admin.register(RoutingPolicy)
class RoutingPolicyAdmin(PolicyColumns, CatalogueAdmin[RoutingPolicy]):
    """Names that people choose like a model's, and that choose among models for each question."""

    form = RoutingPolicyForm
    list_display = ("name", "slug", "tenant", "kind", "models_shown", "max_cost", "enabled")
    search_fields = ("name", "slug")
    list_filter = ("enabled", "kind")
    list_select_related = ("tenant",)
    fieldsets = (
        (None, {"fields": ("tenant", "slug", "name", "description", "enabled")}),
        ("In lists", {"fields": ("hue", "position")}),
        ("How it chooses", {"fields": ("kind", "models_chosen_from", "weights", "hard_from")}),
        ("What it leaves out or puts last", {"fields": ("safety_class", "max_cost_nanousd", "max_first_token_ms")}),
    )


@admin.register(Deployment)
class DeploymentAdmin(CatalogueAdmin[Deployment]):
    list_display = ("upstream_model", "model", "provider", "tenant", "region", "priority", "weight", "enabled")
    list_filter = ("enabled", "residency")
    list_select_related = ("model", "provider", "tenant")
    search_fields = ("upstream_model", "model__slug", "provider__slug")
    fieldsets = (
        (None, {"fields": ("tenant", "model", "provider", "upstream_model", "enabled")}),
        ("Where prompts are processed", {"fields": ("region", "residency")}),
        ("Its share of the traffic", {"fields": ("priority", "weight")}),
        ("Room in a pool of one's own", {"fields": ("max_parallel", "max_waiting")}),
        ("Where it offers less than the model can", {"fields": ("context_tokens", "max_output_tokens")}),
    )


@admin.register(Price)
class PriceAdmin(InDollars, CatalogueAdmin[Price]):
    """What deployments cost, in US dollars per million tokens."""

    list_display = ("deployment", "provider", "tenant", "input", "cached_input", "output", "free", "valid_from")
    list_select_related = ("deployment__provider", "tenant")
    search_fields = ("deployment__upstream_model",)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "deployment":
            field.queryset = Deployment.objects.using(ALIAS).select_related("provider").order_by("upstream_model")
            field.label_from_instance = lambda one: f"{one.upstream_model} at {one.provider.name}"
        return field

    @admin.display(description="provider")
    def provider(self, price: Price) -> str:
        return price.deployment.provider.name

    @admin.display(description="input, per million", ordering="input_nanousd_per_mtok")
    def input(self, price: Price) -> str | None:
        return shown(price.input_nanousd_per_mtok)

    @admin.display(description="cached input", ordering="cached_input_nanousd_per_mtok")
    def cached_input(self, price: Price) -> str | None:
        return shown(price.cached_input_nanousd_per_mtok)

    @admin.display(description="output, per million", ordering="output_nanousd_per_mtok")
    def output(self, price: Price) -> str | None:
        return shown(price.output_nanousd_per_mtok)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Lists yes, changes no."""
        return obj is None and super().has_change_permission(request, obj)


class OfferedAdmin(ScopedReadOnly[Row]):
    """The workspace's own part of the catalogue. It is changed by operators, who answer for where requests go."""

    view_action = Action.TENANT_CHANGE


@admin.register(Provider, site=manage)
class OwnProviderAdmin(OfferedAdmin[Provider]):
    list_display = ("name", "slug", "base_url", "has_key", "enabled")
    search_fields = ("name", "slug")
    fields = list_display

    @admin.display(boolean=True, description="key")
    def has_key(self, provider: Provider) -> bool:
        return bool(provider.sealed_key)


@admin.register(LanguageModel, site=manage)
class OwnModelAdmin(OfferedAdmin[LanguageModel]):
    list_display = ("name", "slug", "tier", "context_tokens", "max_output_tokens", "enabled")
    search_fields = ("name", "slug")
    fields = (
        *list_display,
        "description",
        "reasoning",
        "tools",
        "vision",
        "json_schema",
        "languages",
        "safety_class",
        "strength",
        "fallbacks",
    )


@admin.register(RoutingPolicy, site=manage)
class OwnPolicyAdmin(PolicyColumns, OfferedAdmin[RoutingPolicy]):
    list_display = ("name", "slug", "kind", "models_shown", "max_cost", "enabled")
    search_fields = ("name", "slug")
    fields = (
        "name",
        "slug",
        "description",
        "kind",
        "models_shown",
        "weights",
        "hard_from",
        "safety_class",
        "max_cost",
        "max_first_token_ms",
        "enabled",
    )
