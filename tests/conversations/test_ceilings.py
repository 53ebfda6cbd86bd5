"""What an answer may cost and how soon it should begin: by workspace, chat and question; and what a budget leaves."""

from typing import Any
from uuid import uuid4

import pytest

from apps.billing import services as billing
from apps.billing.errors import OverBudget
from apps.conversations import requests, services, turns
from apps.conversations.contracts import Ceilings, TurnAccepted
from apps.conversations.errors import InvalidMessage
from apps.conversations.generation.window import Window
from apps.conversations.models import Generation
from apps.conversations.turns import PlannedLane
from apps.routing import services as routing
from apps.routing.contracts import Call, Excluded, NewPrice, Plan, PolicyKind
from apps.routing.errors import TooDear
from apps.routing.health import Health
from apps.routing.models import RoutingPolicy
from apps.tenants import teams
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.processes import Simulator
from tests.routing.offers import TENANT, Speeds, catalogue, deployment, model, policy, price

DEAR, CHEAP = "own-dear", "own-cheap"
BUDGET = "budget"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"max_cost_usd": "0.02"}, Ceilings(20_000_000)),
        ({"max_cost_usd": 0.02}, Ceilings(20_000_000)),
        ({"max_cost_usd": 2, "max_first_token_ms": 800}, Ceilings(2_000_000_000, 800)),
        ({"max_cost_usd": None, "max_first_token_ms": None}, Ceilings()),
    ],
)
def test_ceilings_are_read_exactly_and_tell_requests_apart(given: dict[str, Any], kept: Ceilings) -> None:
    plain = requests.turn_request({"message": "Hello"}, "k")
    request = requests.turn_request({"message": "Hello"} | given, "k")
    assert request.ceilings == kept
    assert (request.digest == plain.digest) == (kept == Ceilings())


@pytest.mark.parametrize("wrong", [0, -1, "much", True, [], "NaN", "1e9", 1e-12, "0.0000000001"])
def test_a_ceiling_that_is_none_is_refused_by_name(wrong: object) -> None:
    with pytest.raises(InvalidMessage) as refused:
        requests.turn_request({"message": "Hello", "max_cost_usd": wrong, "max_first_token_ms": wrong}, None)
    assert set(refused.value.fields or {}) == {"max_cost_usd", "max_first_token_ms"}


def test_the_tighter_ceiling_holds() -> None:
    assert Ceilings(5, None).within(Ceilings(7, 9)) == Ceilings(5, 9)
    assert Ceilings().within(Ceilings()) == Ceilings()


def _lane(*bounds_usd: float) -> PlannedLane:
    """A lane whose candidates cost so much for a million tokens, in this order."""
    places = [deployment(f"d{rate}", at=price(rate, rate), priority=n) for n, rate in enumerate(bounds_usd)]
    plan = routing.plan(Call(TENANT, "m", 744, max_output_tokens=1_000), catalogue(model("m", *places)))
    assert [one.amount_bound_nanousd for one in plan.candidates] == [round(rate * 2_000_000) for rate in bounds_usd]
    return PlannedLane(uuid4(), plan, Window(0, ()))


def _kept(lanes: list[PlannedLane] | None) -> list[list[str]] | None:
    return lanes and [[one.upstream_model for one in lane.plan.candidates] for lane in lanes]


def test_a_budget_keeps_what_it_covers_of_every_lane() -> None:
    lanes = [_lane(5, 1), _lane(3, 1)]
    assert _kept(turns.within(lanes, 16_000_000)) == [["d5", "d1"], ["d3", "d1"]]
    assert _kept(turns.within(lanes, 12_000_000)) == [["d5", "d1"], ["d1"]]
    assert _kept(turns.within(lanes, 11_999_999)) == [["d1"], ["d3", "d1"]]
    assert _kept(turns.within(lanes, 4_000_000)) == [["d1"], ["d1"]]
    assert turns.within(lanes, 3_999_999) is None
    (first, _) = turns.within(lanes, 4_000_000) or []
    assert first.plan.excluded == (Excluded("Sim", "d5", BUDGET, "m"),)
    assert sum(cost.amount_nanousd for cost in turns.costs(turns.within(lanes, 12_000_000) or [])) <= 12_000_000


def test_a_fallback_alone_is_not_admitted() -> None:
    offered = catalogue(
        model("m", deployment("m", at=price(9, 9)), fallbacks={"any": ["cheap"]}),
    )
    offered = catalogue(*offered.models.values(), model("cheap", deployment("c", at=price(1, 1))))
    plan = routing.plan(Call(TENANT, "m", 744, max_output_tokens=1_000), offered)
    assert [one.upstream_model for one in plan.candidates] == ["m", "c"]
    assert turns.within([PlannedLane(uuid4(), plan, Window(0, ()))], 17_999_999) is None


@pytest.fixture
def chosen(alice: Principal, provider_simulator: Simulator) -> str:
    """A policy that prefers a dear model to a cheap one."""
    provider = routing.add_provider(
        name="Own", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True, tenant_id=alice.tenant_id
    )
    for slug, usd in ((DEAR, 10), (CHEAP, 1)):
        rate = NewPrice(usd * 10**9, usd * 10**9)
        routing.register_model(
            provider_id=provider, upstream_model="bench", price=rate, slug=slug, max_output_tokens=1_000
        )
    RoutingPolicy.objects.using("engine").create(
        tenant_id=alice.tenant_id,
        slug="own-choice",
        name="Own choice",
        kind=RoutingPolicy.Kind.FIXED,
        models_chosen_from=[DEAR, CHEAP],
    )
    routing.invalidate(alice.tenant_id)
    return "own-choice"


def _ask(principal: Principal, chosen: str, **body: Any) -> TurnAccepted:
    return services.start_turn(principal, requests.turn_request({"message": "Hello", "model": chosen} | body, None))


def _plan(principal: Principal, turn: TurnAccepted) -> Plan:
    with tenant_scope(principal.tenant_id):
        row = Generation.objects.get(id=turn.generations[0].generation_id)
    services.cancel(principal, row.id)
    return routing.plan_from_json(row.plan)


def test_what_a_budget_does_not_cover_is_left_out_and_told(alice: Principal, chosen: str) -> None:
    assert [one.model for one in _plan(alice, _ask(alice, chosen)).candidates] == [DEAR, CHEAP]
    billing.set_quota(tenant_id=alice.tenant_id, budget_month_nanousd=2_000_000)
    plan = _plan(alice, _ask(alice, chosen))
    assert [one.model for one in plan.candidates] == [CHEAP]
    assert [(one.model, one.reason) for one in plan.excluded] == [(DEAR, BUDGET)]
    billing.set_quota(tenant_id=alice.tenant_id, budget_month_nanousd=1_000)
    with pytest.raises(OverBudget):
        _ask(alice, chosen)


def test_workspace_chat_and_question_each_have_a_ceiling(alice: Principal, chosen: str) -> None:
    dear_nanousd = 10_000_000  # 600 tokens of an answer at 10 dollars a million, and what was said before
    first = _ask(alice, chosen, max_cost_usd="0.004")
    assert [one.model for one in _plan(alice, first).candidates] == [CHEAP]
    again = {"conversation_id": str(first.conversation_id)}
    assert len(_plan(alice, _ask(alice, chosen, **again)).candidates) == 2, "that was for one question"

    services.limit(alice, first.conversation_id, Ceilings(4_000_000))
    assert [one.model for one in _plan(alice, _ask(alice, chosen, **again)).candidates] == [CHEAP]
    services.limit(alice, first.conversation_id, Ceilings(dear_nanousd))
    assert len(_plan(alice, _ask(alice, chosen, **again)).candidates) == 2

    teams.change_tenant(alice, max_cost_nanousd=4_000_000)
    routing.invalidate(alice.tenant_id)
    assert [one.model for one in _plan(alice, _ask(alice, chosen, **again)).candidates] == [CHEAP]
    with pytest.raises(TooDear):
        _ask(alice, DEAR)
    teams.change_tenant(alice, max_cost_nanousd=0)
    routing.invalidate(alice.tenant_id)
    assert len(_plan(alice, _ask(alice, chosen, **again)).candidates) == 2


def test_a_workspaces_delay_puts_slow_models_last() -> None:
    slow, quick = deployment("slow"), deployment("quick")
    models = (model("slow", slow), model("quick", quick))
    speeds = Speeds({slow.id: Health(first_token_seconds=2.0), quick.id: Health(first_token_seconds=0.1)})
    for target_ms, first in ((None, "slow"), (500, "quick")):
        offered = catalogue(
            *models, policies=(policy(PolicyKind.FIXED, "slow", "quick"),), max_first_token_ms=target_ms
        )
        plan = routing.plan(Call(TENANT, "pick", 400), offered, speeds)
        assert plan.candidates[0].model == first
