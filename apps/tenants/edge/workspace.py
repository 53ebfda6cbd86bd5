"""Pages of a workspace: its members, invitations, teams and rules, and entering it by an invitation."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import auth, messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts.contracts import MAX_PASSWORD
from apps.problems import NotFound, Problem
from apps.tenants import membership, selectors, teams
from apps.tenants.contracts import SESSION_TENANT, Principal
from apps.tenants.edge.entering import enter
from apps.tenants.edge.invitations import invitation_address, send
from apps.tenants.edge.pages import person_required, show_problem
from apps.tenants.edge.throttle import SIGN_UP
from apps.tenants.policy import Action, Role, allows, opens, public

ROLE_NAMES = {role.value: role.value.replace("_", " ").capitalize() for role in Role}
_ROLE_CHOICES = list(ROLE_NAMES.items())
# What each role may do, in a few words.
ROLE_WORDS = {
    Role.OWNER.value: "Everything, and hands the workspace over",
    Role.ADMIN.value: "Members, teams, rules, keys, sign-in and audit",
    Role.BILLING_ADMIN.value: "Asks models; sees usage and sets limits",
    Role.MEMBER.value: "Asks models; makes keys of their own",
    Role.VIEWER.value: "Reads; asks nothing",
}


class InvitationForm(forms.Form):
    email = forms.EmailField(label="E-mail", max_length=254)
    role = forms.ChoiceField(label="Role", choices=_ROLE_CHOICES, initial=Role.MEMBER.value)


class WorkspaceForm(forms.Form):
    name = forms.CharField(label="Name", max_length=teams.MAX_NAME)
    requires_second_factor = forms.BooleanField(label="Every member needs a second factor", required=False)


class TeamForm(forms.Form):
    name = forms.CharField(label="Name", max_length=teams.MAX_NAME)


class JoinForm(forms.Form):
    name = forms.CharField(label="Your name", max_length=120)
    password = forms.CharField(label="Password", max_length=MAX_PASSWORD, strip=False, widget=forms.PasswordInput)


@opens(GET=Action.MEMBERS_READ, POST=Action.MEMBERS_MANAGE)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def members(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Who belongs here; invite somebody. An invitation's link is on the answering page and nowhere else."""
    form = InvitationForm(request.POST if request.method == "POST" else None)
    made, mailed, status = None, False, 200
    if form.is_bound:
        status = 400
        if form.is_valid():
            try:
                made = membership.invite(principal, form.cleaned_data["email"], form.cleaned_data["role"])
            except Problem as problem:
                show_problem(form, problem)
                status = problem.status
            else:
                mailed, form, status = send(made, principal), InvitationForm(), 200
    manages = allows(principal.role, Action.MEMBERS_MANAGE)
    context = {
        "principal": principal,
        "members": membership.members(principal),
        "invitations": membership.invitations(principal) if manages else [],
        "form": form,
        "made": made,
        "address": invitation_address(made) if made else "",
        "mailed": mailed,
        "manages": manages,
        "owns": allows(principal.role, Action.TENANT_TRANSFER),
        "role_choices": _ROLE_CHOICES,
        "role_names": ROLE_NAMES,
        "role_words": ROLE_WORDS,
        "tenant": teams.tenant(principal),
        "workspaces": selectors.memberships_of(principal.user_id),
    }
    return render(request, "tenants/members.html", context, status=status)


@opens(GET=Action.TEAMS_READ, POST=Action.TEAMS_MANAGE)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def teams_page(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The teams, and which tiers of models they open."""
    form = TeamForm(request.POST if request.method == "POST" else None)
    status = 200
    if form.is_bound:
        status = 400
        if form.is_valid():
            try:
                teams.create_team(principal, form.cleaned_data["name"])
                return redirect("teams")
            except Problem as problem:
                show_problem(form, problem)
                status = problem.status
    everybody = {member.id: member for member in membership.members(principal)}
    found = teams.teams(principal)
    rules = {rule.tier: rule for rule in teams.model_rules(principal)}
    context = {
        "principal": principal,
        "form": form,
        "manages": allows(principal.role, Action.TEAMS_MANAGE),
        "teams": [
            {
                "team": team,
                "members": [everybody[one] for one in team.members if one in everybody],
                "others": [one for key, one in everybody.items() if key not in team.members and not one.suspended_at],
            }
            for team in found
        ],
        "rules": [
            {"tier": tier, "rule": rules.get(tier), "teams": [team for team in found if team.id in rules[tier].teams]}
            for tier in sorted(rules)
        ],
        "all_teams": found,
        "role_choices": _ROLE_CHOICES,
        "role_names": ROLE_NAMES,
    }
    return render(request, "tenants/teams.html", context, status=status)


Change = Callable[[HttpRequest, Principal, dict[str, Any]], str]


def _change(action: Action, back_to: str) -> Callable[[Change], Callable[..., HttpResponseBase]]:
    """A form's target: makes one change, says what happened, and goes back. A refusal is said there, too."""

    def decorate(change: Change) -> Callable[..., HttpResponseBase]:
        @opens(POST=action)
        @require_POST
        @person_required
        def changed(request: HttpRequest, principal: Principal, /, **ids: Any) -> HttpResponse:
            try:
                messages.success(request, change(request, principal, ids))
            except NotFound:
                raise
            except Problem as problem:
                told = [text for texts in (problem.fields or {}).values() for text in texts]
                messages.error(request, " ".join([problem.detail, *told]))
            return redirect(back_to)

        return changed

    return decorate


@_change(Action.MEMBERS_MANAGE, "members")
def change_role(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    membership.change_role(principal, ids["membership_id"], request.POST.get("role", ""))
    return "The role is changed."


@_change(Action.MEMBERS_MANAGE, "members")
def suspend(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    membership.suspend(principal, ids["membership_id"])
    return "The member may not enter any more. Keys, sign-ins and open connections have ended."


@_change(Action.MEMBERS_MANAGE, "members")
def reactivate(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    membership.reactivate(principal, ids["membership_id"])
    return "The member may enter again."


@_change(Action.TENANT_TRANSFER, "members")
def transfer(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    heir = request.POST.get("membership_id", "")
    membership.transfer(principal, _uuid(heir), request.POST.get("confirmation", ""))
    return "The workspace is handed over. You are an administrator now."


@_change(Action.MEMBERS_MANAGE, "members")
def withdraw(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    membership.withdraw_invitation(principal, ids["invitation_id"])
    return "The invitation is withdrawn."


@_change(Action.TENANT_CHANGE, "members")
def change_workspace(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    teams.change_tenant(
        principal,
        name=request.POST.get("name", ""),
        requires_second_factor="requires_second_factor" in request.POST,
    )
    return "The workspace is changed."


@_change(Action.TEAMS_MANAGE, "teams")
def rename_team(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    teams.rename_team(principal, ids["team_id"], request.POST.get("name", ""))
    return "The team is renamed."


@_change(Action.TEAMS_MANAGE, "teams")
def delete_team(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    teams.delete_team(principal, ids["team_id"])
    return "The team is dissolved."


@_change(Action.TEAMS_MANAGE, "teams")
def add_to_team(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    teams.add_member(principal, ids["team_id"], _uuid(request.POST.get("membership_id", "")))
    return "The member is in the team."


@_change(Action.TEAMS_MANAGE, "teams")
def remove_from_team(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    teams.remove_member(principal, ids["team_id"], ids["membership_id"])
    return "The member is out of the team."


@_change(Action.RULES_MANAGE, "teams")
def set_rule(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    tier = request.POST.get("tier", "").strip()
    named = [_uuid(one) for one in request.POST.getlist("teams")]
    teams.set_model_rule(principal, tier, request.POST.getlist("roles"), named)
    return f"Models of the tier “{tier}” are open to those you named, and to nobody else."


@_change(Action.RULES_MANAGE, "teams")
def remove_rule(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    teams.remove_model_rule(principal, request.POST.get("tier", ""))
    return "The tier is open to everybody again."


@opens(POST=Action.SELF)
@require_POST
@person_required
def switch(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Work in another of one's workspaces from now on. A tenant of others looks like none."""
    wanted = _uuid(request.POST.get("tenant_id", ""))
    if wanted not in {found.tenant_id for found in selectors.memberships_of(principal.user_id)}:
        raise NotFound("There is no such workspace.")
    request.session[SESSION_TENANT] = str(wanted)
    return redirect("chat_new")


@public("the link's secret is the credential")
@never_cache
@require_GET
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """What the link opens, and how to go in."""
    return _invitation_page(request, secret, JoinForm())


@public("the link's secret is the credential")
@never_cache
@sensitive_post_parameters("password")
@require_POST
def accept(request: HttpRequest, secret: str) -> HttpResponseBase:
    """Go in: as whoever is signed in, or with a new account for the invited address."""
    principal: Principal | None = request.principal  # type: ignore[attr-defined]
    user = request.user
    form = JoinForm(request.POST)
    try:
        if user.is_authenticated:
            tenant_id = membership.accept(user.pk, user.get_username(), secret)
            request.session[SESSION_TENANT] = str(tenant_id)
            return redirect("chat_new")
        SIGN_UP.count(request, "")
        if not form.is_valid():
            return _invitation_page(request, secret, form, status=400)
        opened = membership.open_invitation(secret)
        given = form.cleaned_data
        _, tenant_id = membership.accept_with_new_account(secret, given["name"], given["password"])
    except Problem as problem:
        if problem.status >= 500 or principal is not None:
            raise
        show_problem(form, problem)
        return _invitation_page(request, secret, form, status=problem.status)
    newcomer = auth.authenticate(request, username=opened.email if opened else "", password=given["password"])
    if newcomer is None:
        return redirect("login")
    return enter(request, newcomer, tenant_id, reverse("chat_new"))


def _invitation_page(request: HttpRequest, secret: str, form: forms.Form, status: int = 200) -> HttpResponse:
    found = membership.open_invitation(secret)
    user = request.user
    context = {
        "found": found,
        "form": form,
        "secret": secret,
        "role_name": ROLE_NAMES.get(found.role, found.role) if found else "",
        "signed_in_as": user.get_username() if user.is_authenticated else "",
        "fits": found is not None and user.is_authenticated and user.get_username() == found.email,
        "next": reverse("invitation", args=[secret]),
    }
    return render(request, "tenants/invitation.html", context, status=status if found else 404)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no such thing.") from None
