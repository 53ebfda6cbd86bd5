"""A tenant's own administration of its people, teams, rules, keys and records."""

from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.tenants import epochs, membership, services
from apps.tenants.admin_scoped import ScopedAdmin, ScopedForm, ScopedInline, ScopedReadOnly, caller
from apps.tenants.admin_sites import afterwards, manage
from apps.tenants.models import (
    ApiKey,
    AuditEntry,
    Flag,
    IdentityProvider,
    Instruction,
    Invitation,
    Membership,
    ModelRule,
    Team,
    TeamMember,
    Tenant,
)
from apps.tenants.policy import Action, Role, allows


@admin.register(Tenant, site=manage)
class OwnTenantAdmin(ScopedAdmin[Tenant]):
    """The workspace itself. Plan, status, offered models, residency and pace are the operators' affair."""

    view_action, change_action = Action.TENANT_READ, Action.TENANT_CHANGE
    tenant_lookup = "id"
    list_display = ("name", "slug", "plan", "requires_second_factor", "created_at")
    fields = (
        "name",
        "slug",
        "plan",
        "offered",
        "processed",
        "instructions",
        "max_output_tokens",
        "summaries",
        "max_first_token_ms",
        "max_tokens_per_second",
        "requires_second_factor",
        "created_at",
    )
    readonly_fields = ("slug", "plan", "offered", "processed", "instructions", "max_tokens_per_second", "created_at")

    @admin.display(description="what every model is told")
    def instructions(self, tenant: Tenant) -> str:
        row = Instruction.objects.filter(tenant_id=tenant.id, user__isnull=True).first()
        return (row.text if row else "") or "nothing; it is written under Settings"

    @admin.display(description="models")
    def offered(self, tenant: Tenant) -> str:
        return ", ".join(tenant.allowed_models or []) or "every model that is offered to it"

    @admin.display(description="where prompts are processed")
    def processed(self, tenant: Tenant) -> str:
        return ", ".join(tenant.residency) or "anywhere"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect(reverse("manage:tenants_tenant_change", args=[caller(request).tenant_id]))


class MemberForm(ScopedForm[Membership]):
    """Says before saving what the service would refuse: roles above the caller's own, and the caller's own role."""

    givers_role: str = ""
    givers_id: UUID | None = None

    def clean_role(self) -> str:
        role: str = self.cleaned_data["role"]
        if role == self.instance.role:
            return role
        if Role.OWNER in (role, self.instance.role) and not allows(self.givers_role, Action.TENANT_TRANSFER):
            raise forms.ValidationError("Only an owner makes owners, and changes their role.")
        if self.instance.user_id == self.givers_id:
            raise forms.ValidationError("Nobody changes their own role.")
        return role


@admin.register(Membership, site=manage)
class MemberAdmin(ScopedAdmin[Membership]):
    """People come in by invitation; here their role is changed, and they are off-boarded."""

    view_action, change_action = Action.MEMBERS_READ, Action.MEMBERS_MANAGE
    form = MemberForm
    personal = True
    list_display = ("email", "name", "role", "created_at", "suspended_at")
    list_filter = ("role", ("suspended_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("user__email", "user__name")
    ordering = ("user__email",)
    fields = ("email", "name", "role", "created_at", "suspended_at")
    readonly_fields = ("email", "name", "created_at", "suspended_at")
    actions = ("off_board",)

    @admin.display(description="e-mail address", ordering="user__email")
    def email(self, member: Membership) -> str:
        return member.user.email

    @admin.display(ordering="user__name")
    def name(self, member: Membership) -> str:
        return member.user.name

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        form.givers_role, form.givers_id = caller(request).role, caller(request).user_id
        role = form.base_fields.get("role")
        if role is not None and not allows(caller(request).role, Action.TENANT_TRANSFER):
            kept = obj.role if obj is not None else None
            role.choices = [one for one in role.choices if one[0] != Role.OWNER or kept == Role.OWNER]
        return form

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        """By the one service that changes roles, in a transaction of its own."""
        if "role" in form.changed_data:
            afterwards(request, partial(membership.change_role, caller(request), obj.pk, obj.role))

    @admin.action(description="Off-board: suspend, and end keys, sign-ins and answers", permissions=["change"])
    def off_board(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for member in queryset.select_related("user"):
            afterwards(request, partial(self._suspend, request, member.pk, member.user.email))

    def _suspend(self, request: HttpRequest, membership_id: UUID, email: str) -> None:
        membership.suspend(caller(request), membership_id)
        messages.success(request, f"Off-boarded: {email}.")

    def response_change(self, request: HttpRequest, obj: Membership) -> HttpResponse:
        """Whether it was done is known after the page's own transaction."""
        afterwards(request, partial(messages.success, request, f"Saved: {self.email(obj)}."))
        return redirect("manage:tenants_membership_changelist")


class TeamMemberInline(ScopedInline[TeamMember]):
    model = TeamMember
    view_action, change_action = Action.TEAMS_READ, Action.TEAMS_MANAGE
    adds = deletes = True
    fields = ("membership",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # somebody is put in or taken out

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request).filter(tenant_id=caller(request).tenant_id)
        return rows.select_related("membership__user")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        people = Membership.objects.filter(tenant_id=caller(request).tenant_id, suspended_at=None)
        field: Any = super().formfield_for_foreignkey(
            db_field, request, **{**kwargs, "queryset": people.select_related("user").order_by("user__email")}
        )
        if field is not None:
            field.label_from_instance = lambda member: member.user.email
        return field


@admin.register(Team, site=manage)
class OwnTeamAdmin(ScopedAdmin[Team]):
    """Groups of people that rules may name. Those a directory keeps are changed there."""

    view_action, change_action = Action.TEAMS_READ, Action.TEAMS_MANAGE
    adds = deletes = True
    list_display = ("name", "provisioned", "created_at")
    list_filter = ("provisioned",)
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "provisioned")
    readonly_fields = ("provisioned",)
    inlines = (TeamMemberInline,)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        # Processes forget whom its limits apply to, and the keys of who left it.
        afterwards(request, partial(epochs.passed, caller(request).tenant_id))

    def delete_model(self, request: HttpRequest, obj: Team) -> None:
        super().delete_model(request, obj)
        afterwards(request, partial(epochs.passed, caller(request).tenant_id))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj is not None and obj.provisioned)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.provisioned)


@admin.register(Invitation, site=manage)
class OwnInvitationAdmin(ScopedReadOnly[Invitation]):
    """Open and past invitations. They are sent and withdrawn under Settings, where the link is made."""

    view_action = Action.MEMBERS_MANAGE
    list_display = ("email", "role", "created_at", "expires_at", "accepted_at", "revoked_at")
    list_filter = ("role",)
    search_fields = ("email",)
    ordering = ("-created_at",)
    fields = list_display


class RuleForm(ScopedForm[ModelRule]):
    roles = forms.MultipleChoiceField(
        choices=Membership.Role.choices, required=False, widget=forms.CheckboxSelectMultiple
    )
    teams = forms.ModelMultipleChoiceField(
        queryset=Team.objects.none(), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        teams = self.fields.get("teams")
        if isinstance(teams, forms.ModelMultipleChoiceField):
            teams.queryset = Team.objects.order_by("name")  # in the scope: the tenant's own

    def clean_teams(self) -> list[Any]:
        return sorted(team.id for team in self.cleaned_data["teams"])


@admin.register(ModelRule, site=manage)
class OwnRuleAdmin(ScopedAdmin[ModelRule]):
    """Who may use the models of a tier. A tier without a rule is open to everybody who may ask."""

    view_action, change_action = Action.RULES_READ, Action.RULES_MANAGE
    adds = deletes = True
    form = RuleForm
    list_display = ("tier", "for_roles", "for_teams")
    search_fields = ("tier",)
    fields = ("tier", "roles", "teams")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in RuleForm.declared_fields:
            return RuleForm.declared_fields[db_field.name]
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("tier",) if obj is not None else ()

    def save_model(self, request: HttpRequest, obj: ModelRule, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        afterwards(request, partial(epochs.passed, obj.tenant_id))

    def delete_model(self, request: HttpRequest, obj: ModelRule) -> None:
        super().delete_model(request, obj)
        afterwards(request, partial(epochs.passed, obj.tenant_id))

    @admin.display(description="roles")
    def for_roles(self, rule: ModelRule) -> str:
        return ", ".join(str(Membership.Role(role).label) for role in rule.roles if role in Membership.Role.values)

    @admin.display(description="teams")
    def for_teams(self, rule: ModelRule) -> int:
        return len(rule.teams)


@admin.register(ApiKey, site=manage)
class OwnKeyAdmin(ScopedReadOnly[ApiKey]):
    """The workspace's keys. Their secrets are nowhere."""

    view_action = Action.KEYS_OF_OTHERS
    personal = True
    list_display = ("prefix", "name", "person", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    list_select_related = ("user",)
    search_fields = ("prefix", "name", "user__email", "team__name")
    ordering = ("-created_at",)
    fields = (*list_display, "rotated_at", "scopes", "allowed_models", "team")
    actions = ("revoke",)

    @admin.display(description="speaks for", ordering="user__email")
    def person(self, key: ApiKey) -> str:
        return key.user.email

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return allows(caller(request).role, Action.KEYS_OF_OTHERS)

    @admin.action(description="Revoke the chosen keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        principal = caller(request)
        for key in queryset:
            afterwards(request, partial(services.revoke_api_key, principal, key.id))
            messages.success(request, f"Revoked: {key.prefix}. Processes that know it refuse it within two seconds.")


@admin.register(IdentityProvider, site=manage)
class OwnIdentityProviderAdmin(ScopedReadOnly[IdentityProvider]):
    """The company's own sign-in, as it stands. It is changed under Settings, where its secret is asked for."""

    view_action = Action.IDENTITY_MANAGE
    list_display = ("name", "kind", "issuer", "default_role", "enabled")
    fields = (*list_display, "slug", "directory_id", "client_id", "created_at")


@admin.register(AuditEntry, site=manage)
class OwnAuditAdmin(ScopedReadOnly[AuditEntry]):
    """Who did what in this workspace. Looking at it is told in it."""

    view_action = Action.AUDIT_READ
    personal = True
    list_display = ("at", "actor", "via", "action", "target_kind", "target_id", "address")
    list_filter = ("via", "at")
    search_fields = ("actor", "action", "target_id", "request_id")
    ordering = ("-seq",)
    fields = ("seq", *list_display, "request_id", "data")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "target_id" or super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]


@admin.register(Flag, site=manage)
class OwnFlagAdmin(ScopedReadOnly[Flag]):
    """Features in trial, and whether they are on here. For whom else they are on is nobody's business here."""

    view_action = Action.TENANT_READ
    list_display_links = None
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "note")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Flag]:
        return admin.ModelAdmin.get_queryset(self, request)  # flags belong to the installation

    def get_list_display(self, request: HttpRequest) -> Any:
        tenant_id = caller(request).tenant_id

        @admin.display(boolean=True, description="on here")
        def on_here(flag: Flag) -> bool:
            return flag.is_on_for(tenant_id)

        return ("name", "note", on_here)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> None:
        return None  # the list says all there is
