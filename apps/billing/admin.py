"""Administration of quotas, and the ledger to look at: for operators, and for a tenant's own administrators."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest

from apps.accounts.models import User
from apps.billing import services
from apps.billing.admin_amounts import InDollars, shown
from apps.billing.models import LedgerEntry, Quota
from apps.tenants.admin_changes import ALIAS
from apps.tenants.admin_engine import EngineAdmin, ReadOnlyAdmin
from apps.tenants.admin_scoped import ScopedAdmin, ScopedForm, ScopedReadOnly, caller
from apps.tenants.admin_sites import manage
from apps.tenants.policy import Action

_LIMITS = ("parallel_calls", "requests_per_minute", "budget_day_nanousd", "budget_month_nanousd")


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
    """A row without a user is the tenant's own. Every process follows a change from its next admission on."""

    list_display = ("tenant", "user", "parallel_calls", "requests_per_minute", "budget_day", "budget_month")
    list_select_related = ("tenant", "user")
    search_fields = ("tenant__slug", "user__email")
    autocomplete_fields = ("tenant", "user")
    fieldsets = (
        (None, {"fields": ("tenant", "user")}),
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
    """A person's limits stay within the workspace's own, which operators set."""

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        own = Quota.objects.filter(user=None).first()  # in the scope: the tenant's
        for name in _LIMITS:
            most, asked = getattr(own, name, None), self.cleaned_data.get(name)
            if most is not None and asked is not None and asked > most:
                told = shown(most) if name.endswith("_nanousd") else most
                self.add_error(name, forms.ValidationError(f"The workspace itself has {told}."))
        return cleaned


@admin.register(Quota, site=manage)
class MembersQuotaAdmin(_InDollars, ScopedAdmin[Quota]):
    """What single people may use. The row without a person is the workspace's own limit, and the operators' affair."""

    view_action, change_action = Action.USAGE_READ, Action.QUOTA_MANAGE
    adds = deletes = True
    form = MembersQuotaForm
    list_display = ("whose", "parallel_calls", "requests_per_minute", "budget_day", "budget_month")
    list_select_related = ("user",)
    search_fields = ("user__email",)
    fieldsets = (
        (None, {"fields": ("user",)}),
        ("Limits; an empty one is none", {"fields": _LIMITS}),
    )

    @admin.display(description="whose")
    def whose(self, quota: Quota) -> str:
        return quota.user.email if quota.user is not None else "the workspace"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.user_id is not None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.user_id is not None)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("user",) if obj is not None else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if "user" in form.base_fields:
            form.base_fields["user"].required = True
        return form

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        people = User.objects.filter(memberships__tenant_id=caller(request).tenant_id).order_by("email")
        return super().formfield_for_foreignkey(db_field, request, **{**kwargs, "queryset": people})

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
