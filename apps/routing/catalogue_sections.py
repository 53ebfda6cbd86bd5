"""YAML as plain data, and its mappings checked key by key. Faults are collected, each with its place in the file."""

from collections.abc import Hashable, Mapping
from typing import Any

import yaml
from django.core.exceptions import ValidationError
from django.db import models
from yaml.nodes import MappingNode

from apps.routing.errors import CatalogueFileRefused

Kinds = Mapping[str, type | tuple[type, ...]]
_MOST_FAULTS = 20
_WORDS = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a mapping"}


def parsed(text: str) -> Any:
    """What the YAML says. Raises `CatalogueFileRefused` where it cannot be read."""
    try:
        return _Loader(text).get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # such as a date that no calendar has
        raise CatalogueFileRefused(f"This is no YAML that can be read: {error}") from error


class _Loader(yaml.SafeLoader):
    """Plain data alone. Numbers with a point stay text, so that prices are exact; a key may not come twice."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"“{name}” comes twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: node.value)


class Faults:
    """What is wrong in the file, in its order."""

    def __init__(self) -> None:
        self._told: list[str] = []

    def add(self, place: str, message: str) -> None:
        self._told.append(f"{place}: {message}" if place else message)

    def settle(self) -> None:
        if not self._told:
            return
        more = len(self._told) - _MOST_FAULTS
        lines = self._told[:_MOST_FAULTS] + ([f"… and {more} more"] if more > 0 else [])
        raise CatalogueFileRefused("\n".join(lines))


class Section:
    """One mapping of the file, with what its keys may hold. What does not fit is a fault and reads as absent."""

    def __init__(self, faults: Faults, place: str, value: Any, kinds: Kinds) -> None:
        self.faults, self.place = faults, place
        self._values: dict[str, Any] = {}
        if not isinstance(value, dict):
            faults.add(place or "The file", "must be a mapping of names to values")
            return
        name = value.get("slug")
        if place and isinstance(name, str):
            self.place = f"{place} ({name})"
        for key, one in value.items():
            at = f"{self.place}.{key}".lstrip(".")
            if key not in kinds:
                faults.add(at, f"is not known here; known are {', '.join(kinds)}")
            elif type(one) not in _either(kinds[key]):
                faults.add(at, f"must be {_WORDS[_either(kinds[key])[0]]}{_hint(one)}")
            else:
                self._values[key] = one

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def fault(self, key: str, message: str) -> None:
        self.faults.add(f"{self.place}.{key}".lstrip("."), message)

    def get(self, key: str, default: Any = None) -> Any:
        return self._values.get(key, default)

    def needed(self, key: str) -> str:
        """A text that must be there."""
        value = self._values.get(key)
        if not value:
            self.fault(key, "is missing")
        return str(value or "")

    def texts(self, key: str) -> list[str]:
        """A list of texts."""
        found = self._values.get(key) or []
        if all(isinstance(one, str) for one in found):
            return list(found)
        self.fault(key, "must be a list of texts; put quotes around what YAML takes for something else")
        return []

    def sections(self, key: str, kinds: Kinds) -> "list[Section]":
        """A list of mappings."""
        found = self._values.get(key) or []
        place = f"{self.place}.{key}".lstrip(".")
        return [Section(self.faults, f"{place}[{number}]", one, kinds) for number, one in enumerate(found)]

    def section(self, key: str, kinds: Kinds) -> "Section":
        return Section(self.faults, f"{self.place}.{key}", self._values[key], kinds)

    def columns(self, table: type[models.Model], names: tuple[str, ...]) -> dict[str, Any]:
        """What is said of these columns, checked as the table would."""
        return self.checked(table, {name: self._values[name] for name in names if name in self._values})

    def checked(self, table: type[models.Model], values: dict[str, Any]) -> dict[str, Any]:
        others = [field.name for field in table._meta.fields if field.name not in values]
        try:
            table(**values).clean_fields(exclude=others)
        except ValidationError as error:
            for name, told in error.message_dict.items():
                self.fault(name, " ".join(told))
        return values


def _either(kinds: type | tuple[type, ...]) -> tuple[type, ...]:
    return kinds if isinstance(kinds, tuple) else (kinds,)


def _hint(value: Any) -> str:
    return "; put quotes around it" if isinstance(value, bool) else ""
