"""Texts inside JSON, such as the arguments of a tool call: escapes must not hide what a rule looks for."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)

# What names a function or a schema: replaced, it would be refused or would name another.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHORTEST_NUMBER = 100_000

Screen = Callable[[str], str]


def screened_json(text: str, screen: Screen) -> str:
    """The text with what `screen` makes of it: first of every string as JSON means it, then of all as it is written.

    In that order, so that nothing is cut in the middle of an escape. Works on texts that are not quite JSON, too.
    """

    def string(match: re.Match[str]) -> str:
        written = match[0]
        if "\\" not in written:
            return written
        try:
            meant = json.loads(written, strict=False)
        except ValueError:
            return written
        screened = screen(meant)
        return written if screened == meant else json.dumps(screened)

    return screen(_STRING.sub(string, text) if "\\" in text else text)


def screened_value(value: Any, screen: Screen, check: Callable[[str], object]) -> Any:
    """Parsed JSON with what `screen` makes of its texts. What has to stay as it is, is shown to `check`: the names in
    objects, names of functions, and numbers, which may be those of cards and accounts."""
    if isinstance(value, str):
        return screen(value)
    if isinstance(value, Mapping):
        return {name: _named(name, inner, screen, check) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [screened_value(inner, screen, check) for inner in value]
    if (written := _digits(value)) is not None:
        check(written)
    return value


def _named(name: str, value: Any, screen: Screen, check: Callable[[str], object]) -> Any:
    check(name)
    if name == "name" and isinstance(value, str) and _NAME.fullmatch(value):
        check(value)
        return value
    return screened_value(value, screen, check)


def texts(value: Any) -> Iterator[str]:
    """Everything that `screened_value` shows to somebody."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)
    elif (written := _digits(value)) is not None:
        yield written


def sentences(value: Any) -> Iterator[str]:
    """The texts in parsed JSON that say more than a name does."""
    return (one for one in texts(value) if one and not _NAME.fullmatch(one))


def _digits(value: Any) -> str | None:
    """A number that is long enough to be somebody's, as it is written."""
    if not isinstance(value, int | float) or abs(value) < _SHORTEST_NUMBER:
        return None
    return f"{value:.0f}" if isinstance(value, float) else str(value)
