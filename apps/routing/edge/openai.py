"""The OpenAI-compatible door: the list of models. What OpenAI does not know of stands under `switchboard`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse

from apps.problems import MethodNotAllowed, Problem, Unauthenticated
from apps.routing import selectors
from apps.routing.contracts import Catalogue, ModelCard
from apps.routing.errors import UnknownModel
from apps.tenants.contracts import Principal
from apps.tenants.policy import Action, opens

_SAFE = ("GET", "HEAD")

View = Callable[..., HttpResponse]


def _reads(view: View) -> View:
    """Django's `require_safe`, told in this door's own form."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method in _SAFE:
            return view(request, *args, **kwargs)
        response = error_response(MethodNotAllowed("Use GET here."))
        response["Allow"] = ", ".join(_SAFE)
        return response

    return wrapped


@opens(GET=Action.MODELS_READ)
@_reads
def list_models(request: HttpRequest) -> HttpResponse:
    """GET /v1/models."""
    try:
        offered = _catalogue(request)
    except Problem as problem:
        return error_response(problem)
    return _json({"object": "list", "data": [_document(offered, card) for card in selectors.cards_of(offered)]})


@opens(GET=Action.MODELS_READ)
@_reads
def show_model(request: HttpRequest, slug: str) -> HttpResponse:
    """GET /v1/models/{slug}."""
    try:
        offered = _catalogue(request)
        card = next((one for one in selectors.cards_of(offered) if one.slug == slug), None)
        if card is None:
            raise UnknownModel(f"There is no model “{slug}” here. GET /v1/models lists those that are.")
    except Problem as problem:
        return error_response(problem)
    return _json(_document(offered, card))


def error_response(problem: Problem) -> HttpResponse:
    """A problem in OpenAI's error shape."""
    if problem.status == 429:
        kind = "rate_limit_error"
    else:
        kind = "invalid_request_error" if problem.status < 500 else "server_error"
    body = {"error": {"message": problem.detail, "type": kind, "param": None, "code": problem.code}}
    response = _json(body, status=problem.status)
    if problem.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="switchboard"'
    return response


def _catalogue(request: HttpRequest) -> Catalogue:
    """The caller's catalogue. Raises what is wrong with the credential, or `Unauthenticated` without any."""
    refused: Problem | None = getattr(request, "credential_problem", None)
    if refused is not None:
        raise refused
    principal: Principal | None = getattr(request, "principal", None)
    if principal is None:
        raise Unauthenticated("Send an API key as “Authorization: Bearer sk-sb-...”. Settings, Keys makes one.")
    return selectors.catalogue_for(principal)


def _document(offered: Catalogue, card: ModelCard) -> dict[str, Any]:
    if card.policy:
        created_at, owner = offered.policies[card.slug].created_at, "switchboard"
    else:
        model = offered.models[card.slug]
        created_at, owner = model.created_at, model.first_deployment.provider if model.first_deployment else ""
    return {
        "id": card.slug,
        "object": "model",
        "created": created_at,
        "owned_by": owner,
        "switchboard": {
            "name": card.name,
            "description": card.description,
            "simulated": card.simulated,
            "policy": card.policy,
            "reasoning": card.reasoning,
            "context_tokens": card.context_tokens,
            "max_output_tokens": card.max_output_tokens,
            "input_usd_per_mtok": None if card.input_usd_per_mtok is None else float(card.input_usd_per_mtok),
            "output_usd_per_mtok": None if card.output_usd_per_mtok is None else float(card.output_usd_per_mtok),
        },
    }


def _json(body: dict[str, Any], status: int = 200) -> HttpResponse:
    return HttpResponse(
        orjson.dumps(body), status=status, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
