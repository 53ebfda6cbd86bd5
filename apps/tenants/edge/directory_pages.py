"""Pages of a workspace's directory: its address and keys for administrators, and agreeing to enter for people."""

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.problems import Forbidden, NotFound, Problem
from apps.tenants import features, joining, provisioned, selectors, services
from apps.tenants.contracts import Principal, Scope
from apps.tenants.edge.pages import person_required, show_problem
from apps.tenants.edge.scim_answers import address
from apps.tenants.features import Feature
from apps.tenants.policy import Action, opens


class DirectoryKeyForm(forms.Form):
    name = forms.CharField(
        label="Name", max_length=services.MAX_NAME, help_text="So that you know it again: Entra, say, or Okta."
    )


@opens(GET=Action.PROVISION, POST=Action.PROVISION)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def directory(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Where the directory finds this workspace; make its key, which is on the answering page and nowhere else."""
    form = DirectoryKeyForm(request.POST if request.method == "POST" else None)
    new_key, status = None, 200
    if form.is_bound:
        status = 400
        if form.is_valid():
            try:
                new_key = services.create_api_key(principal, form.cleaned_data["name"], [Scope.SCIM])
            except Problem as problem:
                show_problem(form, problem)
                status = problem.status
            else:
                form, status = DirectoryKeyForm(), 200
    context = {
        "principal": principal,
        "address": address(),
        "join_address": request.build_absolute_uri("/join/"),
        "keys": [key for key in selectors.api_keys(principal) if Scope.SCIM in key.scopes],
        "kept": provisioned.counts(principal),
        "is_on": features.is_on(Feature.DIRECTORY, principal.tenant_id),
        "form": form,
        "new_key": new_key,
    }
    return render(request, "tenants/directory.html", context, status=status)


@opens(POST=Action.PROVISION)
@require_POST
@person_required
def revoke_directory_key(request: HttpRequest, principal: Principal, key_id: UUID) -> HttpResponse:
    """End a directory's key; other keys are ended on their own page."""
    if not any(key.id == key_id and Scope.SCIM in key.scopes for key in selectors.api_keys(principal)):
        raise NotFound("There is no such key.")
    services.revoke_api_key(principal, key_id)
    messages.success(request, "The key is revoked.")
    return redirect("directory")


@opens(GET=Action.SELF)
@never_cache
@require_safe
@person_required
def waiting(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The workspaces that wait for the caller's word."""
    return render(request, "tenants/joining.html", {"principal": principal, "waiting": joining.waiting_for(principal)})


@opens(POST=Action.SELF)
@require_POST
@person_required
def join(request: HttpRequest, principal: Principal, tenant_id: UUID) -> HttpResponse:
    try:
        joining.agree(principal, tenant_id)
    except Forbidden as problem:
        messages.error(request, problem.detail)
    else:
        messages.success(request, "You are a member now. Choose the workspace in the settings to enter it.")
    return redirect("joining")
