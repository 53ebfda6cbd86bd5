"""Administration of quotas, and the ledger to look at."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest

from apps.billing import services
from apps.billing.models import LedgerEntry, Quota
from apps.tenants.admin_engine import ALIAS, EngineAdmin


@admin.register(Quota)
class QuotaAdmin(EngineAdmin[Quota]):
    """A row without a user is the tenant's own. Every process follows a change from its next admission on."""

    list_display = (
        "tenant",
        "user",
        "parallel_calls",
        "requests_per_minute",
        "budget_day_nanousd",
        "budget_month_nanousd",
    )
    list_select_related = ("tenant", "user")
    search_fields = ("tenant__slug", "user__email")
    autocomplete_fields = ("tenant", "user")

    def save_model(self, request: HttpRequest, obj: Quota, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        transaction.on_commit(lambda: services.limits_changed(obj.tenant_id), using=ALIAS)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(EngineAdmin[LedgerEntry]):
    """One line per provider attempt. Lines are appended by the system and changed by nobody."""

    list_display = (
        "created_at",
        "tenant",
        "user",
        "kind",
        "model",
        "provider",
        "input_tokens",
        "output_tokens",
        "amount_nanousd",
        "estimated",
    )
    list_filter = ("kind", "estimated", "provider")
    list_select_related = ("tenant", "user")
    search_fields = ("tenant__slug", "user__email", "model", "call_id", "attempt_id")
    ordering = ("-created_at", "-id")
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: LedgerEntry | None = None) -> bool:
        return False
