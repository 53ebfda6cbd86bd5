"""Administration of quotas, and the ledger to look at: for operators, and for a tenant's own administrators."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.models import User
from apps.billing import services
from apps.billing.admin_amounts import InDollars, shown
from apps.billing.models import LedgerEntry, Quota
from apps.tenants.admin_changes import ALIAS
from apps.tenants.admin_engine import EngineAdmin, ReadOnlyAdmin
from apps.tenants.admin_scoped import ScopedAdmin, ScopedForm, ScopedReadOnly, caller
from apps.tenants.admin_sites import manage
from apps.tenants.models import ApiKey, Team
from apps.tenants.policy import Action

_LIMITS = (
    "parallel_calls",
    "requests_per_minute",
    "tokens_per_minute",
    "tokens_per_day",
    "tokens_per_month",
    "budget_day_nanousd",
    "budget_month_nanousd",
    "max_input_tokens",
    "max_output_tokens",
)
_WHOSE = ("team", "user", "api_key")


class _InDollars(InDollars):
    """Amounts in US dollars; a limit that is not set is a dash."""

    @admin.display(description="budget a day", ordering="budget_day_nanousd")
    def budget_day(self, quota: Quota) -> str | None:
        return shown(quota.budget_day_nanousd)

    @admin.display(description="budget a month", ordering="budget_month_nanousd")
    def budget_month(self, quota: Quota) -> str | None:
        return shown(quota.budget_month_nanousd)

    @admin.display(description="amount", ordering="amount_nanousd")
    def amount(self, entry: LedgerEntry) -> str | None:
        return shown(entry.amount_nanousd)


@admin.register(Quota)
class QuotaAdmin(_InDollars, EngineAdmin[Quota]):
    """A row that names nobody is the tenant's own. Every process follows a change from its next admission on."""

    list_display = (
        "tenant",
        "team",
        "user",
        "api_key",
        "parallel_calls",
        "requests_per_minute",
        "tokens_per_minute",
        "budget_day",
        "budget_month",
    )
    list_select_related = ("tenant", "team", "user", "api_key")
    search_fields = ("tenant__slug", "user__email", "team__name", "api_key__prefix")
    autocomplete_fields = ("tenant", "team", "user", "api_key")
    fieldsets = (
        (None, {"fields": ("tenant", *_WHOSE)}),
        ("Limits; an empty one is none", {"fields": _LIMITS}),
    )

    def save_model(self, request: HttpRequest, obj: Quota, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        transaction.on_commit(lambda: services.limits_changed(obj.tenant_id), using=ALIAS)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(_InDollars, ReadOnlyAdmin[LedgerEntry]):
    """One line per provider attempt. Lines are appended by the system and changed by nobody."""

    personal = True
    list_display = (
        "created_at",
        "tenant",
        "user",
        "kind",
        "model",
        "provider",
        "input_tokens",
        "output_tokens",
        "amount",
        "estimated",
    )
    list_filter = ("kind", "estimated", "provider")
    list_select_related = ("tenant", "user")
    search_fields = ("tenant__slug", "user__email", "model", "call_id", "attempt_id")
    ordering = ("-created_at", "-id")


class MembersQuotaForm(ScopedForm[Quota]):
    """Limits of a person, team or key stay within the workspace's own, which operators set."""

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if set(_WHOSE) & set(self.fields) and sum(self.cleaned_data.get(name) is not None for name in _WHOSE) != 1:
            self.add_error("user", forms.ValidationError("Name one person, or one team, or one API key."))
        own = Quota.objects.filter(user=None, team=None, api_key=None).first()  # in the scope: the tenant's
        for name in _LIMITS:
            most, asked = getattr(own, name, None), self.cleaned_data.get(name)
            if most is not None and asked is not None and asked > most:
                told = shown(most) if name.endswith("_nanousd") else most
                self.add_error(name, forms.ValidationError(f"The workspace itself has {told}."))
        return cleaned


def _is_somebodys(quota: Quota) -> bool:
    return not (quota.user_id is None and quota.team_id is None and quota.api_key_id is None)


@admin.register(Quota, site=manage)
class MembersQuotaAdmin(_InDollars, ScopedAdmin[Quota]):
    """What single people, teams and keys may use. The row that names none is the operators' affair."""

    view_action, change_action = Action.USAGE_READ, Action.QUOTA_MANAGE
    adds = deletes = True
    form = MembersQuotaForm
    list_display = ("whose", "parallel_calls", "requests_per_minute", "budget_day", "budget_month")
    list_select_related = ("user", "team", "api_key")
    search_fields = ("user__email", "team__name", "api_key__name")
    fieldsets = (
        (None, {"fields": _WHOSE}),
        ("Limits; an empty one is none", {"fields": _LIMITS}),
    )

    @admin.display(description="whose")
    def whose(self, quota: Quota) -> str:
        if quota.team is not None:
            return f"team {quota.team.name}"
        if quota.api_key is not None:
            return f"key {quota.api_key.name} ({quota.api_key})"
        return quota.user.email if quota.user is not None else "the workspace"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or _is_somebodys(obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or _is_somebodys(obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return _WHOSE if obj is not None else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        tenant_id = caller(request).tenant_id
        offered: dict[str, QuerySet[Any]] = {
            "user": User.objects.filter(memberships__tenant_id=tenant_id).order_by("email"),
            "team": Team.objects.filter(tenant_id=tenant_id).order_by("name"),
            "api_key": ApiKey.objects.filter(tenant_id=tenant_id, revoked_at=None).order_by("name", "id"),
        }
        return super().formfield_for_foreignkey(db_field, request, **{**kwargs, "queryset": offered[db_field.name]})

    def save_model(self, request: HttpRequest, obj: Quota, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        self._follow(obj)

    def delete_model(self, request: HttpRequest, obj: Quota) -> None:
        super().delete_model(request, obj)
        self._follow(obj)

    def _follow(self, quota: Quota) -> None:
        transaction.on_commit(lambda: services.limits_changed(quota.tenant_id))


@admin.register(LedgerEntry, site=manage)
class OwnLedgerAdmin(_InDollars, ScopedReadOnly[LedgerEntry]):
    """What the workspace used, one line per call of a provider."""

    view_action = Action.USAGE_READ
    personal = True
    list_display = ("created_at", "person", "model", "input_tokens", "output_tokens", "amount", "estimated")
    list_filter = ("estimated",)
    list_select_related = ("user",)
    search_fields = ("user__email", "model")
    ordering = ("-created_at", "-id")
    fields = (*list_display, "cached_tokens", "cache_write_tokens", "reasoning_tokens", "call_id")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(kind=LedgerEntry.Kind.CHARGE)

    @admin.display(description="person", ordering="user__email")
    def person(self, entry: LedgerEntry) -> str:
        return entry.user.email
