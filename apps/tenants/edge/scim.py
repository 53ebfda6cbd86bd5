"""SCIM 2.0 (RFC 7644): the doors through which a company's directory keeps users and groups of its tenant.

They are not in the OpenAPI document: SCIM describes itself, at /scim/v2/Schemas and beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec
from uuid import UUID

from django.http import HttpRequest, HttpResponse

from apps.problems import NotFound, Problem, Unauthenticated
from apps.tenants import features, provisioned, provisioned_teams, provisioning
from apps.tenants.contracts import Principal, Scope, Via
from apps.tenants.edge import scim_answers as answers
from apps.tenants.edge import scim_discovery as discovery
from apps.tenants.edge.credentials import require_scope
from apps.tenants.edge.parsers import parse_json
from apps.tenants.edge.scim_answers import Projection
from apps.tenants.errors import PayloadTooLarge
from apps.tenants.features import Feature
from apps.tenants.policy import Action, opens
from apps.tenants.provisioned import MAX_PAGE, Page, Query
from apps.tenants.scim_filter import parse_attribute, parse_filter
from apps.tenants.scim_patch import apply, read_operations
from apps.tenants.scim_problems import InvalidSyntax, InvalidValue
from apps.tenants.scim_schema import COMMON, GROUPS, USERS, Schema

MAX_BYTES = 1024 * 1024
_MAX_INDEX = 2**31 - 1
_CONTENT_TYPES = ("application/scim+json", "application/json", "")

P = ParamSpec("P")
Resource = dict[str, Any]
DirectorysView = Callable[Concatenate[HttpRequest, Principal, P], HttpResponse]


class UnsupportedMediaType(Problem):
    """The body is not said to be JSON."""

    code = "unsupported_media_type"
    status = 415


class MethodNotAllowed(Problem):
    """There is something here, and this is not done to it."""

    code = "method_not_allowed"
    status = 405


class NotImplementedHere(Problem):
    """A part of SCIM that this server says it has not."""

    code = "not_implemented"
    status = 501


def directory_door(*methods: str) -> Callable[[DirectorysView[P]], Callable[Concatenate[HttpRequest, P], HttpResponse]]:
    """Hands the directory to a view: the principal of a key made for it, sent as `Authorization: Bearer`."""

    def wrap(view: DirectorysView[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
        @opens(**dict.fromkeys(methods, Action.PROVISION))
        @wraps(view)
        def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            refused: Problem | None = request.credential_problem  # type: ignore[attr-defined]
            if refused is not None:
                raise refused
            principal: Principal | None = request.principal  # type: ignore[attr-defined]
            bearer = request.headers.get("Authorization", "").lower().startswith("bearer ")
            if principal is None or not bearer or principal.via is not Via.API_KEY:
                raise Unauthenticated("Send the directory's key as `Authorization: Bearer ...`.")
            require_scope(principal, {Scope.SCIM})
            features.require(Feature.DIRECTORY, principal.tenant_id)
            method = "GET" if request.method == "HEAD" else request.method
            if method not in methods:
                raise MethodNotAllowed(f"Only {', '.join(methods)} can be done here.")
            return view(request, replace(principal, via=Via.SCIM), *args, **kwargs)

        return checked

    return wrap


@directory_door("GET", "POST")
def users(request: HttpRequest, principal: Principal) -> HttpResponse:
    if request.method == "POST":
        made = provisioning.create_user(principal, _object(request))
        return _made(USERS, made, _projection(USERS, request.GET))
    return _found(principal, USERS, request.GET)


@directory_door("GET", "PUT", "PATCH", "DELETE")
def user(request: HttpRequest, principal: Principal, resource_id: str) -> HttpResponse:
    user_id = _id(resource_id)
    projection = _projection(USERS, request.GET)
    if request.method == "DELETE":
        provisioning.delete_user(principal, user_id)
        return HttpResponse(status=204)
    if request.method == "PUT":
        given = _object(request)
        kept = provisioning.change_user(principal, user_id, lambda _now: given)
    elif request.method == "PATCH":
        operations = read_operations(USERS, _object(request))
        kept = provisioning.change_user(principal, user_id, lambda now: _patched(now, operations))
    else:
        kept = provisioned.user(principal, user_id)
    return answers.document(answers.resource(USERS, kept, projection, COMMON))


@directory_door("GET", "POST")
def groups(request: HttpRequest, principal: Principal) -> HttpResponse:
    if request.method == "POST":
        made = provisioned_teams.create_group(principal, _object(request))
        return _made(GROUPS, made, _projection(GROUPS, request.GET))
    return _found(principal, GROUPS, request.GET)


@directory_door("GET", "PUT", "PATCH", "DELETE")
def group(request: HttpRequest, principal: Principal, resource_id: str) -> HttpResponse:
    group_id = _id(resource_id)
    projection = _projection(GROUPS, request.GET)
    if request.method == "DELETE":
        provisioned_teams.delete_group(principal, group_id)
        return HttpResponse(status=204)
    if request.method == "PUT":
        kept = provisioned_teams.replace_group(principal, group_id, _object(request))
    elif request.method == "PATCH":
        provisioned_teams.change_group(principal, group_id, read_operations(GROUPS, _object(request)))
        if "attributes" not in request.GET:  # a group may be large, and directories do not read it here
            return HttpResponse(status=204)
        kept = provisioned.group(principal, group_id, links=projection.shows("members"))
    else:
        kept = provisioned.group(principal, group_id, links=projection.shows("members"))
    return answers.document(answers.resource(GROUPS, kept, projection, COMMON))


@directory_door("POST")
def search(request: HttpRequest, principal: Principal, kind: str) -> HttpResponse:
    """Like the list, with what is asked for in the body, out of sight of logs."""
    return _found(principal, {"Users": USERS, "Groups": GROUPS}[kind], _object(request))


@directory_door("GET")
def service_provider_config(request: HttpRequest, principal: Principal) -> HttpResponse:
    return answers.document(discovery.provider_config())


@directory_door("GET")
def resource_types(request: HttpRequest, principal: Principal, name: str | None = None) -> HttpResponse:
    told = {schema.name: discovery.resource_type(schema) for schema in (USERS, GROUPS)}
    return _described(told, name)


@directory_door("GET")
def schemas(request: HttpRequest, principal: Principal, name: str | None = None) -> HttpResponse:
    return _described({urn: discovery.schema_document(schema) for urn, schema in discovery.SCHEMAS.items()}, name)


@directory_door("GET", "POST", "PUT", "PATCH", "DELETE")
def not_implemented(request: HttpRequest, principal: Principal) -> HttpResponse:
    raise NotImplementedHere("ServiceProviderConfig says what there is. This is not a part of it.")


def _described(told: Mapping[str, Resource], name: str | None) -> HttpResponse:
    if name is None:
        return answers.document(answers.listing(Page(len(told), 1, []), list(told.values())))
    if name not in told:
        raise NotFound("There is nothing of this name.")
    return answers.document(told[name])


def _found(principal: Principal, schema: Schema, asked: Mapping[str, Any]) -> HttpResponse:
    projection = _projection(schema, asked)
    link = "groups" if schema is USERS else "members"
    query = _query(asked, links=projection.shows(link))
    page = (provisioned.users if schema is USERS else provisioned.groups)(principal, query)
    shown = [answers.resource(schema, found, projection, COMMON) for found in page.resources]
    return answers.document(answers.listing(page, shown))


def _made(schema: Schema, made: Resource, projection: Projection) -> HttpResponse:
    location = answers.address(f"{schema.name}s", made["id"])
    return answers.document(answers.resource(schema, made, projection, COMMON), 201, {"Location": location})


def _patched(now: Resource, operations: Any) -> Resource:
    after = apply(USERS, now, operations)
    if "roles" not in after:
        after["roles"] = [{"value": "member"}]
    return after


def _id(text: str) -> UUID:
    found = provisioned.uuid_of(text)
    if found is None:
        raise NotFound("There is no such resource.")
    return found


def _object(request: HttpRequest) -> Resource:
    """The body. Raises `UnsupportedMediaType`, `PayloadTooLarge`, `InvalidJson`, `InvalidSyntax`."""
    if (request.content_type or "").lower() not in _CONTENT_TYPES:
        raise UnsupportedMediaType("Send application/scim+json or application/json.")
    if len(request.body) > MAX_BYTES:
        raise PayloadTooLarge(f"The body is larger than {MAX_BYTES // 1024 // 1024} MB.")
    value = parse_json(request.body)
    if not isinstance(value, dict):
        raise InvalidSyntax("Send an object.")
    return value


def _projection(schema: Schema, asked: Mapping[str, Any]) -> Projection:
    return Projection.of(schema, _names(asked.get("attributes")), _names(asked.get("excludedAttributes")))


def _names(given: Any) -> list[str]:
    names = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else []
    return [name.strip() for name in names[:200] if isinstance(name, str) and name.strip()]


def _query(asked: Mapping[str, Any], *, links: bool) -> Query:
    """Raises `InvalidFilter`, `InvalidPath`, `InvalidValue`."""
    text = partial(_text, asked)
    filter_text, sort_by, order = text("filter"), text("sortBy"), text("sortOrder").lower()
    if order not in ("", "ascending", "descending"):
        raise InvalidValue("sortOrder is to be ascending or descending.")
    return Query(
        filter=parse_filter(filter_text) if filter_text.strip() else None,
        sort_by=parse_attribute(sort_by) if sort_by else None,
        descending=order == "descending",
        start=max(1, _whole(asked, "startIndex", 1)),
        count=min(MAX_PAGE, max(0, _whole(asked, "count", 100))),
        links=links,
    )


def _text(asked: Mapping[str, Any], name: str) -> str:
    given = asked.get(name) or ""
    if not isinstance(given, str):
        raise InvalidValue(f"{name} is to be a text.")
    return given


def _whole(asked: Mapping[str, Any], name: str, default: int) -> int:
    given = asked.get(name)
    if given is None or given == "":
        return default
    text = str(given)
    digits = text.removeprefix("-")
    if isinstance(given, bool) or not (digits.isascii() and digits.isdigit()) or len(digits) > 20:
        raise InvalidValue(f"{name} is to be a whole number.")
    return max(-1, min(_MAX_INDEX, int(text)))
