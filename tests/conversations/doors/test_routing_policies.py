"""A policy is asked for like a model, answers through one of its models, and says why; that model is charged."""

from collections.abc import Callable, Iterator

import pytest

from apps.billing.models import LedgerEntry
from apps.routing import evidence
from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.routing.models import LanguageModel, RoutingPolicy
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.doors.caller import Caller
from tests.processes import Simulator

pytestmark = pytest.mark.usefixtures("web", "worker")

HARD = "Prove step by step that $a^2 \\ge 0$, compare two ways, and analyse which is shorter."


@pytest.fixture
def policy(alice: Principal, provider_simulator: Simulator) -> Iterator[str]:
    """Alice's workspace has two models of its own and a policy over them."""
    provider_id = routing.add_provider(
        name="Own", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True, tenant_id=alice.tenant_id
    )
    for slug, rate, strength in (("own-small", 1, 30), ("own-large", 20, 90)):
        made = routing.register_model(
            provider_id=provider_id,
            upstream_model="bench+tokens=12+tps=0",
            price=NewPrice(rate * 10**8, rate * 10**8),
            slug=slug,
        )
        LanguageModel.objects.using("engine").filter(id=made.model_id).update(strength=strength)
    RoutingPolicy.objects.using("engine").create(
        tenant_id=alice.tenant_id,
        slug="own-auto",
        name="Own choice",
        kind=RoutingPolicy.Kind.AUTO,
        models_chosen_from=["own-small", "own-large"],
    )
    evidence.store(alice.tenant_id, "own-auto", {"questions": 50, "router": {"apgr": {"value": 0.8}}})
    yield "own-auto"


def test_difficulty_decides_and_the_route_tells_it(caller: Caller, alice: Principal, policy: str) -> None:
    answered = {}
    for message in ("Hello!", HARD):
        response = caller.http.post("/v1/chat/messages", json={"message": message, "models": [policy]})
        (answer,) = response.json()["answers"]
        assert (answer["model"], answer["state"]) == (policy, "completed")
        slug = answer["route"]["answered_by"]["slug"]
        told = f'"{slug}";lane=1;asked="{policy}";provider="Own";state="completed";attempts=1'
        assert response.headers["X-Switchboard-Route"] == told
        answered[message] = answer
    easy, hard = answered["Hello!"]["route"], answered[HARD]["route"]
    assert (easy["answered_by"]["slug"], hard["answered_by"]["slug"]) == ("own-small", "own-large")
    assert hard["choice"]["difficulty"]["score"] >= 50 > easy["choice"]["difficulty"]["score"]
    assert [one["slug"] for one in hard["candidates"]] == ["own-large", "own-small"]
    # Charged is who answered, and the alternatives are priced by what this answer used.
    costs = {one["slug"]: float(one["would_cost_usd"]) for one in hard["candidates"]}
    assert costs["own-large"] == pytest.approx(float(answered[HARD]["cost"]["usd"]))
    assert costs["own-large"] == pytest.approx(20 * costs["own-small"], rel=0.01)
    with tenant_scope(alice.tenant_id):
        charged = LedgerEntry.objects.filter(call_id=answered[HARD]["generation_id"]).values_list("model", flat=True)
        assert list(charged) == ["own-large"]


def test_lists_show_the_policy_to_its_workspace_alone(
    caller_of: Callable[[Principal], Caller], alice: Principal, mallory: Principal, policy: str
) -> None:
    caller, stranger = caller_of(alice), caller_of(mallory)
    listed = {one["id"]: one for one in caller.http.get("/v1/models").json()["data"]}
    assert listed[policy]["owned_by"] == "switchboard"
    assert listed[policy]["switchboard"]["policy"] is True
    assert caller.http.get(f"/v1/models/{policy}").json()["id"] == policy
    assert policy not in {one["id"] for one in stranger.http.get("/v1/models").json()["data"]}
    refused = stranger.http.post("/v1/chat/messages", json={"message": "Hi", "models": [policy]})
    assert (refused.status_code, refused.json()["code"]) == (404, "model_not_found")
