"""A catalogue as a bounded caller finds it."""

from uuid import uuid4

from apps.billing.contracts import TokenBound
from apps.routing.contracts import Catalogue, OfferedModel, OfferedPolicy, PolicyKind
from apps.routing.narrowing import Narrowed

NOBODY = (None, None)


def model(slug: str, tier: str = "standard") -> OfferedModel:
    return OfferedModel(slug, slug, 1, "", False, 1_000, 100, 0, tier, ())


WHOLE = Catalogue(
    uuid4(),
    {one.slug: one for one in (model("a"), model("b"), model("dear", "frontier"))},
    policies={"any": OfferedPolicy("any", "Any", 1, "", PolicyKind.FIXED)},
    embedders={"vectors": model("vectors")},
    side_models={"guard": model("guard"), "vectors": model("vectors")},
)


def test_nothing_but_the_named_is_left_and_the_rest_says_why_it_is_not() -> None:
    found = Narrowed(WHOLE).get(frozenset({"frontier"}), frozenset({"a", "dear", "vectors", "gone"}), NOBODY)
    assert (set(found.models), set(found.embedders), set(found.policies)) == ({"a"}, {"vectors"}, set())
    assert found.withheld == {"dear": "frontier"}
    assert found.beyond_key == {"b", "any"}
    assert found.side_models == WHOLE.side_models, "the workspace's settings choose these, and no caller"


def test_without_a_list_only_tiers_are_closed() -> None:
    found = Narrowed(WHOLE).get(frozenset({"frontier"}), None, NOBODY)
    assert (set(found.models), set(found.policies), found.beyond_key) == ({"a", "b"}, {"any"}, frozenset())


def test_what_was_made_is_not_made_again_and_does_not_grow_for_ever() -> None:
    narrowed = Narrowed(WHOLE)
    first = narrowed.get(frozenset(), frozenset({"a", "b"}), NOBODY)
    assert narrowed.get(frozenset(), frozenset({"b", "a"}), NOBODY) is first
    assert narrowed.get(frozenset(), frozenset({"a"}), NOBODY) is not first
    bounded = narrowed.get(frozenset(), frozenset({"a", "b"}), (TokenBound(9, "you"), None))
    assert (bounded.input_bound, bounded.output_bound) == (TokenBound(9, "you"), None)
    for number in range(2_000):
        narrowed.get(frozenset(), frozenset({str(number)}), NOBODY)
    assert len(narrowed._made) <= 256
