"""The attributes of SCIM's resources that are kept here (RFC 7643), and values brought into their form. Pure.

A resource is a plain dict with the names as the RFC writes them; an extension's attributes are under its URN.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.tenants.scim_filter import AttributePath
from apps.tenants.scim_problems import InvalidPath, InvalidValue

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE_USER = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"

MAX_TEXT = 1024  # characters of one value
MAX_ELEMENTS = 100  # of one list, but for a group's members
NAME_LENGTH = 254


@dataclass(frozen=True, slots=True)
class Attribute:
    """`kind` is RFC 7643's type: string, boolean, dateTime, reference or complex (of `parts`)."""

    name: str
    kind: str = "string"
    many: bool = False
    parts: "tuple[Attribute, ...]" = ()
    read_only: bool = False
    required: bool = False
    case_exact: bool = False
    always: bool = False  # returned whatever was asked for
    unique: bool = False
    limit: int = MAX_TEXT
    elements: int = MAX_ELEMENTS

    def part(self, name: str) -> "Attribute | None":
        return _named(self.parts, name)

    def described(self) -> dict[str, Any]:
        """As /Schemas tells it."""
        told: dict[str, Any] = {
            "name": self.name,
            "type": self.kind,
            "multiValued": self.many,
            "required": self.required,
            "caseExact": self.case_exact,
            "mutability": "readOnly" if self.read_only else "readWrite",
            "returned": "always" if self.always else "default",
            "uniqueness": "server" if self.unique else "none",
        }
        if self.kind == "reference":
            told["referenceTypes"] = ["User", "Group"]
        if self.parts:
            told["subAttributes"] = [part.described() for part in self.parts]
        return told


@dataclass(frozen=True, slots=True)
class Found:
    """What a path names: an attribute, of the extension `urn` or of the resource itself, and perhaps a part of it."""

    attribute: Attribute
    part: Attribute | None = None
    urn: str | None = None

    @property
    def leaf(self) -> Attribute:
        return self.part or self.attribute


@dataclass(frozen=True, slots=True)
class Schema:
    urn: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]
    extensions: "tuple[Schema, ...]" = ()

    def find(self, path: AttributePath) -> Found:
        """Raises `InvalidPath` for an attribute that is not kept here."""
        for schema in (self, *self.extensions):
            if path.urn is not None and path.urn.lower() != schema.urn.lower():
                continue
            attribute = _named((*COMMON, *schema.attributes) if schema is self else schema.attributes, path.name)
            if attribute is None:
                continue
            part = attribute.part(path.sub) if path.sub else None
            if path.sub and part is None:
                break
            return Found(attribute, part, None if schema is self else schema.urn)
        raise InvalidPath(f"There is no attribute {str(path)[:200]}.")

    def extension(self, name: str) -> "Schema | None":
        return next((schema for schema in self.extensions if schema.urn.lower() == name.lower()), None)

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A body in this schema's form: known, writable attributes alone, none of them empty. Raises `InvalidValue`."""
        resource = _object(self.attributes, given)
        for extension in self.extensions:
            inner = next((value for key, value in given.items() if key.lower() == extension.urn.lower()), None)
            if inner is None:
                continue
            if not isinstance(inner, dict):
                raise InvalidValue(f"{extension.urn} is to be an object.")
            if kept := _object(extension.attributes, inner):
                resource[extension.urn] = kept
        return resource


def coerce(attribute: Attribute, value: Any) -> Any:
    """A value in its attribute's form; None for nothing. Raises `InvalidValue`.

    Directories send "True" for true, one object for a list of one, and a bare text for its `value`.
    """
    if value is None:
        return None
    if attribute.many:
        given = value if isinstance(value, list) else [value]
        if len(given) > attribute.elements:
            raise InvalidValue(f"{attribute.name} takes at most {attribute.elements:,} elements.")
        return [one for one in (coerce_element(attribute, one) for one in given) if one] or None
    return coerce_element(attribute, value)


def coerce_element(attribute: Attribute, value: Any) -> Any:
    """The same for one element of a list."""
    if attribute.kind == "complex":
        if isinstance(value, str) and attribute.part("value") is not None:
            value = {"value": value}
        if not isinstance(value, dict):
            raise InvalidValue(f"{attribute.name} is to be an object.")
        return _object(attribute.parts, value) or None
    if attribute.kind == "boolean":
        return _boolean(attribute, value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidValue(f"{attribute.name} is to be a text.")
    if len(value) > attribute.limit:
        raise InvalidValue(f"{attribute.name} takes at most {attribute.limit} characters.")
    return value


def _boolean(attribute: Attribute, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise InvalidValue(f"{attribute.name} is to be true or false.")


def _object(attributes: Iterable[Attribute], given: Mapping[str, Any]) -> dict[str, Any]:
    known = {attribute.name.lower(): attribute for attribute in attributes if not attribute.read_only}
    kept: dict[str, Any] = {}
    for name, value in given.items():
        attribute = known.get(name.lower())
        if attribute is not None and (inner := coerce(attribute, value)) is not None:
            kept[attribute.name] = inner
    return kept


def _named(attributes: Iterable[Attribute], name: str) -> Attribute | None:
    return next((attribute for attribute in attributes if attribute.name.lower() == name.lower()), None)


def _list(name: str, *parts: str) -> Attribute:
    """A list of values with a type, one of them the first choice."""
    texts = tuple(Attribute(part) for part in (*(parts or ("value", "display")), "type"))
    return Attribute(name, "complex", many=True, parts=(*texts, Attribute("primary", "boolean")))


COMMON = (
    Attribute("id", read_only=True, case_exact=True, always=True, unique=True),
    Attribute(
        "meta",
        "complex",
        read_only=True,
        parts=(
            Attribute("resourceType", read_only=True, case_exact=True),
            Attribute("created", "dateTime", read_only=True),
            Attribute("lastModified", "dateTime", read_only=True),
            Attribute("location", "reference", read_only=True, case_exact=True),
        ),
    ),
)
_EXTERNAL_ID = Attribute("externalId", case_exact=True, limit=255)

USERS = Schema(
    USER,
    "User",
    "A member of this workspace whom the directory keeps.",
    (
        _EXTERNAL_ID,
        Attribute("userName", required=True, unique=True, limit=NAME_LENGTH),
        Attribute(
            "name",
            "complex",
            parts=tuple(
                Attribute(part)
                for part in (
                    "formatted",
                    "familyName",
                    "givenName",
                    "middleName",
                    "honorificPrefix",
                    "honorificSuffix",
                )
            ),
        ),
        *(Attribute(name) for name in ("displayName", "nickName", "profileUrl", "title", "userType")),
        *(Attribute(name) for name in ("preferredLanguage", "locale", "timezone")),
        Attribute("active", "boolean"),
        _list("emails"),
        _list("phoneNumbers"),
        _list("addresses", "formatted", "streetAddress", "locality", "region", "postalCode", "country"),
        _list("roles"),
        Attribute(
            "groups",
            "complex",
            many=True,
            read_only=True,
            parts=(
                Attribute("value", read_only=True, case_exact=True),
                Attribute("$ref", "reference", read_only=True, case_exact=True),
                Attribute("display", read_only=True),
                Attribute("type", read_only=True),
            ),
        ),
    ),
    (
        Schema(
            ENTERPRISE_USER,
            "EnterpriseUser",
            "What companies add to a user.",
            (
                *(Attribute(name) for name in ("employeeNumber", "costCenter", "organization", "division")),
                Attribute("department"),
                Attribute(
                    "manager",
                    "complex",
                    parts=(
                        Attribute("value", case_exact=True),
                        Attribute("$ref", "reference", case_exact=True),
                        Attribute("displayName"),
                    ),
                ),
            ),
        ),
    ),
)

GROUPS = Schema(
    GROUP,
    "Group",
    "A team of this workspace that the directory keeps.",
    (
        _EXTERNAL_ID,
        Attribute("displayName", required=True, unique=True, limit=120),
        Attribute(
            "members",
            "complex",
            many=True,
            elements=20_000,
            parts=(
                Attribute("value", case_exact=True),
                Attribute("$ref", "reference", case_exact=True),
                Attribute("display"),
                Attribute("type"),
            ),
        ),
    ),
)
