"""What a filter's tree says of a resource, and in which order resources are asked for. Pure.

A text is compared without regard to case unless its attribute says otherwise. Of a list, one element that fits is
enough; `ne` is the contrary of `eq`. An attribute that is absent fits `ne`, `not` and `eq null`, and nothing else.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from apps.tenants.scim_filter import (
    And,
    AttributePath,
    Compare,
    Elements,
    Filter,
    Not,
    Or,
    Present,
    Value,
)
from apps.tenants.scim_problems import InvalidFilter, InvalidPath
from apps.tenants.scim_schema import Attribute, Found, Schema

Resource = Mapping[str, Any]
Predicate = Callable[[Resource], bool]
Getter = Callable[[Resource], Iterator[Any]]
# What a filter is about: resources, or the elements of a list of theirs.
Subject = Schema | Attribute

_TEXT_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "co": lambda have, want: want in have,
    "sw": lambda have, want: have.startswith(want),
    "ew": lambda have, want: have.endswith(want),
}
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda have, want: bool(have == want),
    "gt": lambda have, want: bool(have > want),
    "ge": lambda have, want: bool(have >= want),
    "lt": lambda have, want: bool(have < want),
    "le": lambda have, want: bool(have <= want),
}


def predicate(subject: Subject, tree: Filter) -> Predicate:
    """Whether a resource, or an element of a list, fits.

    Raises `InvalidFilter` for what the subject has not, or what cannot be compared so.
    """
    match tree:
        case And(terms):
            every = [predicate(subject, term) for term in terms]
            return lambda resource: all(one(resource) for one in every)
        case Or(terms):
            some = [predicate(subject, term) for term in terms]
            return lambda resource: any(one(resource) for one in some)
        case Not(term):
            denied = predicate(subject, term)
            return lambda resource: not denied(resource)
        case Present(path):
            _attribute, get = _resolve(subject, path)
            return lambda resource: any(value != "" for value in get(resource))
        case Elements(path, inner):
            return _elements(subject, path, inner)
        case Compare():
            return _comparison(subject, tree)


def equal_to(schema: Schema, tree: Filter) -> dict[str, str]:
    """Texts that every fitting resource must have, by dotted name (`userName`, `members.value`)."""
    terms = tree.terms if isinstance(tree, And) else (tree,)
    found: dict[str, str] = {}
    for term in terms:
        if isinstance(term, And):
            found |= equal_to(schema, term)
        path, value = _wanted(term)
        if path is not None and isinstance(value, str):
            named = schema.find(path)
            part = named.part or (named.attribute.part("value") if named.attribute.parts else None)
            if named.urn is None:
                found[f"{named.attribute.name}.{part.name}" if part else named.attribute.name] = value
    return found


def sort_key(schema: Schema, path: AttributePath) -> Callable[[Resource], tuple[bool, str]]:
    """Of a list, the element of first choice counts, else the first; what is absent comes last.

    Raises `InvalidPath`.
    """
    attribute, get = _of_resource(schema.find(path))

    def key(resource: Resource) -> tuple[bool, str]:
        value = str(next(get(resource), ""))
        return value == "", value if attribute.case_exact else value.lower()

    return key


def _wanted(term: Filter) -> tuple[AttributePath | None, Value]:
    if isinstance(term, Compare) and term.operator == "eq":
        return term.path, term.value
    if isinstance(term, Elements):
        inner = term.filter.terms if isinstance(term.filter, And) else (term.filter,)
        for one in inner:
            if isinstance(one, Compare) and one.operator == "eq" and one.path.name.lower() == "value":
                return term.path, one.value
    return None, None


def _resolve(subject: Subject, path: AttributePath) -> tuple[Attribute, Getter]:
    if isinstance(subject, Schema):
        return _of_resource(_found(subject, path))
    part = subject.part(path.name)
    if part is None or path.sub or path.urn:
        raise InvalidFilter(f"There is no attribute {subject.name}.{str(path)[:200]}.")
    return part, lambda element: _leaf(element, part)


def _found(schema: Schema, path: AttributePath) -> Found:
    try:
        return schema.find(path)
    except InvalidPath as error:
        raise InvalidFilter(error.detail) from error


def _of_resource(found: Found) -> tuple[Attribute, Getter]:
    attribute = found.attribute
    part = found.part or attribute.part("value")

    def get(resource: Resource) -> Iterator[Any]:
        holder = resource.get(found.urn, {}) if found.urn else resource
        value = holder.get(attribute.name)
        elements = value if isinstance(value, list) else [] if value is None else [value]
        for element in sorted(elements, key=_is_second_choice):
            yield from _leaf(element, part)

    return part or attribute, get


def _is_second_choice(element: Any) -> bool:
    return not (isinstance(element, dict) and element.get("primary"))


def _leaf(element: Any, part: Attribute | None) -> Iterator[Any]:
    value = element.get(part.name) if part is not None and isinstance(element, Mapping) else element
    if value is not None and value != {}:
        yield value


def _elements(subject: Subject, path: AttributePath, inner: Filter) -> Predicate:
    found = _found(subject, path) if isinstance(subject, Schema) else None
    if found is None or not found.attribute.many or found.part is not None:
        raise InvalidFilter(f"{str(path)[:200]} is no list.")
    name, fits = found.attribute.name, predicate(found.attribute, inner)
    return lambda resource: any(fits(element) for element in resource.get(name) or ())


def _comparison(subject: Subject, tree: Compare) -> Predicate:
    attribute, get = _resolve(subject, tree.path)
    if tree.value is None:
        if tree.operator not in ("eq", "ne"):
            raise InvalidFilter("null can only be compared by eq and ne.")
        absent = tree.operator == "eq"
        return lambda resource: (next(get(resource), None) is None) is absent
    if attribute.kind == "complex":
        raise InvalidFilter(f"Name a part of {str(tree.path)[:200]}.")
    operator = "eq" if tree.operator == "ne" else tree.operator
    fits = _test(attribute, operator, tree.value)
    if tree.operator == "ne":
        return lambda resource: not any(fits(value) for value in get(resource))
    return lambda resource: any(fits(value) for value in get(resource))


def _test(attribute: Attribute, operator: str, value: str | bool | int | float) -> Callable[[Any], bool]:
    if attribute.kind == "boolean":
        wanted = {"true": True, "false": False}.get(str(value).lower())
        if wanted is None or operator != "eq":
            raise InvalidFilter(f"{attribute.name} is true or false, and is compared by eq and ne.")
        return lambda have: have is wanted
    if isinstance(value, bool):
        raise InvalidFilter(f"{attribute.name} is a text.")
    text = str(value)
    if operator in _TEXT_OPERATORS:
        fits = _TEXT_OPERATORS[operator]
    elif attribute.kind == "dateTime":
        moment = _moment(text)
        if moment is None:
            raise InvalidFilter(f"{attribute.name} is compared with a time as in 2026-01-31T12:00:00Z.")
        order = _ORDERS[operator]
        return lambda have: order(_moment(have), moment)
    else:
        fits = _ORDERS[operator]
    if attribute.case_exact:
        return lambda have: fits(str(have), text)
    lower = text.lower()
    return lambda have: fits(str(have).lower(), lower)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
