"""What an operator may see of chats: workers and generations, never a word that was said."""

from django.contrib import admin

from apps.billing.admin_amounts import shown
from apps.conversations.models import Generation, Worker
from apps.tenants.admin_engine import ReadOnlyAdmin


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin[Worker]):
    """Living workers; a row whose lease has run out is gone within a second."""

    list_display = ("name", "slots", "started_at", "lease_until")


@admin.register(Generation)
class GenerationAdmin(ReadOnlyAdmin[Generation]):
    """Where answers stand and why they failed."""

    personal = True
    list_display = (
        "queued_at",
        "tenant",
        "model_slug",
        "state",
        "fence",
        "claims",
        "finish_reason",
        "error_code",
        "cost",
    )
    list_filter = ("state", "kind", "queue")
    list_select_related = ("tenant",)
    search_fields = ("id", "tenant__slug", "model_slug", "error_code")
    ordering = ("-queued_at",)
    fields = (
        "id",
        "tenant",
        "user",
        "kind",
        "model_slug",
        "state",
        "queue",
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
        "cost",
        "route",
    )

    @admin.display(description="cost", ordering="cost_nanousd")
    def cost(self, generation: Generation) -> str | None:
        return shown(generation.cost_nanousd)
