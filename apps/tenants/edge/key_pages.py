"""The page of one's API keys."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.problems import Problem
from apps.tenants import offered, selectors, services
from apps.tenants.contracts import NewApiKey, Principal
from apps.tenants.edge.forms import OVERLAPS, ApiKeyForm, RotationForm
from apps.tenants.edge.pages import person_required, show_problem
from apps.tenants.policy import Action, allows, opens


@opens(GET=Action.KEYS_READ, POST=Action.KEYS_MAKE)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def api_keys(request: HttpRequest, principal: Principal) -> HttpResponse:
    """List one's keys; make one. Its secret is on the answering page and nowhere else."""
    form = _form(principal, request)
    if not form.is_bound:
        return _page(request, principal, form)
    if not form.is_valid():
        return _page(request, principal, form, status=400)
    given = form.cleaned_data
    try:
        new_key = services.create_api_key(
            principal,
            given["name"],
            given["scopes"],
            form.expires_at(),
            models=given["models"] or None,
            team_id=given["team"],
        )
    except Problem as problem:
        show_problem(form, problem)
        return _page(request, principal, form, status=problem.status)
    return _page(request, principal, _form(principal), new_key)


@opens(POST=Action.KEYS_MAKE)
@never_cache
@require_POST
@person_required
def rotate_api_key(request: HttpRequest, principal: Principal, key_id: UUID) -> HttpResponse:
    """Give a key a new secret, which is on the answering page and nowhere else."""
    form = RotationForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose when the secret it has now is to end.")
        return redirect("api_keys")
    new_key = services.rotate_api_key(principal, key_id, form.cleaned_data["overlap_seconds"])
    return _page(request, principal, _form(principal), new_key, rotated=True)


@opens(POST=Action.KEYS_REVOKE)
@require_POST
@person_required
def end_earlier_secret(request: HttpRequest, principal: Principal, key_id: UUID, prefix: str) -> HttpResponse:
    services.end_earlier_secret(principal, key_id, prefix)
    messages.success(request, "The earlier secret has ended.")
    return redirect("api_keys")


@opens(POST=Action.KEYS_REVOKE)
@require_POST
@person_required
def revoke_api_key(request: HttpRequest, principal: Principal, key_id: UUID) -> HttpResponse:
    services.revoke_api_key(principal, key_id)
    messages.success(request, "The key is revoked.")
    return redirect("api_keys")


def _form(principal: Principal, request: HttpRequest | None = None) -> ApiKeyForm:
    given = request.POST if request is not None and request.method == "POST" else None
    if not allows(principal.role, Action.KEYS_MAKE):
        return ApiKeyForm(given)
    return ApiKeyForm(given, offers=offered.names_for(principal), teams=selectors.own_teams(principal))


def _page(
    request: HttpRequest,
    principal: Principal,
    form: ApiKeyForm,
    new_key: NewApiKey | None = None,
    *,
    rotated: bool = False,
    status: int = 200,
) -> HttpResponse:
    context = {
        "keys": selectors.api_keys(principal),
        "form": form,
        "new_key": new_key,
        "rotated": rotated,
        "overlaps": OVERLAPS,
        "principal": principal,
        "makes": allows(principal.role, Action.KEYS_MAKE),
    }
    return render(request, "tenants/api_keys.html", context, status=status)
