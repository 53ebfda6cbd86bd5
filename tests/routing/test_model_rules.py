"""A tenant's rules open the models of a tier to roles and teams; others neither see them nor may ask them."""

from collections.abc import Callable

import pytest
from django.test import Client

from apps.conversations import services as conversations
from apps.conversations.requests import turn_request
from apps.routing import selectors, services
from apps.routing.contracts import Call, NewPrice
from apps.routing.errors import ModelNotAllowed
from apps.routing.models import LanguageModel
from apps.tenants.contracts import Principal
from apps.tenants.models import Membership, ModelRule, Team, TeamMember
from apps.tenants.scope import tenant_scope


@pytest.fixture(autouse=True)
def strong(alice: Principal) -> str:
    """A model of the tier “pro”, offered to Alice's tenant alone."""
    provider_id = services.add_provider(
        name="Pro", base_url="http://127.0.0.1:9/v1", key="k-123456", tenant_id=alice.tenant_id
    )
    services.register_model(provider_id=provider_id, upstream_model="up", slug="strong", price=NewPrice(1, 2))
    LanguageModel.objects.using("engine").filter(tenant_id=alice.tenant_id, slug="strong").update(tier="pro")
    services.invalidate()
    return "strong"


def rule(principal: Principal, *, roles: list[str], teams: list[Team] | None = None) -> None:
    with tenant_scope(principal.tenant_id):
        ModelRule.objects.update_or_create(
            tenant_id=principal.tenant_id,
            tier="pro",
            defaults={"roles": roles, "teams": [team.id for team in teams or []]},
        )
    services.invalidate()


def sees(principal: Principal) -> bool:
    return "strong" in {card.slug for card in selectors.models_for(principal)}


def test_a_tier_without_a_rule_is_open(alice: Principal, bob: Principal) -> None:
    assert sees(alice)
    assert sees(bob)


def test_a_rule_opens_a_tier_to_roles(alice: Principal, bob: Principal) -> None:
    rule(alice, roles=["owner"])
    assert sees(alice)
    assert not sees(bob)


def test_a_rule_opens_a_tier_to_a_team(alice: Principal, bob: Principal) -> None:
    with tenant_scope(alice.tenant_id):
        team = Team.objects.create(tenant_id=alice.tenant_id, name="Research")
        membership = Membership.objects.get(user_id=bob.user_id, tenant_id=alice.tenant_id)
        TeamMember.objects.create(tenant_id=alice.tenant_id, team=team, membership=membership)
    rule(alice, roles=[], teams=[team])
    assert sees(bob)
    assert not sees(alice)


def test_what_is_withheld_cannot_be_planned_and_says_why(alice: Principal, bob: Principal) -> None:
    rule(alice, roles=["owner"])
    call = Call(tenant_id=bob.tenant_id, model="strong", prompt_bytes=10)
    assert services.plan(call, selectors.catalogue_for(alice)).model == "strong"
    with pytest.raises(ModelNotAllowed, match="pro") as refused:
        services.plan(call, selectors.catalogue_for(bob))
    assert (refused.value.status, refused.value.code) == (403, "model_not_allowed")


def test_no_door_asks_a_withheld_model(
    alice: Principal, bob: Principal, client_of: Callable[[Principal], Client]
) -> None:
    turn = conversations.start_turn(bob, turn_request({"message": "Before the rule", "models": ["strong"]}, None))
    rule(alice, roles=["owner"])
    browser = client_of(bob)
    asked = browser.post("/v1/chat/messages", {"message": "hi", "model": "strong"}, content_type="application/json")
    assert (asked.status_code, asked.json()["code"]) == (403, "model_not_allowed")
    conversations.cancel(bob, turn.generations[0].generation_id)
    again = browser.post(f"/v1/chat/generations/{turn.generations[0].generation_id}/retry")
    assert (again.status_code, again.json()["code"]) == (403, "model_not_allowed")
    assert "strong" not in {model["id"] for model in browser.get("/v1/models").json()["data"]}
    assert browser.get("/v1/models/strong").status_code == 404
    assert "strong" not in {model["slug"] for model in browser.get("/api/v1/models/").json()}


def test_a_rule_is_of_its_own_tenant(alice: Principal, mallory: Principal) -> None:
    rule(mallory, roles=[])
    assert sees(alice)
