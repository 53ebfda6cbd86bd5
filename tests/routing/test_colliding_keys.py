"""Names and digests that keep callers apart: no two things share one, however their parts are put together."""

import json
import unicodedata
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from apps.limits import protocol
from apps.limits.contracts import Level, Scope
from apps.limits.errors import OutOfRange
from apps.problems import Invalid
from apps.routing.caches import exact, key
from apps.routing.contracts import Prompt
from apps.routing.repeats.place import checked, fingerprint, place_of
from tests.routing.cached_plan import PLAN

settings.register_profile("colliding", max_examples=30, deadline=None)
_QUICK = settings.get_profile("colliding")

# What separates parts somewhere, what ends texts somewhere, and what some programs fold together.
_BORDERS = ':|,;/"\\{}[]\n\t \0'
_FOLDED = ["null", "\u00e9", "e\u0301", "\ufb01", "fi", "\u2126", "\u03a9", "\U0001f600"]
TEXT = st.lists(st.sampled_from([*_BORDERS, *_FOLDED, "a", "b", "1"]), max_size=6).map("".join)
IDS = [UUID(int=0), UUID(int=1), UUID(int=0x10), UUID("0" * 31 + "a"), UUID("a" + "0" * 31)]
ID = st.sampled_from(IDS)


@st.composite
def two_splits(draw: st.DrawFn) -> tuple[tuple[str, str], tuple[str, str]]:
    """One text, cut in two at two places: what a plain concatenation cannot tell apart."""
    text = draw(TEXT)
    cuts = [draw(st.integers(0, len(text))) for _ in range(2)]
    return (text[: cuts[0]], text[cuts[0] :]), (text[: cuts[1]], text[cuts[1] :])


_PLACE = st.tuples(ID, ID, st.none() | ID, TEXT, TEXT)


@_QUICK
@given(_PLACE, _PLACE)
@example((IDS[0], IDS[1], None, "/v1/messages", "k"), (IDS[0], IDS[1], IDS[1], "/v1/messages", "k"))
@example((IDS[0], IDS[1], None, "a", "\u00e9"), (IDS[0], IDS[1], None, "a", "e\u0301"))
@example((IDS[0], IDS[1], None, "a", "b|c"), (IDS[0], IDS[1], None, "a|b", "c"))
def test_two_idempotency_keys_share_no_place(one: Any, other: Any) -> None:
    places = [place_of(*parts) for parts in (one, other)]
    names = [set(place.names("p:")) for place in places]
    assert (places[0] == places[1]) == (one == other)
    if one != other:
        # Two keys of one tenant share its index, and nothing of their own.
        assert all("repeats" in name or "}:limits" in name for name in names[0] & names[1])
    if one[0] != other[0]:
        assert not names[0] & names[1]


@_QUICK
@given(two_splits())
def test_where_route_and_key_meet_makes_a_difference(splits: Any) -> None:
    (one, other), tenant, user = splits, IDS[0], IDS[1]
    same = place_of(tenant, user, None, *one) == place_of(tenant, user, None, *other)
    assert same == (one == other)


@_QUICK
@given(st.binary(max_size=300), st.binary(max_size=300))
@example(b"a", b"a\xa0")
@example("\u00e9".encode(), b"e")
def test_two_headers_are_two_keys_or_refused(one: bytes, other: bytes) -> None:
    keys = []
    for header in (one, other):
        try:
            keys.append(checked(header))
        except Invalid:
            assert not 0 < len(header) <= 255 or not header.isascii() or not header.decode().isprintable()
            return
    assert (keys[0] == keys[1]) == (one == other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 0.5]) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@_QUICK
@given(JSON, JSON)
@example({"a": 1}, {"a": True})
@example({"a": None}, {})
@example(["a", "b"], ["a,b"])
@example({"a": "\u00e9"}, {"a": "e\u0301"})
def test_two_bodies_share_no_fingerprint(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint(one) == fingerprint(other)) == same


_CALL = st.tuples(ID, st.none() | ID, st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXT), min_size=1))


def _prompt(turns: list[tuple[str, str]]) -> Prompt:
    return Prompt([{"role": role, "content": content} for role, content in turns])


@_QUICK
@given(_CALL, _CALL)
def test_two_calls_share_no_cached_answer(one: Any, other: Any) -> None:
    digests = [key.exact_key(tenant, owner, PLAN, _prompt(turns)) for tenant, owner, turns in (one, other)]
    assert all(digests)
    assert (digests[0] == digests[1]) == (one == other)
    names = [exact.name_of(call[0], digest or b"") for call, digest in zip((one, other), digests, strict=True)]
    assert (names[0] == names[1]) == (one == other)


@_QUICK
@given(two_splits(), st.sampled_from(["user", "assistant"]))
def test_where_two_messages_meet_makes_a_difference(splits: Any, role: str) -> None:
    digests = [key.exact_key(IDS[0], None, PLAN, _prompt([(role, first), (role, second)])) for first, second in splits]
    assert (digests[0] == digests[1]) == (splits[0] == splits[1])


@_QUICK
@given(two_splits(), two_splits())
def test_two_contexts_of_the_semantic_cache_share_no_place(parts: Any, turns: Any) -> None:
    """Of the last question only its signature counts; it, the embedder and what came before have borders."""

    def digest(embedder: str, signature: str, before: tuple[str, str]) -> bytes | None:
        prompt = _prompt([("user", before[0]), ("assistant", before[1]), ("user", "compared by meaning")])
        return key.context_key(IDS[0], None, PLAN, prompt, embedder=embedder, signature=signature)

    one, other = digest(*parts[0], turns[0]), digest(*parts[1], turns[1])
    assert (one == other) == (parts[0] == parts[1] and turns[0] == turns[1])


def test_composed_and_decomposed_letters_are_two_questions() -> None:
    composed = "caf\u00e9"
    decomposed = unicodedata.normalize("NFD", composed)
    tenant = uuid4()
    digests = {key.exact_key(tenant, None, PLAN, _prompt([("user", text)])) for text in (composed, decomposed)}
    assert len(digests) == 2


_WORDS = st.text(alphabet="ab:._-1", min_size=1, max_size=8)


@_QUICK
@given(_WORDS, _WORDS)
@example("a", "a:open")
@example("a", "a:settlements")
def test_two_tenants_share_no_counter(one: str, other: str) -> None:
    assume(one != other)
    keys = [set(protocol.bump_epoch("", tenant).keys) for tenant in (one, other)]
    assert not keys[0] & keys[1]


@_QUICK
@given(st.sampled_from(list(Level)), _WORDS, st.sampled_from(list(Level)), _WORDS)
@example(Level.USER, "a", Level.USER, "a:a")
def test_two_scopes_of_limits_share_no_field(level: Level, id: str, other_level: Level, other_id: str) -> None:
    one, other = Scope(level, id), Scope(other_level, other_id)
    assert (str(one) == str(other)) == (one == other)
    assert Scope.parse(str(one)) == one


@pytest.mark.parametrize("id", ["a|2026-11", "a b", "a}", "a\nb", "", "\u00e9", "x" * 81])
def test_an_id_that_could_be_taken_for_a_border_limits_nothing(id: str) -> None:
    with pytest.raises(OutOfRange):
        Scope(Level.KEY, id)
