"""What the OpenAPI document says of all operations alike: who may call them, and how each refusal looks."""

from collections.abc import Iterator
from typing import Any

from drf_spectacular.openapi import AutoSchema

from apps.tenants.policy import POLICY, Action, Role

Schema = dict[str, Any]

ROLES = "x-roles"
# Where an operation names statuses of refusals beyond those that follow from what it takes. It is not published.
REFUSALS = "x-refusals"
_NEGOTIATED = "/api/"
_PROBLEM_TYPE = "application/problem+json"
_METHODS = ("get", "put", "post", "delete", "patch")
_TEXT: Schema = {"type": "string"}

_PROBLEM: Schema = {
    "type": "object",
    "description": "A problem (RFC 9457).",
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": {**_TEXT, "description": "What is wrong and what to do, for a person."},
        "code": {**_TEXT, "description": "What is wrong, for a program. It stays."},
        "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
        "errors": {
            "type": "object",
            "description": "By the name of a field, what is wrong with it.",
            "additionalProperties": {"type": "array", "items": _TEXT},
        },
    },
    "required": ["type", "title", "status", "detail", "code", "retryable"],
}

# Status -> name and meaning of the refusal.
_REFUSALS: dict[int, tuple[str, str]] = {
    400: ("Invalid", "The request is not understood, or breaks a rule; `errors` names the fields at fault."),
    401: ("Unauthenticated", "No credential, or none that is accepted."),
    403: (
        "Forbidden",
        "The caller's role (`x-roles`), their credential's scopes or a missing second factor forbid it.",
    ),
    404: ("NotFound", "There is no such thing in this workspace. What belongs to another workspace looks the same."),
    406: ("NotAcceptable", "`Accept` names nothing that this door answers with."),
    408: ("TooSlow", "The body came too slowly."),
    409: ("Conflict", "The request contradicts what is there; or it was made for another workspace than the caller's."),
    413: ("TooLarge", "The body is larger than 4 MiB."),
    415: ("UnsupportedMediaType", "The body is not `application/json`."),
    422: ("IdempotencyMismatch", "The idempotency key was used before, for another request."),
    429: ("TooMany", "A limit is reached; `Retry-After` says when to come back, where that is known."),
    503: ("Unavailable", "A part of the service does not answer. Nothing was changed."),
}
_REQUEST_ID: Schema = {"required": True, "description": "Names this request in our logs.", "schema": _TEXT}
_CHALLENGE: Schema = {"required": True, "schema": _TEXT}
_RETRY_AFTER: Schema = {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}


class PublishedSchema(AutoSchema):
    """Adds the roles that the policy gives an operation to."""

    def get_extensions(self) -> Schema:
        action = getattr(self.view, "actions", {}).get(self.method)
        return {} if action is None else roles_of(action)


def roles_of(action: Action) -> Schema:
    """The operation's extension that names who may call it, the mightiest first."""
    return {ROLES: [role.value for role in Role if role in POLICY[action]]}


def add_refusals(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """drf-spectacular's last hook: every operation tells each status it answers with, and what every answer carries.

    What an operation says of a status by itself is kept.
    """
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components.setdefault("headers", {})["RequestId"] = _REQUEST_ID
    components["responses"] = {name: _refusal(status, text) for status, (name, text) in _REFUSALS.items()}
    for path, operations in result["paths"].items():
        for method in _METHODS & operations.keys():
            _tell(path, operations[method])
    return result


def _tell(path: str, operation: Schema) -> None:
    answers = operation["responses"]
    for answer in answers.values():
        answer.setdefault("headers", {})["X-Request-Id"] = {"$ref": "#/components/headers/RequestId"}
    for status in sorted({*_statuses(path, operation), *operation.pop(REFUSALS, ())}):
        name, _ = _REFUSALS[status]
        answers.setdefault(str(status), {"$ref": f"#/components/responses/{name}"})


def _statuses(path: str, operation: Schema) -> Iterator[int]:
    """Which refusals an operation knows, by what it takes."""
    places = {parameter["in"] for parameter in operation.get("parameters", ())}
    has_body = "requestBody" in operation
    yield from (401, 409, 503)
    if operation.get("security"):
        yield 403
    if has_body or places - {"path"}:
        yield 400
    if "path" in places:
        yield 404
    if has_body:
        yield from (408, 413, 415)
    if path.startswith(_NEGOTIATED):
        yield 406


def _refusal(status: int, text: str) -> Schema:
    headers: Schema = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if status == 401:
        headers["WWW-Authenticate"] = _CHALLENGE
    if status in (429, 503):
        headers["Retry-After"] = _RETRY_AFTER
    return {
        "description": text,
        "headers": headers,
        "content": {_PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
