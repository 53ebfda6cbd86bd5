"""How a directory is answered: resources as it asked for them, and errors in SCIM's form (RFC 7644, 3.12)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpResponse

from apps.problems import Problem
from apps.tenants.provisioned import Page
from apps.tenants.scim_filter import parse_attribute
from apps.tenants.scim_problems import InvalidPath, ScimProblem
from apps.tenants.scim_schema import USER, Attribute, Schema

PREFIX = "/scim/"
CONTENT_TYPE = "application/scim+json"
_MESSAGES = "urn:ietf:params:scim:api:messages:2.0"

Resource = dict[str, Any]


def address(*parts: str) -> str:
    """The absolute address of a resource."""
    return "/".join([f"{settings.BASE_URL}{PREFIX}v2", *parts])


def document(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """A body as SCIM's JSON; what is told of people is kept by nobody on the way."""
    told = {"Cache-Control": "no-store", **(headers or {})}
    return HttpResponse(orjson.dumps(body), status=status, content_type=CONTENT_TYPE, headers=told)


def error(problem: Problem, headers: Mapping[str, str]) -> HttpResponse:
    body = {"schemas": [f"{_MESSAGES}:Error"], "status": str(problem.status), "detail": _detail(problem)}
    scim_type = problem.scim_type if isinstance(problem, ScimProblem) else ""
    if problem.code == "invalid_json":
        scim_type = "invalidSyntax"
    return document(body | ({"scimType": scim_type} if scim_type else {}), problem.status, headers)


def _detail(problem: Problem) -> str:
    """With what is wrong with each field; there is no other place for it."""
    told = [message for messages in (problem.fields or {}).values() for message in messages]
    return " ".join([problem.detail, *told])


@dataclass(frozen=True, slots=True)
class Projection:
    """Which attributes of a resource are returned: by `(extension or "", attribute)` the parts, None for all of it."""

    wanted: dict[tuple[str, str], set[str] | None] | None = None
    unwanted: dict[tuple[str, str], set[str] | None] | None = None

    @classmethod
    def of(cls, schema: Schema, wanted: Sequence[str], unwanted: Sequence[str]) -> "Projection":
        """From the names in `attributes` and `excludedAttributes`; names that are not known here say nothing."""
        return cls(_chosen(schema, wanted) if wanted else None, _chosen(schema, unwanted))

    def shows(self, name: str) -> bool:
        """Whether an attribute of the resource itself is returned at all."""
        key = ("", name)
        if self.unwanted and key in self.unwanted and self.unwanted[key] is None:
            return False
        return self.wanted is None or key in self.wanted

    def cut(self, attributes: Sequence[Attribute], holder: Resource, urn: str = "") -> Resource:
        kept = {}
        for attribute in attributes:
            if attribute.name not in holder:
                continue
            key, value = (urn, attribute.name), holder[attribute.name]
            if not attribute.always:
                if self.wanted is not None:
                    if key not in self.wanted:
                        continue
                    value = _parts(value, self.wanted[key], keep=True)
                if self.unwanted and key in self.unwanted:
                    parts = self.unwanted[key]
                    if parts is None:
                        continue
                    value = _parts(value, parts, keep=False)
            if value not in ({}, []):
                kept[attribute.name] = value
        return kept


def resource(schema: Schema, found: Resource, projection: Projection, common: Sequence[Attribute]) -> Resource:
    """A kept resource as it leaves the house: with addresses, and cut to what was asked for."""
    kind = "Users" if schema.urn == USER else "Groups"
    links = {"groups": "Groups", "members": "Users"}
    whole = found | {"meta": found["meta"] | {"location": address(kind, found["id"])}}
    for name, target in links.items():
        if name in whole:
            whole[name] = [one | {"$ref": address(target, one["value"])} for one in whole[name]]
    shown = projection.cut((*common, *schema.attributes), whole)
    schemas = [schema.urn]
    for extension in schema.extensions:
        if extension.urn in found:
            schemas.append(extension.urn)
            if inner := projection.cut(extension.attributes, found[extension.urn], extension.urn):
                shown[extension.urn] = inner
    return {"schemas": schemas} | shown


def listing(page: Page, resources: Sequence[Resource]) -> Resource:
    return {
        "schemas": [f"{_MESSAGES}:ListResponse"],
        "totalResults": page.total,
        "startIndex": page.start,
        "itemsPerPage": len(resources),
        "Resources": list(resources),
    }


def _chosen(schema: Schema, names: Sequence[str]) -> dict[tuple[str, str], set[str] | None]:
    chosen: dict[tuple[str, str], set[str] | None] = {}
    for name in names:
        if (extension := schema.extension(name)) is not None:
            chosen |= {(extension.urn, attribute.name): None for attribute in extension.attributes}
            continue
        try:
            found = schema.find(parse_attribute(name))
        except InvalidPath:
            continue
        key = (found.urn or "", found.attribute.name)
        if found.part is None:
            chosen[key] = None
        elif (parts := chosen.setdefault(key, set())) is not None:
            parts.add(found.part.name)
    return chosen


def _parts(value: Any, parts: set[str] | None, *, keep: bool) -> Any:
    if parts is None:
        return value
    if isinstance(value, list):
        return [inner for one in value if (inner := _parts(one, parts, keep=keep))]
    return (
        {name: inner for name, inner in value.items() if (name in parts) is keep} if isinstance(value, dict) else value
    )
