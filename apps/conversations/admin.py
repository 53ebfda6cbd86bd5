"""What an operator may see of chats: workers and generations, never a word that was said."""

from django.contrib import admin
from django.http import HttpRequest

from apps.conversations.models import Generation, Worker
from apps.tenants.admin_engine import EngineAdmin


@admin.register(Worker)
class WorkerAdmin(EngineAdmin[Worker]):
    """Living workers; a row whose lease has run out is gone within a second."""

    list_display = ("name", "slots", "started_at", "lease_until")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Worker | None = None) -> bool:
        return False


@admin.register(Generation)
class GenerationAdmin(EngineAdmin[Generation]):
    """Where answers stand and why they failed."""

    list_display = (
        "queued_at",
        "tenant",
        "model_slug",
        "state",
        "fence",
        "claims",
        "finish_reason",
        "error_code",
        "cost_nanousd",
    )
    list_filter = ("state",)
    list_select_related = ("tenant",)
    search_fields = ("id", "tenant__slug", "model_slug", "error_code")
    ordering = ("-queued_at",)
    show_full_result_count = False
    fields = (
        "id",
        "tenant",
        "user",
        "model_slug",
        "state",
        "fence",
        "claims",
        "queued_at",
        "started_at",
        "finished_at",
        "deadline_at",
        "finish_reason",
        "error_code",
        "error_message",
        "usage",
        "cost_nanousd",
        "route",
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Generation | None = None) -> bool:
        return False
