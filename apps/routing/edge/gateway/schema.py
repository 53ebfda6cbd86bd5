"""The stateless doors in the OpenAPI document. Their bodies are the dialects' own, whose documents are elsewhere."""

from typing import Any

from apps.routing.repeats.place import MAX_KEY
from apps.tenants.edge.openapi import roles_of
from apps.tenants.policy import Action

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_MESSAGES: Schema = {"type": "array", "items": {"type": "object"}, "minItems": 1}
_STREAM: Schema = {"type": "boolean", "description": "Answer with server-sent events, as the dialect has them."}
_EVENT: Schema = {"type": "object", "description": "An event of the dialect.", "properties": {"data": _TEXT}}
_REFUSED = {
    "400": "The request cannot be understood, or this model cannot do it.",
    "401": "No credential, or none that is accepted.",
    "403": "The credential's scopes or the role forbid it.",
    "404": "There is no such model here.",
    "405": "Only POST is understood.",
    "408": "The body came too slowly.",
    "409": "The model has no price, is dearer than the ceiling, or the header names another workspace; the call of "
    "this idempotency key is still running (`Retry-After`), or its answer was too large to keep "
    "(`x-should-retry: false`).",
    "413": "The body is too large.",
    "422": "The idempotency key was used before, for another request.",
    "429": "A limit or budget says no; `Retry-After` says when to come again, where time helps.",
    "500": "A defect of ours.",
    "502": "The provider failed.",
    "503": "Nothing can answer at the moment, or there is no room for the call; `Retry-After` says when to come again, "
    "where that is known.",
    "504": "The provider took too long.",
}

_ANTHROPIC_ERROR: Schema = {
    "type": "object",
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "properties": {"type": _TEXT, "message": _TEXT},
            "required": ["type", "message"],
        },
        "request_id": _TEXT,
    },
    "required": ["type", "error"],
}
_OPENAI_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}


_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key and body again are told the same answer, and nothing is asked or charged twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[ -~]*$"},
}
_REPLAYED: Schema = {"schema": {"const": "true"}, "description": "This answer was given before, to the same key."}


def _door(
    operation_id: str, description: str, takes: Schema, required: list[str], error: str, *, keyed: bool = True
) -> Schema:
    body = {"type": "object", "properties": takes, "required": required}
    refusal = {"application/json": {"schema": {"$ref": f"#/components/schemas/{error}"}}}
    answers: Schema = {status: {"description": text, "content": refusal} for status, text in _REFUSED.items()}
    answers["401"]["headers"] = {"WWW-Authenticate": {"required": True, "schema": _TEXT}}
    ok: Schema = {"description": "The answer. `X-Switchboard-Route` says who gave it, `x-ratelimit-…` what is left."}
    if keyed:
        ok["headers"] = {"Idempotency-Replayed": _REPLAYED}
    else:
        # Counting reserves nothing and takes no key.
        ok["description"], answers["409"]["description"] = "The count.", "The header names another workspace."
        del answers["422"]
    told: Schema = {"application/json": {"schema": {"type": "object"}}}
    if "stream" in takes:
        told["text/event-stream"] = {"schema": _EVENT}
    return {
        "operationId": operation_id,
        "tags": ["gateway"],
        "description": description,
        "security": [{"bearer": []}, {"apiKey": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        **({"parameters": [_KEY]} if keyed else {}),
        "responses": {"200": {**ok, "content": told}, **answers},
        **roles_of(Action.CHAT_ASK),
    }


def add_gateway(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """drf-spectacular's postprocessing hook."""
    says = {"model": _TEXT, "messages": _MESSAGES, "stream": _STREAM}
    doors = {
        "/v1/chat/completions": _door(
            "openai_chat_completion",
            "Ask a model or a policy as OpenAI's chat completions do.",
            says,
            ["model", "messages"],
            "GatewayError",
        ),
        "/v1/embeddings": _door(
            "openai_embeddings",
            "Turn texts into vectors as OpenAI's embeddings do.",
            {"model": _TEXT, "input": {"type": ["string", "array"]}},
            ["model", "input"],
            "GatewayError",
        ),
        "/v1/responses": _door(
            "openai_response",
            "Ask a model or a policy as OpenAI's responses do. Nothing is stored.",
            {"model": _TEXT, "input": {"type": ["string", "array"]}, "stream": _STREAM},
            ["model", "input"],
            "GatewayError",
        ),
        "/v1/messages/count_tokens": _door(
            "anthropic_count_tokens",
            "About how many tokens a message would have, for four bytes each. Nobody is asked and nothing "
            "charged; it is a request of the limit per minute.",
            {"model": _TEXT, "messages": _MESSAGES},
            ["model", "messages"],
            "AnthropicError",
            keyed=False,
        ),
        "/v1/messages": _door(
            "anthropic_message",
            "Ask a model or a policy as Anthropic's messages do.",
            {**says, "max_tokens": {"type": "integer", "minimum": 1}},
            ["model", "messages", "max_tokens"],
            "AnthropicError",
        ),
    }
    result["components"]["schemas"] |= {"AnthropicError": _ANTHROPIC_ERROR, "GatewayError": _OPENAI_ERROR}
    result["paths"] |= {path: {"post": door} for path, door in doors.items()}
    return result
