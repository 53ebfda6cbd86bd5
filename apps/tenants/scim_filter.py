"""Filters and paths of SCIM (RFC 7644, 3.4.2.2 and 3.5.2): text to a tree, and back. Pure.

    filter    = conjunction *("or" conjunction)
    conjunction = term *("and" term)
    term      = "not" "(" filter ")" / "(" filter ")" / attribute "pr" / attribute operator value
              / attribute "[" filter "]" ["." name operator value]
    path      = attribute / attribute "[" filter "]" ["." name]

Names and operators are read in any case. Length, number of tokens and nesting are bounded.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import NoReturn

from apps.problems import Problem
from apps.tenants.scim_problems import InvalidFilter, InvalidPath

MAX_LENGTH = 4096  # characters
MAX_TOKENS = 400
MAX_DEPTH = 20

OPERATORS = ("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le")
_RESERVED = frozenset({*OPERATORS, "pr", "and", "or", "not", "true", "false", "null"})
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:$+")
_NAME_START = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ$")
_NAME = _NAME_START | frozenset("0123456789_-")

Value = str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class AttributePath:
    """`[urn:]name[.sub]`, as it was written; nothing says yet that there is such an attribute."""

    name: str
    sub: str | None = None
    urn: str | None = None

    def __str__(self) -> str:
        return (f"{self.urn}:" if self.urn else "") + self.name + (f".{self.sub}" if self.sub else "")


@dataclass(frozen=True, slots=True)
class Compare:
    path: AttributePath
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class Present:
    path: AttributePath


@dataclass(frozen=True, slots=True)
class And:
    terms: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    terms: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    term: "Filter"


@dataclass(frozen=True, slots=True)
class Elements:
    """Some element of a list is as `filter` says: `emails[type eq "work"]`."""

    path: AttributePath
    filter: "Filter"


Filter = Compare | Present | And | Or | Not | Elements


@dataclass(frozen=True, slots=True)
class PatchPath:
    """Where a change goes: an attribute, or the elements of a list that `filter` chooses, or their part `sub`."""

    path: AttributePath
    filter: Filter | None = None
    sub: str | None = None


def parse_filter(text: str) -> Filter:
    """Raises `InvalidFilter`, saying what is wrong and where."""
    parser = _Parser(text, InvalidFilter, "filter")
    tree = parser.disjunction(0)
    parser.end()
    return tree


def parse_path(text: str) -> PatchPath:
    """Raises `InvalidPath`, saying what is wrong and where."""
    parser = _Parser(text, InvalidPath, "path")
    found = parser.patch_path()
    parser.end()
    return found


def parse_attribute(text: str) -> AttributePath:
    """A path without brackets, as in `sortBy` and `attributes`. Raises `InvalidPath`."""
    found = parse_path(text)
    if found.filter is not None:
        raise InvalidPath("Name an attribute here, without brackets.")
    return found.path


def render(tree: Filter) -> str:
    """The text that `parse_filter` reads as this very tree."""
    match tree:
        case Compare(path, operator, value):
            return f"{path} {operator} {json.dumps(value, ensure_ascii=False)}"
        case Present(path):
            return f"{path} pr"
        case Elements(path, inner):
            return f"{path}[{render(inner)}]"
        case Not(term):
            return f"not ({render(term)})"
        case And(terms):
            return " and ".join(f"({render(one)})" if isinstance(one, And | Or) else render(one) for one in terms)
        case Or(terms):
            return " or ".join(f"({render(one)})" if isinstance(one, Or) else render(one) for one in terms)


def mentioned(tree: Filter) -> set[str]:
    """The names of the attributes a filter asks about, in lower case."""
    match tree:
        case And(terms) | Or(terms):
            return set().union(*map(mentioned, terms))
        case Not(term):
            return mentioned(term)
        case Compare(path) | Present(path) | Elements(path):
            return {path.name.lower()}


@dataclass(frozen=True, slots=True)
class _Token:
    """`kind` is one of ( ) [ ] word string end."""

    kind: str
    text: str
    at: int


def _tokens(text: str, fail: Callable[[str], NoReturn]) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character == " ":
            at += 1
            continue
        if len(found) >= MAX_TOKENS:
            fail(f"it has more than {MAX_TOKENS} parts")
        if character in "()[]":
            token = _Token(character, character, at)
        elif character == '"':
            token = _Token("string", text[at : _string_end(text, at, fail)], at)
        elif character in _WORD:
            end = at
            while end < len(text) and text[end] in _WORD:
                end += 1
            token = _Token("word", text[at:end], at)
        else:
            fail(f"there is no place for the character at {at}")
        found.append(token)
        at += len(token.text)
    found.append(_Token("end", "", at))
    return found


def _string_end(text: str, start: int, fail: Callable[[str], NoReturn]) -> int:
    at = start + 1
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text[at] == '"':
            return at + 1
        else:
            at += 1
    fail(f"the text that begins at {start} does not end")


class _Parser:
    def __init__(self, text: str, problem: type[Problem], what: str) -> None:
        self._problem = problem
        self._what = what
        if len(text) > MAX_LENGTH:
            self._fail(f"it is longer than {MAX_LENGTH} characters")
        self._tokens = _tokens(text, self._fail)
        self._next = 0

    def disjunction(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            self._fail(f"it is nested more than {MAX_DEPTH} deep")
        terms = [self._conjunction(depth)]
        while self._accept_word("or"):
            terms.append(self._conjunction(depth))
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def patch_path(self) -> PatchPath:
        path = self._attribute()
        if not self._accept("["):
            return PatchPath(path)
        inner = self.disjunction(1)
        self._expect("]")
        return PatchPath(path, inner, self._part_after_bracket())

    def end(self) -> None:
        self._expect("end")

    def _conjunction(self, depth: int) -> Filter:
        terms = [self._term(depth)]
        while self._accept_word("and"):
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _term(self, depth: int) -> Filter:
        if self._accept("("):
            return self._closed(depth)
        if self._accept_word("not"):
            self._expect("(")
            return Not(self._closed(depth))
        path = self._attribute()
        if self._accept("["):
            return self._elements(path, depth)
        if self._accept_word("pr"):
            return Present(path)
        return Compare(path, self._operator(), self._value())

    def _closed(self, depth: int) -> Filter:
        inner = self.disjunction(depth + 1)
        self._expect(")")
        return inner

    def _elements(self, path: AttributePath, depth: int) -> Filter:
        """`emails[...]`, and Entra's `emails[...].value eq "x"`, which asks both of one and the same element."""
        inner = self.disjunction(depth + 1)
        self._expect("]")
        part = self._part_after_bracket()
        if part is None:
            return Elements(path, inner)
        asked: Filter
        if self._accept_word("pr"):
            asked = Present(AttributePath(part))
        else:
            asked = Compare(AttributePath(part), self._operator(), self._value())
        return Elements(path, And((inner, asked)))

    def _part_after_bracket(self) -> str | None:
        token = self._tokens[self._next]
        if token.kind != "word" or not token.text.startswith("."):
            return None
        self._next += 1
        return self._name(token.text[1:], token.at)

    def _attribute(self) -> AttributePath:
        token = self._take()
        if token.kind != "word" or token.text.lower() in _RESERVED:
            self._fail(f"an attribute's name is expected at {token.at}")
        urn, colon, rest = token.text.rpartition(":")
        if colon and not urn.lower().startswith("urn:"):
            self._fail(f"what stands before the colon at {token.at} is not the name of a schema")
        name, dot, sub = rest.partition(".")
        return AttributePath(
            self._name(name, token.at), self._name(sub, token.at) if dot else None, urn if colon else None
        )

    def _name(self, name: str, at: int) -> str:
        if not name or name[0] not in _NAME_START or not _NAME.issuperset(name):
            self._fail(f"an attribute's name is expected at {at}")
        return name

    def _operator(self) -> str:
        token = self._take()
        if token.kind != "word" or token.text.lower() not in OPERATORS:
            self._fail(f"one of {', '.join(OPERATORS)} or pr is expected at {token.at}")
        return token.text.lower()

    def _value(self) -> Value:
        token = self._take()
        text = token.text.lower() if token.text.lower() in ("true", "false", "null") else token.text
        if token.kind in ("string", "word"):
            try:
                value = json.loads(text, parse_constant=lambda _name: [])
            except (ValueError, RecursionError):
                value = []
            if isinstance(value, str) and not _is_plain(value):
                self._fail(f"the text at {token.at} holds a character that no attribute can hold")
            if isinstance(value, float) and not isfinite(value):
                self._fail(f"the number at {token.at} is too large")
            if value is None or isinstance(value, str | bool | int | float):
                return value
        self._fail(f'a value is expected at {token.at}: a text in quotes ("..."), a number, true, false or null')

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        if token.kind != "end":
            self._next += 1
        return token

    def _accept(self, kind: str) -> bool:
        if self._tokens[self._next].kind != kind:
            return False
        self._take()
        return True

    def _accept_word(self, word: str) -> bool:
        token = self._tokens[self._next]
        if token.kind != "word" or token.text.lower() != word:
            return False
        self._take()
        return True

    def _expect(self, kind: str) -> None:
        token = self._take()
        if token.kind != kind:
            wanted = "the end" if kind == "end" else f"“{kind}”"
            self._fail(f"{wanted} is expected at {token.at}")

    def _fail(self, why: str) -> NoReturn:
        raise self._problem(f"The {self._what} cannot be read: {why}.")


def _is_plain(text: str) -> bool:
    """Without NUL and without halves of surrogate pairs, which JSON's escapes can spell."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)
