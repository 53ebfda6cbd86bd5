"""Reading filters and paths: what they mean, that every tree has a text, and that no text does harm."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.tenants import scim_filter
from apps.tenants.scim_filter import (
    MAX_DEPTH,
    OPERATORS,
    And,
    AttributePath,
    Compare,
    Elements,
    Filter,
    Not,
    Or,
    PatchPath,
    Present,
    parse_filter,
    parse_path,
    render,
)
from apps.tenants.scim_match import equal_to, predicate
from apps.tenants.scim_problems import InvalidFilter, InvalidPath, ScimProblem
from apps.tenants.scim_schema import ENTERPRISE_USER, USERS

BJENSEN: dict[str, Any] = {
    "id": "2819c223",
    "userName": "BJensen@example.com",
    "externalId": "AbC",
    "active": True,
    "title": "",
    "name": {"familyName": "Jensen", "givenName": "Barbara"},
    "emails": [
        {"value": "bjensen@example.com", "type": "work", "primary": True},
        {"value": "babs@jensen.org", "type": "home"},
    ],
    "meta": {"created": "2026-01-02T03:04:05.000Z", "lastModified": "2026-05-01T00:00:00.000Z"},
    ENTERPRISE_USER: {"department": "Tours", "manager": {"value": "26118915"}},
}

_NAMES = st.from_regex(r"\A[A-Za-z][A-Za-z0-9_-]{0,8}\Z").filter(lambda name: name.lower() not in scim_filter._RESERVED)
_PATHS = st.builds(
    AttributePath,
    _NAMES,
    st.none() | _NAMES,
    st.none() | st.sampled_from(["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE_USER]),
)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_VALUES = _TEXTS | st.booleans() | st.none() | st.integers(-(10**9), 10**9) | st.floats(-1e6, 1e6)
_LEAVES = st.builds(Compare, _PATHS, st.sampled_from(OPERATORS), _VALUES) | st.builds(Present, _PATHS)


def _branches(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    terms = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(And, terms) | st.builds(Or, terms) | st.builds(Not, inner) | st.builds(Elements, _PATHS, inner)


_TREES: st.SearchStrategy[Filter] = st.recursive(_LEAVES, _branches, max_leaves=8)
_WORDS = [
    "userName",
    "emails",
    "[",
    "]",
    "(",
    ")",
    "eq",
    "and",
    "or",
    "not",
    "pr",
    '"x"',
    '"',
    ".value",
    "1e9",
    "\\",
    "active",
]


@given(_TREES)
@settings(max_examples=150, deadline=None)
def test_every_tree_is_read_from_its_own_text(tree: Filter) -> None:
    assert parse_filter(render(tree)) == tree


@given(st.text(max_size=60) | st.lists(st.sampled_from(_WORDS), max_size=14).map(" ".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (parse_filter, parse_path):
        try:
            found = read(text)
        except ScimProblem as problem:
            assert problem.status == 400
        else:
            assert found == read(str(found.path) if read is parse_path and found == PatchPath(found.path) else text)


@given(_TREES)
@settings(max_examples=150, deadline=None)
def test_any_tree_is_evaluated_or_refused(tree: Filter) -> None:
    try:
        fits = predicate(USERS, tree)
    except InvalidFilter:
        return
    assert fits(BJENSEN) in (True, False)
    assert predicate(USERS, Not(tree))(BJENSEN) is not fits(BJENSEN)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('userName eq "bjensen@EXAMPLE.com"', True),
        ('USERNAME Eq "bjensen@example.com"', True),
        ('userName ne "bjensen@example.com"', False),
        ('externalId eq "AbC"', True),
        ('externalId eq "abc"', False),
        ('id eq "2819c223"', True),
        ('name.familyName co "ense"', True),
        ('userName sw "bj"', True),
        ('userName ew ".com"', True),
        ('userName gt "a"', True),
        ('userName lt "a"', False),
        ("title pr", False),
        ("name pr", True),
        ("nickName pr", False),
        ("nickName eq null", True),
        ('nickName ne "x"', True),
        ("active eq true", True),
        ('active eq "True"', True),
        ("active eq FALSE", False),
        ('meta.lastModified gt "2026-04-30T23:00:00-00:30"', True),
        ('meta.lastModified ge "2026-05-01T00:00:00Z"', True),
        ('meta.created le "2025-01-01T00:00:00Z"', False),
        ('emails[type eq "work"].value eq "bjensen@example.com"', True),
        ('emails[type eq "home"].value eq "bjensen@example.com"', False),
        ('emails[type eq "work" and value co "@example.com"]', True),
        ('emails[not (type eq "work")]', True),
        ('emails.type eq "home"', True),
        ('emails eq "babs@jensen.org"', True),
        ("emails[primary eq true].value pr", True),
        (f'{ENTERPRISE_USER}:department eq "tours"', True),
        (f'{ENTERPRISE_USER.upper()}:manager.value eq "26118915"', True),
        ('active eq true and title pr or userName sw "b"', True),
        ('active eq true and (title pr or userName sw "x")', False),
        ('not (userName sw "x") and active eq true', True),
    ],
)
def test_a_filter_means_what_the_rfc_says(text: str, fits: bool) -> None:
    assert predicate(USERS, parse_filter(text))(BJENSEN) is fits


@pytest.mark.parametrize(
    "text",
    [
        "",
        "userName",
        "userName eq",
        'eq eq "x"',
        'userName = "x"',
        "userName eq x",
        'userName eq "x',
        'userName eq "\\u0000"',
        'userName eq "\\ud800"',
        'userName eq "x" and',
        'userName eq "x" nonsense',
        '(userName eq "x"',
        'not userName eq "x"',
        'emails[type eq "work"',
        'userName.given.more eq "x"',
        'user Name eq "x"',
        'userName eq "x"\0',
        "userName eq 1e999",
        "userName eq NaN",
        "userName eq [1]",
        "(" * (MAX_DEPTH + 1) + "title pr" + ")" * (MAX_DEPTH + 1),
        "(" * 100_000,
        "not (" * 700,
        "emails[" * 500,
        " or ".join(["title pr"] * 200),
        'userName eq "' + "x" * 5000 + '"',
    ],
)
def test_what_is_no_filter_is_refused_at_once(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidFilter):
        parse_filter(text)
    assert time.perf_counter() - began < 0.25


@pytest.mark.parametrize(
    "text",
    [
        'shoeSize eq "44"',
        'name.shoeSize eq "44"',
        'emails[shoeSize eq "44"]',
        'userName[value eq "x"]',
        "active gt true",
        'active eq "perhaps"',
        "userName eq true",
        'name eq "Barbara"',
        'meta.created gt "yesterday"',
        "userName gt null",
        'urn:other:User:userName eq "x"',
        'emails[emails[value eq "x"]]',
    ],
)
def test_what_cannot_be_compared_is_refused_whatever_there_is(text: str) -> None:
    with pytest.raises(InvalidFilter):
        predicate(USERS, parse_filter(text))


def test_texts_that_must_be_there_are_found_for_the_index() -> None:
    assert equal_to(USERS, parse_filter('userName eq "a" and (active eq true and externalId eq "b")')) == {
        "userName": "a",
        "externalId": "b",
    }
    assert equal_to(USERS, parse_filter('emails[type eq "work"].value eq "c"')) == {"emails.value": "c"}
    assert equal_to(USERS, parse_filter('userName eq "a" or externalId eq "b"')) == {}
    assert equal_to(USERS, parse_filter('not (userName eq "a")')) == {}


def test_a_path_names_an_attribute_elements_or_a_part_of_them() -> None:
    chosen = Compare(AttributePath("type"), "eq", "work")
    assert parse_path("name.givenName") == PatchPath(AttributePath("name", "givenName"))
    assert parse_path('emails[type eq "work"].value') == PatchPath(AttributePath("emails"), chosen, "value")
    assert parse_path(f"{ENTERPRISE_USER}:department") == PatchPath(AttributePath("department", None, ENTERPRISE_USER))
    for text in ("", "emails[", "emails[].value", 'emails[type eq "x"]value', "a.b.c", "1a", "foo:bar", ".value"):
        with pytest.raises(InvalidPath):
            parse_path(text)
