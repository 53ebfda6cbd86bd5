"""Administration of people, tenants, memberships and API keys, for operators."""

from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.models import User
from apps.tenants import services
from apps.tenants.admin_engine import EngineAdmin, log_operation
from apps.tenants.audit import Actor
from apps.tenants.models import ApiKey, Membership, Tenant

admin.site.unregister(Group)  # roles are memberships; Django's groups are not used


@admin.register(User)
class UserAdmin(EngineAdmin[User]):
    """People sign up by themselves or are made by command; here they are renamed and switched off."""

    list_display = ("email", "name", "is_active", "is_staff", "last_login", "created_at")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")
    fields = ("email", "name", "is_active", "is_staff", "is_superuser", "last_login", "created_at")
    readonly_fields = ("email", "last_login", "created_at")
    ordering = ("-created_at",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Tenant)
class TenantAdmin(EngineAdmin[Tenant]):
    list_display = ("name", "slug", "plan", "status", "created_at")
    list_filter = ("plan", "status")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "plan", "status", "allowed_models", "deleted_at", "created_at")
    readonly_fields = ("created_at",)
    ordering = ("-created_at",)


@admin.register(Membership)
class MembershipAdmin(EngineAdmin[Membership]):
    list_display = ("user", "tenant", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "tenant")
    search_fields = ("user__email", "tenant__slug")
    autocomplete_fields = ("user", "tenant")
    fields = ("tenant", "user", "role")

    def has_delete_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        return True

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> tuple[str, ...]:
        return ("tenant", "user") if obj is not None else ()


@admin.register(ApiKey)
class ApiKeyAdmin(EngineAdmin[ApiKey]):
    """Keys are looked at and revoked; their secrets are nowhere."""

    list_display = ("prefix", "name", "user", "tenant", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_select_related = ("user", "tenant")
    search_fields = ("prefix", "name", "user__email", "tenant__slug")
    fields = list_display
    actions = ("revoke",)
    ordering = ("-created_at",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    @admin.action(description="Revoke the chosen keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        revoked = services.revoke_api_keys_as_operator(
            list(queryset.values_list("id", flat=True)), Actor(request.user.pk, request.user.email, "admin")
        )
        log_operation(request, queryset, "Revoked.")
        messages.success(request, f"Revoked: {revoked}. Processes that know a key refuse it within two seconds.")
