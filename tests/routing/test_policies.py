"""Which model a policy chooses under which constraint: the table of routing."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from apps.problems import Problem
from apps.routing import services
from apps.routing.contracts import Call, Catalogue, Difficulty, Needs, Plan, PolicyKind
from apps.routing.errors import ContextExceeded, ModelNotAllowed, NotCapable, TooDear, UnknownModel
from apps.routing.health import Health
from tests.routing.offers import TENANT, Speeds, catalogue, deployment, model, policy, price

CHEAP = model("cheap", deployment("cheap", at=price(0.1, 0.4)), profile={"strength": 40, "tools": True})
MIDDLE = model("middle", deployment("middle", at=price(1, 4)), profile={"strength": 60, "vision": True})
STRONG = model(
    "strong",
    deployment("strong", at=price(10, 40)),
    profile={"strength": 95, "tools": True, "vision": True, "json_schema": True, "safety_class": 2},
    context_tokens=200_000,
)
HARD, EASY = Difficulty(80, {"reasoning": 80}), Difficulty(10, {"length": 10})


def _order(
    kind: PolicyKind, speeds: Speeds | None = None, *, call: dict[str, Any] | None = None, **fields: Any
) -> list[str]:
    """Slugs of the candidates' models, in the order they will be tried."""
    ratings, slugs = fields.pop("ratings", {}), fields.pop("models", ())
    offered = catalogue(CHEAP, MIDDLE, STRONG, policies=(policy(kind, *slugs, **fields),), ratings=ratings)
    return [one.model for one in _plan(offered, speeds, **(call or {})).candidates]


def _plan(offered: Catalogue, speeds: Speeds | None = None, **call: Any) -> Plan:
    asked = Call(TENANT, **{"model": "pick", "prompt_bytes": 4_000, **call})
    return services.plan(asked, offered, speeds or Speeds())


def _measured(**first_token_seconds: float) -> Speeds:
    ids = {one.slug: one.deployments[0].id for one in (CHEAP, MIDDLE, STRONG)}
    return Speeds(
        {
            ids[slug]: Health(first_token_seconds=seconds, tokens_per_second=50.0)
            for slug, seconds in first_token_seconds.items()
        }
    )


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        (PolicyKind.FIXED, {}, "cheap middle strong"),
        (PolicyKind.FIXED, {"models": ("strong", "cheap")}, "strong cheap"),
        (PolicyKind.CHEAPEST, {"models": ("strong", "middle", "cheap")}, "cheap middle strong"),
        (PolicyKind.CHEAPEST, {"safety_class": 2}, "strong"),
        (PolicyKind.CHEAPEST, {"call": {"needs": Needs(vision=True)}}, "middle strong"),
        (PolicyKind.CHEAPEST, {"call": {"needs": Needs(tools=True)}}, "cheap strong"),
        (PolicyKind.CHEAPEST, {"call": {"needs": Needs(tools=True, vision=True)}}, "strong"),
        (PolicyKind.CHEAPEST, {"call": {"prompt_bytes": 60_000}}, "strong"),
        # 1,000 tokens in and 600 out cost 0.00034, 0.0034 and 0.034 dollars.
        (PolicyKind.FIXED, {"max_cost_nanousd": 5_000_000, "models": ("strong", "middle", "cheap")}, "middle cheap"),
        (PolicyKind.FIXED, {"call": {"max_cost_nanousd": 400_000}}, "cheap"),
        (PolicyKind.FIXED, {"max_cost_nanousd": 400_000, "call": {"max_cost_nanousd": 10**12}}, "cheap"),
        (PolicyKind.AUTO, {"call": {"difficulty": HARD}}, "strong middle cheap"),
        (PolicyKind.AUTO, {"call": {"difficulty": EASY}}, "cheap middle strong"),
        (PolicyKind.AUTO, {"call": {"difficulty": HARD}, "hard_from": 90}, "cheap middle strong"),
        (PolicyKind.AUTO, {"call": {"difficulty": HARD}, "hard_from": 80}, "strong middle cheap"),
        (PolicyKind.AUTO, {}, "cheap middle strong"),
        (PolicyKind.AUTO, {"call": {"difficulty": HARD}, "max_cost_nanousd": 5_000_000}, "middle cheap"),
        (PolicyKind.LEADERBOARD, {"ratings": {"middle": 1100.0, "strong": 1050.0}}, "middle strong cheap"),
        (PolicyKind.LEADERBOARD, {}, "cheap middle strong"),
    ],
)
def test_the_order_of_a_policy(kind: PolicyKind, more: dict[str, Any], expected: str) -> None:
    assert _order(kind, **more) == expected.split()


def test_the_fastest_is_the_one_measured_to_end_soonest_and_the_unmeasured_are_tried() -> None:
    assert _order(PolicyKind.FASTEST, _measured(cheap=3.0, middle=0.2, strong=1.0)) == ["middle", "strong", "cheap"]
    assert _order(PolicyKind.FASTEST, _measured(cheap=3.0, middle=0.6)) == ["strong", "middle", "cheap"]
    slow_writer = Speeds({MIDDLE.deployments[0].id: Health(first_token_seconds=0.1, tokens_per_second=5.0)})
    assert _order(PolicyKind.FASTEST, slow_writer)[-1] == "middle"


def test_models_slower_than_the_latency_target_come_last_and_are_still_tried() -> None:
    speeds = _measured(cheap=2.0, middle=0.3)
    assert _order(PolicyKind.CHEAPEST, speeds, max_first_token_ms=1000) == ["middle", "strong", "cheap"]
    assert _order(PolicyKind.CHEAPEST, speeds, call={"max_first_token_ms": 200}) == ["strong", "cheap", "middle"]


def test_weights_are_shares_and_a_conversation_keeps_what_it_drew() -> None:
    shares = {"cheap": 3.0, "strong": 1.0}
    firsts = [
        _order(PolicyKind.WEIGHTED, weights=shares, call={"conversation_id": UUID(int=number)})[0]
        for number in range(2_000)
    ]
    assert 0.70 < firsts.count("cheap") / 2_000 < 0.80
    assert "middle" not in firsts
    again = _order(PolicyKind.WEIGHTED, weights=shares, call={"conversation_id": UUID(int=7)})
    assert again[0] == firsts[7]


def test_what_a_policy_did_is_told() -> None:
    offered = catalogue(CHEAP, STRONG, policies=(policy(PolicyKind.AUTO, "cheap", "strong", "gone"),))
    plan = _plan(offered, difficulty=HARD)
    assert (plan.model, plan.model_name, plan.hue) == ("pick", "Pick", 2)
    assert plan.choice is not None
    assert plan.choice.rule == "The question looks difficult (80 of 100, from 50 on): the strongest model."
    assert [(one.model, one.strength) for one in plan.choice.ranking] == [("strong", 95), ("cheap", 40)]
    assert plan.choice.difficulty == HARD
    assert [(one.model, one.reason) for one in plan.excluded] == [("gone", "not_offered")]
    assert services.plan_from_json(services.plan_to_json(plan)) == plan


def test_a_model_of_the_name_comes_before_a_policy() -> None:
    plan = _plan(catalogue(model("pick"), CHEAP, policies=(policy(PolicyKind.FIXED, "cheap"),)))
    assert ([one.model for one in plan.candidates], plan.choice) == (["pick"], None)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ({"model": "nobody"}, UnknownModel),
        ({"model": "closed"}, ModelNotAllowed),
        ({"model": "cheap", "needs": Needs(vision=True)}, NotCapable),
        ({"model": "cheap", "prompt_bytes": 60_000}, ContextExceeded),
        ({"model": "cheap", "max_cost_nanousd": 1}, TooDear),
        ({"model": "pick", "max_cost_nanousd": 1}, TooDear),
    ],
)
def test_why_nothing_is_left(call: dict[str, Any], error: type[Problem]) -> None:
    offered = catalogue(CHEAP, policies=(policy(PolicyKind.FIXED, "cheap"),), withheld={"closed": "premium"})
    with pytest.raises(error):
        _plan(offered, **call)


def test_residency_rules_out_every_place_that_does_not_promise_it() -> None:
    here = deployment("here", residency="eu", at=price(5, 5))
    there, nowhere = deployment("there", residency="us"), deployment("nowhere")
    offered = catalogue(model("m", here, there, nowhere), residency=frozenset({"eu", "ch"}))
    plan = _plan(offered, model="m")
    assert [one.upstream_model for one in plan.candidates] == ["here"]
    assert {(one.upstream_model, one.reason) for one in plan.excluded} == {
        ("there", "residency"),
        ("nowhere", "residency"),
    }
    with pytest.raises(NotCapable, match="may be processed"):
        _plan(catalogue(model("m", there), residency=frozenset({"eu"})), model="m")


def test_a_language_rules_out_models_that_do_not_speak_it() -> None:
    german = model("german", profile={"languages": frozenset({"de", "en"})})
    plan = _plan(catalogue(german, MIDDLE, policies=(policy(PolicyKind.FIXED),)), needs=Needs(language="fr"))
    assert [one.model for one in plan.candidates] == ["middle"]


def test_fallbacks_come_after_the_first_choices_pass_the_same_filters_and_bind_the_reservation() -> None:
    first = model("first", fallbacks={"any": ["cheap", "gone"], "context": ["strong"], "overloaded": ["cheap"]})
    plan = _plan(catalogue(first, CHEAP, STRONG), model="first")
    assert [(one.model, one.after) for one in plan.candidates] == [
        ("first", None),
        ("cheap", "any"),
        ("strong", "context"),
    ]
    assert ("gone", "not_offered") in {(one.model, one.reason) for one in plan.excluded}
    assert plan.amount_bound_nanousd == max(one.amount_bound_nanousd for one in plan.candidates)
    assert plan.amount_bound_nanousd == plan.candidates[2].amount_bound_nanousd
    unpriced = replace(CHEAP, deployments=(replace(CHEAP.deployments[0], price=None),))
    refused = _plan(catalogue(first, unpriced, STRONG), model="first")
    assert "cheap" not in [one.model for one in refused.candidates]


def test_a_conversation_stays_at_its_place_and_leaves_it_only_when_it_is_busy() -> None:
    places = [deployment(f"p{number}", at=price(1, 1)) for number in range(4)]
    offered = catalogue(model("m", *places))
    conversation = uuid4()
    orders = {
        tuple(one.upstream_model for one in _plan(offered, model="m", conversation_id=conversation).candidates)
        for _ in range(20)
    }
    assert len(orders) == 1
    (home, second, *_) = _plan(offered, model="m", conversation_id=conversation).candidates
    a_little, a_lot = (
        Speeds({home.deployment_id: Health(in_flight=8)}),
        Speeds({home.deployment_id: Health(in_flight=9)}),
    )
    assert _plan(offered, a_little, model="m", conversation_id=conversation).candidates[0] == home
    assert _plan(offered, a_lot, model="m", conversation_id=conversation).candidates[0] == second
    firsts = [_plan(offered, model="m", conversation_id=uuid4()).candidates[0].upstream_model for _ in range(800)]
    assert all(120 < firsts.count(name) < 280 for name in ("p0", "p1", "p2", "p3"))


def test_without_a_conversation_the_less_busy_of_two_is_taken() -> None:
    busy, idle = deployment("busy", at=price(1, 1)), deployment("idle", at=price(1, 1))
    speeds = Speeds({busy.id: Health(in_flight=1)})
    offered = catalogue(model("m", busy, idle))
    assert {_plan(offered, speeds, model="m").candidates[0].upstream_model for _ in range(50)} == {"idle"}


def test_a_deployment_without_weight_is_only_a_reserve() -> None:
    used, reserve = deployment("used", at=price(1, 1)), deployment("reserve", at=price(1, 1), weight=0)
    offered = catalogue(model("m", reserve, used))
    orders = {
        tuple(one.upstream_model for one in _plan(offered, model="m", conversation_id=uuid4()).candidates)
        for _ in range(50)
    }
    assert orders == {("used", "reserve")}
