"""The OpenAI-compatible doors in the OpenAPI document, which the generator finds only for REST views."""

from typing import Any

from apps.tenants.edge.openapi import roles_of
from apps.tenants.policy import Action

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_PRICE: Schema = {"type": ["number", "null"], "description": "US dollars per million tokens."}
_SWITCHBOARD: dict[str, Schema] = {
    "name": _TEXT,
    "description": _TEXT,
    "simulated": {"type": "boolean", "description": "Answers come from the built-in simulator."},
    "policy": {"type": "boolean", "description": "It is no model: it chooses one for each question."},
    "reasoning": {"type": "boolean"},
    "context_tokens": {"type": "integer"},
    "max_output_tokens": {"type": "integer"},
    "input_usd_per_mtok": _PRICE,
    "output_usd_per_mtok": _PRICE,
}
_MODEL: dict[str, Schema] = {
    "id": {**_TEXT, "description": "What `model` and `models` take."},
    "object": {"const": "model"},
    "created": {"type": "integer", "description": "Seconds since 1970."},
    "owned_by": _TEXT,
    "switchboard": {"type": "object", "properties": _SWITCHBOARD, "required": list(_SWITCHBOARD)},
}
_ERROR: dict[str, Schema] = {
    "message": _TEXT,
    "type": {"enum": ["invalid_request_error", "rate_limit_error", "server_error"]},
    "param": {"type": "null"},
    "code": _TEXT,
}


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _named(name: str) -> Schema:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _refusal(description: str) -> Schema:
    """OpenAI's shape; what is refused before the door is reached (a page of another workspace) is a problem."""
    content = {"application/json": _named("OpenAIError"), "application/problem+json": _named("Problem")}
    return {"description": description, "content": content}


def _door(operation_id: str, description: str, answer: Schema, **more: Any) -> Schema:
    refusals = {
        "401": {
            **_refusal("No credential, or none that is accepted."),
            "headers": {"WWW-Authenticate": {"required": True, "schema": _TEXT}},
        },
        "403": _refusal("The credential's scopes or a missing second factor forbid it."),
    }
    return {
        "operationId": operation_id,
        "tags": ["models"],
        "description": description,
        "security": [{scheme: []} for scheme in ("bearer", "apiKey", "session")],
        "responses": {"200": answer, **refusals, **more.pop("refusals", {})},
        **roles_of(Action.MODELS_READ),
        **more,
    }


def add_openai_doors(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """drf-spectacular's postprocessing hook."""
    models = {"object": {"const": "list"}, "data": {"type": "array", "items": _named("OpenAIModel")["schema"]}}
    result.setdefault("components", {}).setdefault("schemas", {}).update(
        OpenAIModel=_object(_MODEL), OpenAIModels=_object(models), OpenAIError=_object({"error": _object(_ERROR)})
    )
    slug = {"name": "slug", "in": "path", "required": True, "schema": _TEXT}
    many = {"description": "The models on offer.", "content": {"application/json": _named("OpenAIModels")}}
    one = {"description": "The model.", "content": {"application/json": _named("OpenAIModel")}}
    result["paths"]["/v1/models"] = {"get": _door("openai_models", "The models on offer, in OpenAI's shape.", many)}
    result["paths"]["/v1/models/{slug}"] = {
        "get": _door(
            "openai_model",
            "One model, in OpenAI's shape.",
            one,
            parameters=[slug],
            refusals={"404": _refusal("There is no such model here.")},
        )
    }
    return result
