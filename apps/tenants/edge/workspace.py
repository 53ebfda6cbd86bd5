"""The page of the workspace itself, going from one to another, leaving, and entering by an invitation."""

from typing import Any

from django import forms
from django.contrib import auth, messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST, require_safe

from apps.accounts.contracts import MAX_PASSWORD
from apps.problems import NotFound, Problem
from apps.tenants import joining, membership, selectors, teams
from apps.tenants.contracts import SESSION_TENANT, Principal
from apps.tenants.edge.changes import uuid_of
from apps.tenants.edge.entering import enter
from apps.tenants.edge.pages import person_required, show_problem
from apps.tenants.edge.throttle import SIGN_UP
from apps.tenants.models import Membership
from apps.tenants.policy import Action, allows, opens, public


class WorkspaceForm(forms.Form):
    name = forms.CharField(label="Name", max_length=teams.MAX_NAME)
    requires_second_factor = forms.BooleanField(label="Every member needs a second factor", required=False)


class ConfirmationForm(forms.Form):
    """What cannot be taken back is confirmed by typing the workspace's name."""

    confirmation = forms.CharField(label="Name of the workspace", max_length=teams.MAX_NAME)


class TransferForm(ConfirmationForm):
    membership_id = forms.CharField(label="New owner", max_length=36)


class JoinForm(forms.Form):
    name = forms.CharField(label="Your name", max_length=120)
    password = forms.CharField(label="Password", max_length=MAX_PASSWORD, strip=False, widget=forms.PasswordInput)


@opens(GET=Action.TENANT_READ)
@never_cache
@require_safe
@person_required
def workspace(request: HttpRequest, principal: Principal) -> HttpResponse:
    """What the workspace is called and demands, one's other workspaces, handing over, and leaving."""
    return _page(request, principal)


@opens(POST=Action.TENANT_CHANGE)
@never_cache
@require_POST
@person_required
def change_workspace(request: HttpRequest, principal: Principal) -> HttpResponse:
    form = WorkspaceForm(request.POST)
    try:
        if form.is_valid():
            teams.change_tenant(principal, **form.cleaned_data)
            messages.success(request, "The workspace is changed.")
            return redirect("workspace")
    except Problem as problem:
        show_problem(form, problem)
    return _page(request, principal, status=400, form=form)


@opens(POST=Action.TENANT_TRANSFER)
@never_cache
@require_POST
@person_required
def transfer(request: HttpRequest, principal: Principal) -> HttpResponse:
    form = TransferForm(request.POST)
    try:
        if form.is_valid():
            heir = uuid_of(form.cleaned_data["membership_id"])
            membership.transfer(principal, heir, form.cleaned_data["confirmation"])
            messages.success(request, "The workspace is handed over. You are an administrator now.")
            return redirect("workspace")
    except NotFound:
        raise
    except Problem as problem:
        show_problem(form, problem)
    return _page(request, principal, status=400, transfer_form=form)


@opens(POST=Action.SELF)
@never_cache
@require_POST
@person_required
def leave(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Go for good. The answer is a page of nobody: this browser's session has ended with the rest."""
    form = ConfirmationForm(request.POST)
    try:
        if form.is_valid():
            membership.leave(principal, form.cleaned_data["confirmation"])
            request.session.flush()
            request.user = auth.models.AnonymousUser()
            request.principal = None  # type: ignore[attr-defined]
            return render(request, "tenants/left.html", {"tenant_name": principal.tenant_name})
    except Problem as problem:
        show_problem(form, problem)
        return _page(request, principal, status=problem.status, leave_form=form)
    return _page(request, principal, status=400, leave_form=form)


def _page(
    request: HttpRequest,
    principal: Principal,
    *,
    status: int = 200,
    form: WorkspaceForm | None = None,
    transfer_form: TransferForm | None = None,
    leave_form: ConfirmationForm | None = None,
) -> HttpResponse:
    tenant = teams.tenant(principal)
    active = [one for one in membership.members(principal) if one.suspended_at is None and not one.is_awaited]
    owners = [one for one in active if one.role == Membership.Role.OWNER]
    kept = {"name": tenant.name, "requires_second_factor": tenant.requires_second_factor}
    context: dict[str, Any] = {
        "principal": principal,
        "tenant": tenant,
        "form": form or WorkspaceForm(kept),
        "transfer_form": transfer_form or TransferForm(),
        "leave_form": leave_form or ConfirmationForm(),
        "changes": allows(principal.role, Action.TENANT_CHANGE),
        "owns": allows(principal.role, Action.TENANT_TRANSFER),
        "heirs": [one for one in active if not one.is_you],
        "is_last_owner": [one.is_you for one in owners] == [True],
        "active": len(active),
        "protected": sum(one.has_second_factor for one in active),
        "unprotected": sum(not one.has_second_factor for one in active),
        "is_protected": any(one.is_you and one.has_second_factor for one in active),
        "workspaces": selectors.memberships_of(principal.user_id),
        "waiting": joining.waiting_for(principal),
    }
    return render(request, "tenants/workspace.html", context, status=status)


@opens(POST=Action.SELF)
@require_POST
@person_required
def switch(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Work in another of one's workspaces from now on. A tenant of others looks like none."""
    wanted = uuid_of(request.POST.get("tenant_id", ""))
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
        "role_name": Membership.Role(found.role).label if found else "",
        "signed_in_as": user.get_username() if user.is_authenticated else "",
        "fits": found is not None and user.is_authenticated and user.get_username() == found.email,
        "next": reverse("invitation", args=[secret]),
    }
    return render(request, "tenants/invitation.html", context, status=status if found else 404)
