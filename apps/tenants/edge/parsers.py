"""Reading JSON from strangers: bounded in size and depth, and every fault a clear 400 or 413."""

import re
from collections.abc import Mapping
from typing import IO, Any

import orjson
from rest_framework.parsers import BaseParser

from apps.problems import Invalid
from apps.tenants.errors import PayloadTooLarge

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 20_000

# An open end counts as closed: no text is looked at twice, whatever it holds.
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


# What orjson makes of objects and lists: never a class derived from these.
_NESTED = (dict, list)


class InvalidJson(Invalid):
    """The body is not JSON that this door can take."""

    code = "invalid_json"


def parse_json(body: bytes) -> Any:
    """The value in a body. Raises `PayloadTooLarge`, or `InvalidJson` saying what is wrong.

    Stricter than JSON where leniency would hide a fault: no NUL characters (PostgreSQL cannot hold them), no name twice
    in one object, at most 64 levels and 20,000 values. Everybody else waits while a body is read, and of values alone
    4 MB would hold a second's work and more.
    """
    if len(body) > MAX_BYTES:
        raise PayloadTooLarge(f"The body is larger than {MAX_BYTES // 1024 // 1024} MB.")
    if _marks(body) > MAX_VALUES and _marks(_TEXT.sub(b"", body)) > MAX_VALUES:
        raise InvalidJson(f"The body holds more than {MAX_VALUES:,} values.")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"The body is not valid JSON: {error}.") from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH or b"\\u0000" in body:
        _refuse_deep_or_nul(value)
    names = _names(value)
    if body.count(b":") != names and _TEXT.sub(b"", body).count(b":") != names:
        # orjson keeps the last of equal names in silence; two readers of one body must not see different requests.
        raise InvalidJson("A name appears twice in one object of the body.")
    return value


def _marks(structure: bytes) -> int:
    """At least as many as there are values."""
    return 1 + sum(structure.count(mark) for mark in (b",", b"[", b"{"))


def _refuse_deep_or_nul(value: Any) -> None:
    """Walks without recursion, so that depth cannot exhaust the stack."""
    todo: list[tuple[Any, int]] = [(value, 1)]
    while todo:
        current, depth = todo.pop()
        if isinstance(current, str):
            if "\0" in current:
                raise InvalidJson("A text in the body contains a NUL character (\\u0000).")
        elif isinstance(current, dict | list):
            if depth > MAX_DEPTH:
                raise InvalidJson(f"The body is nested more than {MAX_DEPTH} levels deep.")
            if isinstance(current, dict):
                todo.extend((key, depth) for key in current)
                todo.extend((inner, depth + 1) for inner in current.values())
            else:
                todo.extend((inner, depth + 1) for inner in current)


def _names(value: Any) -> int:
    """How many names all objects in it have: as many as colons stand outside of texts, where none is repeated."""
    count = 0
    todo: list[Any] = [value]
    while todo:
        current = todo.pop()
        if current.__class__ is dict:
            count += len(current)
            current = current.values()
        elif current.__class__ is not list:
            continue
        todo += [inner for inner in current if inner.__class__ in _NESTED]
    return count


class BoundedJSONParser(BaseParser):
    """Django REST framework's parser on `parse_json`."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        # One byte more than allowed tells too much from just enough, without reading the rest.
        return parse_json(stream.read(MAX_BYTES + 1))
