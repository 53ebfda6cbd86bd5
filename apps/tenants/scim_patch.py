"""Changes to a resource by PATCH (RFC 7644, 3.5.2), and in the ways in which Entra and Okta send them. Pure."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from apps.tenants.scim_filter import And, AttributePath, Compare, Filter, Or, PatchPath, parse_path
from apps.tenants.scim_match import predicate
from apps.tenants.scim_problems import Immutable, InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, NoTarget
from apps.tenants.scim_schema import Attribute, Found, Schema, coerce, coerce_element

MAX_OPERATIONS = 2000
_KINDS = ("add", "replace", "remove")
_IGNORED = ("schemas", "id", "meta")  # in a value without a path: directories send back what they were given


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of one attribute. `kind` is add, replace or remove; `value` as it was sent."""

    kind: str
    at: Found
    path: PatchPath
    value: Any = None


def read_operations(schema: Schema, body: Any) -> list[Operation]:
    """The changes a body asks for; one without a path becomes one for each attribute of its value.

    Raises `InvalidSyntax`, `InvalidPath`, `NoTarget`, `Immutable`.
    """
    if not isinstance(body, dict):
        raise InvalidSyntax("Send an object with Operations.")
    given = next((value for name, value in body.items() if name.lower() == "operations"), None)
    if not isinstance(given, list) or not given:
        raise InvalidSyntax("Send Operations: a list of at least one change.")
    if len(given) > MAX_OPERATIONS:
        raise InvalidSyntax(f"Send at most {MAX_OPERATIONS:,} changes at once.")
    return [operation for one in given for operation in _operations(schema, one)]


def apply(schema: Schema, resource: dict[str, Any], operations: Sequence[Operation]) -> dict[str, Any]:
    """The resource after all changes, in order; the one given stays as it is. Raises `ScimProblem`s."""
    changed = deepcopy(resource)
    for operation in operations:
        holder = changed.setdefault(operation.at.urn, {}) if operation.at.urn else changed
        if operation.path.filter is not None:
            _change_elements(holder, operation, operation.path.filter)
        elif operation.kind == "remove" or operation.value is None:
            _remove(holder, operation)
        else:
            _write(holder, operation)
    return {name: value for name, value in changed.items() if value not in ({}, [], None)}


def chosen_values(path: PatchPath) -> list[str] | None:
    """The values that `members[value eq "..." or value eq "..."]` names; None without brackets.

    Raises `InvalidFilter` for any other condition.
    """
    if path.filter is None:
        return None
    terms: tuple[Filter, ...] = path.filter.terms if isinstance(path.filter, Or) else (path.filter,)
    values = []
    for term in terms:
        if not isinstance(term, Compare) or term.operator != "eq" or term.path != AttributePath("value"):
            raise InvalidFilter('Choose members by value: members[value eq "..."].')
        values.append(str(term.value))
    return values


def _operations(schema: Schema, given: Any) -> Iterator[Operation]:
    if not isinstance(given, dict):
        raise InvalidSyntax("Each change is an object with op, path and value.")
    told = {name.lower(): value for name, value in given.items()}
    kind, path, value = str(told.get("op", "")).lower(), told.get("path"), told.get("value")
    if kind not in _KINDS:
        raise InvalidSyntax("op is to be add, replace or remove.")
    if kind != "remove" and "value" not in told:
        raise InvalidSyntax(f"A change by {kind} needs a value.")
    if path is not None and not isinstance(path, str):
        raise InvalidPath("path is to be a text.")
    if not path:
        if kind == "remove":
            raise NoTarget("A removal needs a path.")
        yield from _without_path(schema, kind, value)
    elif (extension := schema.extension(path)) is not None:
        names = value if isinstance(value, dict) else {one.name: None for one in extension.attributes}
        yield from _without_path(schema, kind, {f"{extension.urn}:{name}": inner for name, inner in names.items()})
    else:
        yield _operation(schema, kind, path, value)


def _without_path(schema: Schema, kind: str, value: Any) -> Iterator[Operation]:
    """Names may be plain (`active`), dotted (`name.givenName`), chosen (`emails[...].value`) or of an extension.

    As in whole resources, attributes that are not kept here and those nobody may write are passed over.
    """
    if not isinstance(value, dict):
        raise InvalidSyntax("A change without a path needs an object of attributes.")
    for name, inner in value.items():
        extension = schema.extension(name)
        if extension is not None and isinstance(inner, dict):
            yield from _without_path(schema, kind, {f"{extension.urn}:{key}": one for key, one in inner.items()})
        elif name.lower() not in _IGNORED:
            try:
                operation = _operation(schema, kind, name, inner)
            except (InvalidPath, Immutable):
                continue
            yield operation


def _operation(schema: Schema, kind: str, path: str, value: Any) -> Operation:
    parsed = parse_path(path)
    found = schema.find(parsed.path)
    if found.attribute.read_only:
        raise Immutable(f"{found.attribute.name} cannot be changed.")
    if parsed.filter is not None:
        if not found.attribute.many or found.part is not None:
            raise InvalidPath(f"{found.attribute.name} is no list.")
        if parsed.sub is not None and found.attribute.part(parsed.sub) is None:
            raise InvalidPath(f"There is no attribute {found.attribute.name}.{parsed.sub[:200]}.")
        predicate(found.attribute, parsed.filter)
    return Operation(kind, found, parsed, value)


def _remove(holder: dict[str, Any], operation: Operation) -> None:
    attribute, part = operation.at.attribute, operation.at.part
    current = holder.get(attribute.name)
    if current is None:
        return
    if part is not None:
        for element in current if attribute.many else [current]:
            element.pop(part.name, None)
    elif attribute.many and operation.value is not None:
        gone = {_identity(one) for one in coerce(attribute, operation.value) or ()}
        current[:] = [element for element in current if _identity(element) not in gone]
    else:
        holder.pop(attribute.name)
    _tidy(holder, attribute)


def _write(holder: dict[str, Any], operation: Operation) -> None:
    attribute, part, value = operation.at.attribute, operation.at.part, operation.value
    if part is not None:
        written = coerce(part, value)
        if attribute.many:
            for element in holder.setdefault(attribute.name, [{}]) or ():
                element[part.name] = written
        else:
            holder.setdefault(attribute.name, {})[part.name] = written
    elif attribute.many:
        given = coerce(attribute, value) or []
        elements = [] if operation.kind == "replace" else holder.get(attribute.name, [])
        holder[attribute.name] = _joined(attribute, elements, given)
    elif attribute.kind == "complex":
        holder[attribute.name] = holder.get(attribute.name, {}) | (coerce(attribute, value) or {})
    else:
        holder[attribute.name] = coerce(attribute, value)
    _tidy(holder, attribute)


def _change_elements(holder: dict[str, Any], operation: Operation, chosen: Filter) -> None:
    attribute = operation.at.attribute
    part = attribute.part(operation.path.sub) if operation.path.sub else None
    elements: list[dict[str, Any]] = holder.setdefault(attribute.name, [])
    fits = predicate(attribute, chosen)
    hit = [element for element in elements if fits(element)]
    if operation.kind == "remove" or operation.value is None:
        for element in hit:
            if part is None:
                elements.remove(element)
            else:
                element.pop(part.name, None)
    else:
        written = coerce(part, operation.value) if part else coerce_element(attribute, operation.value)
        if not hit:
            hit = [_element_described_by(attribute, chosen)]
            elements[:] = _joined(attribute, elements, hit)
        for element in hit:
            element.update({part.name: written} if part else written or {})
            if element.get("primary"):
                _only_primary(elements, element)
    _tidy(holder, attribute)


def _element_described_by(attribute: Attribute, chosen: Filter) -> dict[str, Any]:
    """Entra writes `emails[type eq "work"].value` where there is no such element yet, and expects it to be made."""
    made: dict[str, Any] = {}
    for term in chosen.terms if isinstance(chosen, And) else (chosen,):
        part = attribute.part(term.path.name) if isinstance(term, Compare) and term.operator == "eq" else None
        if part is None or not isinstance(term, Compare):
            raise NoTarget(f"No element of {attribute.name} is as the path says.")
        made[part.name] = coerce(part, term.value)
    return made


def _joined(attribute: Attribute, elements: list[Any], given: list[Any]) -> list[Any]:
    joined = list(elements)
    for element in given:
        if element not in joined:
            joined.append(element)
            if element.get("primary"):
                _only_primary(joined, element)
    if len(joined) > attribute.elements:
        raise InvalidValue(f"{attribute.name} takes at most {attribute.elements:,} elements.")
    return joined


def _only_primary(elements: list[Any], chosen: Any) -> None:
    for element in elements:
        if element is not chosen:
            element.pop("primary", None)


def _identity(element: dict[str, Any]) -> str:
    return str(element.get("value", sorted(element.items())))


def _tidy(holder: dict[str, Any], attribute: Attribute) -> None:
    """What is left empty is absent."""
    value = holder.get(attribute.name)
    if isinstance(value, list):
        kept = [{name: inner for name, inner in element.items() if inner is not None} for element in value]
        value[:] = [element for element in kept if element]
    elif isinstance(value, dict):
        for name in [name for name, inner in value.items() if inner is None]:
            del value[name]
    if value is None or value in ({}, []):
        holder.pop(attribute.name, None)
