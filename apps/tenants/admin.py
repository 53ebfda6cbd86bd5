"""Administration of tenants and what belongs to them, for operators."""

from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.problems import Problem
from apps.tenants import (
    admin_people,  # noqa: F401 - registers people and their ways of signing in
    admin_tenant,  # noqa: F401 - registers the tenants' own administration
    epochs,
    services,
)
from apps.tenants.admin_changes import ALIAS, operator
from apps.tenants.admin_engine import BaseForm, EngineAdmin, EngineForm, EngineInline, ReadOnlyAdmin, log_operation
from apps.tenants.models import (
    ApiKey,
    AuditEntry,
    Flag,
    IdentityProvider,
    Invitation,
    Membership,
    ModelRule,
    ProvisionedUser,
    RefreshToken,
    Team,
    TeamMember,
    Tenant,
)


@admin.register(Tenant)
class TenantAdmin(EngineAdmin[Tenant]):
    list_display = ("name", "slug", "plan", "status", "requires_second_factor", "created_at")
    list_filter = ("plan", "status", "requires_second_factor")
    search_fields = ("name", "slug")
    readonly_fields = ("created_at",)
    ordering = ("-created_at",)
    fieldsets = (
        (None, {"fields": ("name", "slug", "plan", "status")}),
        (
            "What its people may use, and how they sign in",
            {"fields": ("allowed_models", "residency", "requires_second_factor")},
        ),
        (
            "What its answers may be",
            {"fields": ("max_output_tokens", "max_first_token_ms", "max_tokens_per_second", "summaries")},
        ),
        ("Times", {"fields": ("created_at", "deleted_at")}),
    )

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        transaction.on_commit(lambda: epochs.passed(obj.id), using=ALIAS)


@admin.register(Membership)
class MembershipAdmin(EngineAdmin[Membership]):
    """Roles are given and taken here; who is to leave is off-boarded by the action, which ends all they hold."""

    personal = True
    list_display = ("user", "tenant", "role", "created_at", "suspended_at")
    list_filter = ("role", ("suspended_at", admin.EmptyFieldListFilter))
    list_select_related = ("user", "tenant")
    search_fields = ("user__email", "tenant__slug")
    autocomplete_fields = ("user", "tenant")
    fields = ("tenant", "user", "role")
    actions = ("off_board",)

    def has_delete_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        return True

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> tuple[str, ...]:
        return ("tenant", "user") if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        _look_again(obj)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        _look_again(obj)
        super().delete_model(request, obj)

    @admin.action(description="Off-board: suspend, and end keys, sign-ins and answers", permissions=["change"])
    def off_board(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for membership_id in queryset.values_list("id", flat=True):
            try:
                services.offboard(operator(request), membership_id)
            except Problem as refused:
                messages.error(request, refused.detail)
            else:
                messages.success(request, "Off-boarded.")


def _look_again(membership: Membership) -> None:
    """After the commit, what the person has open is asked for its right again."""
    whose = membership.tenant_id, membership.user_id
    transaction.on_commit(lambda: epochs.rights_changed(*whose), using=ALIAS)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin[ApiKey]):
    """Keys are looked at and revoked; their secrets are nowhere."""

    personal = True
    list_display = ("prefix", "name", "user", "tenant", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    list_select_related = ("user", "tenant", "team")
    search_fields = ("prefix", "name", "user__email", "tenant__slug", "team__name")
    fields = (*list_display, "rotated_at", "scopes", "allowed_models", "team")
    actions = ("revoke",)
    ordering = ("-created_at",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and getattr(request.user, "is_superuser", False))

    @admin.action(description="Revoke the chosen keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        revoked = services.revoke_api_keys_as_operator(list(queryset.values_list("id", flat=True)), operator(request))
        log_operation(request, queryset, "Revoked.")
        messages.success(request, f"Revoked: {revoked}. Processes that know a key refuse it within two seconds.")


class TeamMemberInline(EngineInline[TeamMember]):
    """Tenants put people into their teams; an operator sees who is in, and may take somebody out."""

    model = TeamMember
    fields = readonly_fields = ("person", "created_at")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("membership__user")

    @admin.display(description="person")
    def person(self, row: TeamMember) -> str:
        return row.membership.user.email

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Team)
class TeamAdmin(EngineAdmin[Team]):
    list_display = ("name", "tenant", "provisioned", "created_at")
    list_filter = ("provisioned",)
    list_select_related = ("tenant",)
    search_fields = ("name", "tenant__slug", "external_id")
    autocomplete_fields = ("tenant",)
    fields = ("tenant", "name", "external_id", "provisioned")
    inlines = (TeamMemberInline,)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        _tell(form.instance)

    def delete_model(self, request: HttpRequest, obj: Team) -> None:
        super().delete_model(request, obj)
        _tell(obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Team | None = None) -> tuple[str, ...]:
        return ("tenant",) if obj is not None else ()

    def has_delete_permission(self, request: HttpRequest, obj: Team | None = None) -> bool:
        return True


def _tell(team: Team) -> None:
    """After the commit, processes forget whom its limits apply to, and the keys of who left it."""
    transaction.on_commit(partial(epochs.passed, team.tenant_id), using=ALIAS)


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin[Invitation]):
    personal = True
    list_display = ("email", "tenant", "role", "invited_by", "created_at", "expires_at", "accepted_at", "revoked_at")
    list_filter = ("role",)
    list_select_related = ("tenant", "invited_by")
    search_fields = ("email", "tenant__slug")
    fields = list_display
    ordering = ("-created_at",)


class RuleForm(EngineForm[ModelRule]):
    """Roles and teams are chosen by name."""

    roles = forms.MultipleChoiceField(
        choices=Membership.Role.choices, required=False, widget=forms.CheckboxSelectMultiple
    )
    teams = forms.ModelMultipleChoiceField(
        queryset=Team.objects.none(), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("teams")
        if isinstance(field, forms.ModelMultipleChoiceField):
            field.queryset = Team.objects.using(ALIAS).filter(tenant_id=self.instance.tenant_id).order_by("name")

    def clean_teams(self) -> list[UUID]:
        return sorted(team.id for team in self.cleaned_data["teams"])


@admin.register(ModelRule)
class ModelRuleAdmin(EngineAdmin[ModelRule]):
    form = RuleForm
    list_display = ("tier", "tenant", "for_roles", "for_teams")
    list_select_related = ("tenant",)
    search_fields = ("tier", "tenant__slug")
    autocomplete_fields = ("tenant",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Teams are those of the rule's tenant, so there must be one first."""
        return ("tenant", "tier", "roles", "teams") if obj is not None else ("tenant", "tier", "roles")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("tenant",) if obj is not None else ()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in RuleForm.declared_fields:
            return RuleForm.declared_fields[db_field.name]
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description="roles")
    def for_roles(self, rule: ModelRule) -> str:
        return ", ".join(str(Membership.Role(role).label) for role in rule.roles if role in Membership.Role.values)

    @admin.display(description="teams")
    def for_teams(self, rule: ModelRule) -> int:
        return len(rule.teams)

    def has_delete_permission(self, request: HttpRequest, obj: ModelRule | None = None) -> bool:
        return True


@admin.register(IdentityProvider)
class IdentityProviderAdmin(EngineAdmin[IdentityProvider]):
    """Tenants set their sign-in up themselves, because its secret is theirs; here it is looked at and switched off."""

    list_display = ("name", "tenant", "kind", "issuer", "default_role", "enabled")
    list_filter = ("kind", "enabled")
    list_select_related = ("tenant",)
    search_fields = ("name", "slug", "issuer", "tenant__slug")
    fields = ("tenant", "name", "slug", "kind", "issuer", "directory_id", "client_id", "default_role", "enabled")
    readonly_fields = fields[:-1]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(ProvisionedUser)
class ProvisionedUserAdmin(ReadOnlyAdmin[ProvisionedUser]):
    personal = True
    list_display = ("user_name", "tenant", "external_id", "created_at", "changed_at")
    list_select_related = ("tenant",)
    search_fields = ("user_name", "external_id", "tenant__slug")
    fields = (*list_display, "attributes")


@admin.register(RefreshToken)
class RefreshTokenAdmin(ReadOnlyAdmin[RefreshToken]):
    """Programs' sign-ins; the last link of each family is the one in use."""

    personal = True
    list_display = ("client", "user", "tenant", "issued_at", "expires_at", "used_at", "revoked_at")
    list_select_related = ("user", "tenant")
    search_fields = ("client", "user__email", "tenant__slug", "family")
    fields = (*list_display, "family")
    ordering = ("-issued_at",)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    """Who did what. Looking at it is told in it."""

    personal = True
    list_display = ("at", "tenant", "actor", "via", "action", "target_kind", "target_id", "address")
    list_filter = ("via", "at")
    list_select_related = ("tenant",)
    search_fields = ("actor", "action", "target_id", "tenant__slug", "request_id")
    fields = ("tenant", "seq", *list_display[:1], *list_display[2:], "actor_id", "request_id", "data")
    ordering = ("-at", "-seq")


def _tenants(count: int) -> str | None:
    return f"{count} tenant{'' if count == 1 else 's'}" if count else None


class FlagForm(EngineForm[Flag]):
    """The tenants of a flag are chosen by name."""

    tenants = forms.ModelMultipleChoiceField(queryset=Tenant.objects.none(), required=False, label="On for")
    off_for = forms.ModelMultipleChoiceField(
        queryset=Tenant.objects.none(), required=False, label="Off for", help_text="Whatever the rest says."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("tenants", "off_for"):
            field = self.fields[name]
            assert isinstance(field, forms.ModelMultipleChoiceField)  # noqa: S101 - declared above
            field.queryset = Tenant.objects.using(ALIAS).filter(deleted_at=None).order_by("name")

    def clean_tenants(self) -> list[UUID]:
        return sorted(tenant.id for tenant in self.cleaned_data["tenants"])

    def clean_off_for(self) -> list[UUID]:
        return sorted(tenant.id for tenant in self.cleaned_data["off_for"])


@admin.register(Flag)
class FlagAdmin(EngineAdmin[Flag]):
    """A feature that is on for nobody, for everybody, for all but some tenants, for some, or for a part of them."""

    form = FlagForm
    list_display = ("name", "note", "everyone", "on_for", "not_for", "percent", "modified")
    search_fields = ("name", "note")
    fields = ("name", "note", "everyone", "tenants", "off_for", "percent")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[BaseForm[Flag]]:
        form: type[BaseForm[Flag]] = super().get_form(request, obj, change=change, **kwargs)
        form.base_fields["percent"].help_text = "Of the tenants, from 0.0 to 99.9. A tenant is always on the same side."
        everyone = form.base_fields["everyone"]
        everyone.help_text = "All tenants but those that are named under “Off for”."
        everyone.widget.choices = [("unknown", "As said below"), ("true", "On"), ("false", "Off")]
        return form

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in FlagForm.declared_fields:
            return FlagForm.declared_fields[db_field.name]
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description="on for")
    def on_for(self, flag: Flag) -> str | None:
        return _tenants(len(flag.tenants))

    @admin.display(description="off for")
    def not_for(self, flag: Flag) -> str | None:
        return _tenants(len(flag.off_for))

    def changed(self, form: Any) -> list[str]:
        return [*super().changed(form), "modified"]

    def has_delete_permission(self, request: HttpRequest, obj: Flag | None = None) -> bool:
        return True
