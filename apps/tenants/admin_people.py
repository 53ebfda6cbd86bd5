"""People, and how they sign in, for operators: global tables, read and written as `engine`."""

from functools import partial
from importlib import import_module
from typing import Any

from allauth.account.models import EmailAddress
from allauth.idp.oidc.adapter import get_adapter
from allauth.idp.oidc.models import Client
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import admin, messages
from django.db import models, transaction
from django.http import HttpRequest

from apps.accounts.models import User
from apps.tenants import epochs
from apps.tenants.admin_changes import ALIAS
from apps.tenants.admin_engine import EngineAdmin, ReadOnlyAdmin
from apps.tenants.models import Membership


@admin.register(User)
class UserAdmin(EngineAdmin[User]):
    """People sign up by themselves or are made by command; here they are renamed and switched off."""

    personal = True
    list_display = ("email", "name", "is_active", "is_staff", "last_login", "created_at")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")
    readonly_fields = ("email", "last_login", "created_at")
    ordering = ("-created_at",)
    fieldsets = (
        (None, {"fields": ("email", "name", "is_active")}),
        ("Operator of the installation", {"fields": ("is_staff", "is_superuser")}),
        ("Times", {"fields": ("last_login", "created_at")}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "is_active" in form.changed_data:
            # Their keys are refused from the next admission on, wherever they are known.
            for tenant_id in Membership.objects.using(ALIAS).filter(user_id=obj.id).values_list("tenant_id", flat=True):
                transaction.on_commit(partial(epochs.rights_changed, tenant_id, obj.id), using=ALIAS)


class _TakenAway(EngineAdmin[Any]):
    """Rows that their person makes; an operator may look, and take them away."""

    personal = True
    list_select_related = ("user",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return True


@admin.register(Authenticator)
class AuthenticatorAdmin(_TakenAway):
    """Second factors, for people who have lost theirs. What they consist of is shown to nobody."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    search_fields = ("user__email",)
    fields = list_display


@admin.register(UserSession)
class UserSessionAdmin(_TakenAway):
    """Browsers that are signed in. Removing one signs it out; its key is shown to nobody."""

    list_display = ("user", "ip", "user_agent", "created_at", "last_seen_at")
    search_fields = ("user__email", "ip")
    fields = list_display
    ordering = ("-last_seen_at",)

    def delete_model(self, request: HttpRequest, obj: UserSession) -> None:
        super().delete_model(request, obj)
        store = import_module(settings.SESSION_ENGINE).SessionStore
        transaction.on_commit(lambda: store(obj.session_key).delete(), using=ALIAS)


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin[Any]):
    personal = True
    list_display = ("email", "user", "verified", "primary")
    list_filter = ("verified", "primary")
    list_select_related = ("user",)
    search_fields = ("email", "user__email")
    fields = list_display


@admin.register(SocialAccount)
class SocialAccountAdmin(ReadOnlyAdmin[Any]):
    """Which accounts at companies' providers belong to whom."""

    personal = True
    list_select_related = ("user",)
    list_display = ("user", "provider", "uid", "last_login", "date_joined")
    list_filter = ("provider",)
    search_fields = ("user__email", "uid")
    fields = list_display


@admin.register(Client)
class ClientAdmin(EngineAdmin[Any]):
    """Programs that people may sign in to with their account here. A secret is shown once, when it is made."""

    list_display = ("name", "id", "type", "owner", "skip_consent", "created_at")
    list_filter = ("type", "skip_consent")
    list_select_related = ("owner",)
    search_fields = ("id", "name")
    autocomplete_fields = ("owner",)
    fields = (
        "name",
        "type",
        "grant_types",
        "response_types",
        "redirect_uris",
        "scopes",
        "default_scopes",
        "owner",
        "skip_consent",
    )

    def save_model(self, request: HttpRequest, obj: Client, form: Any, change: bool) -> None:
        secret = None
        if not change and obj.type == Client.Type.CONFIDENTIAL:
            secret = get_adapter().generate_client_secret()
            obj.set_secret(secret)
        super().save_model(request, obj, form, change)
        if secret is not None:
            messages.warning(request, f"The program's secret, shown this once: {secret}")

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return True
