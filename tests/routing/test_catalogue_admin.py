"""The administration of the catalogue, as an operator meets it."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.routing import provider_keys, services
from apps.routing.contracts import NewPrice
from apps.routing.models import Deployment, LanguageModel, Price, Provider, RoutingPolicy
from apps.tenants.contracts import Principal
from apps.tenants.models import Tenant
from tests.people import Operator, new_address, prove_second_factor

URL = "http://ollama:11434/v1"


@pytest.fixture
def desk(operator: Operator) -> Client:
    client = Client(REMOTE_ADDR=new_address())
    client.force_login(User.objects.get(id=operator.id))
    prove_second_factor(client, operator.id)
    return client


def _form(principal: Principal, **fields: Any) -> dict[str, Any]:
    basis = {
        "tenant": str(principal.tenant_id),
        "slug": "lab",
        "name": "Lab",
        "adapter": "openai_compatible",
        "address": URL,
        "key": "",
        "enabled": "on",
    }
    return {**basis, **fields}


def _provider(principal: Principal) -> Provider:
    return Provider.objects.using("engine").get(tenant_id=principal.tenant_id)


def _errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200
    return dict(response.context["adminform"].form.errors)


def test_a_provider_is_added_with_its_key_sealed(desk: Client, alice: Principal) -> None:
    response = desk.post("/admin/routing/provider/add/", _form(alice, key="sk-lab-key", address="http://ollama:11434"))
    assert response.status_code == 302
    provider = _provider(alice)
    assert provider.base_url == URL
    assert provider_keys.open_key(provider.id, provider.sealed_key) == "sk-lab-key"
    page = desk.get(f"/admin/routing/provider/{provider.id}/change/")
    assert URL in page.content.decode()
    assert "sk-lab-key" not in page.content.decode()
    assert provider.sealed_key not in page.content.decode()


def test_a_new_address_demands_the_key_again(desk: Client, alice: Principal) -> None:
    desk.post("/admin/routing/provider/add/", _form(alice, key="sk-lab-key"))
    provider = _provider(alice)
    change = f"/admin/routing/provider/{provider.id}/change/"
    refused = desk.post(change, _form(alice, address="http://evil.example/v1"))
    assert _errors(refused) == {"key": ["The address changes, so give the key again."]}
    assert _provider(alice).base_url == URL
    assert desk.post(change, _form(alice, name="Renamed")).status_code == 302
    assert provider_keys.open_key(provider.id, _provider(alice).sealed_key) == "sk-lab-key"
    assert desk.post(change, _form(alice, address="http://new.example/v1", key="sk-new")).status_code == 302
    assert provider_keys.open_key(provider.id, _provider(alice).sealed_key) == "sk-new"
    assert desk.post(change, _form(alice, address="http://open.example/v1", remove_key="on")).status_code == 302
    assert (_provider(alice).sealed_key, _provider(alice).base_url) == ("", "http://open.example/v1")


def test_a_slug_is_taken_once_per_tenant(desk: Client, alice: Principal, mallory: Principal) -> None:
    assert desk.post("/admin/routing/provider/add/", _form(alice)).status_code == 302
    assert "__all__" in _errors(desk.post("/admin/routing/provider/add/", _form(alice)))
    assert desk.post("/admin/routing/provider/add/", _form(mallory)).status_code == 302


@pytest.mark.parametrize("address", ["ftp://example.com", "http://user:pw@example.com", ""])
def test_an_address_that_is_refused(desk: Client, alice: Principal, address: str) -> None:
    assert "address" in _errors(desk.post("/admin/routing/provider/add/", _form(alice, address=address)))
    assert not Provider.objects.using("engine").filter(tenant_id=alice.tenant_id).exists()


def test_model_deployment_and_price_are_made_by_hand(desk: Client, alice: Principal) -> None:
    tenant = str(alice.tenant_id)
    desk.post("/admin/routing/provider/add/", _form(alice))
    model = {
        "tenant": tenant,
        "slug": "m",
        "name": "Em",
        "hue": 2,
        "context_tokens": 100,
        "max_output_tokens": 10,
        "tier": "standard",
        "safety_class": 1,
        "kind": "chat",
    }
    made = desk.post("/admin/routing/languagemodel/add/", {**model, "position": 1, "enabled": "on"})
    assert made.status_code == 302
    row = LanguageModel.objects.using("engine").get(tenant_id=alice.tenant_id)
    made = desk.post(
        "/admin/routing/deployment/add/",
        {
            "tenant": tenant,
            "model": str(row.id),
            "provider": str(_provider(alice).id),
            "upstream_model": "up",
            "priority": 1,
            "weight": 100,
            "max_waiting": 0,
            "enabled": "on",
        },
    )
    assert made.status_code == 302
    deployment = Deployment.objects.using("engine").get(model=row)
    price = {"tenant": tenant, "deployment": str(deployment.id), "valid_from_0": "2026-01-01", "valid_from_1": "00:00"}
    zeros = {"input_nanousd_per_mtok": 0, "output_nanousd_per_mtok": 0}
    assert "__all__" in _errors(desk.post("/admin/routing/price/add/", {**price, **zeros}))
    assert desk.post("/admin/routing/price/add/", {**price, **zeros, "free": "on"}).status_code == 302
    version = Price.objects.using("engine").get(deployment=deployment)
    assert desk.post(f"/admin/routing/price/{version.id}/change/", {**price, **zeros}).status_code == 403


def test_lists_are_shown_and_nothing_can_be_deleted(
    desk: Client, alice: Principal, client_of: Callable[[Principal], Client]
) -> None:
    provider_id = services.add_provider(name="Listed", base_url=URL, tenant_id=alice.tenant_id)
    slug = f"listed-{uuid4()}"
    services.register_model(provider_id=provider_id, upstream_model=slug, price=NewPrice(1, 2))
    for table in ("provider", "languagemodel", "deployment", "price"):
        page = desk.get(f"/admin/routing/{table}/", {"q": "listed"})
        assert page.status_code == 200
        assert slug in page.content.decode() or table == "provider"
        assert client_of(alice).get(f"/admin/routing/{table}/").status_code == 302, "not for a tenant's people"
    assert desk.post(f"/admin/routing/provider/{provider_id}/delete/", {"post": "yes"}).status_code == 403
    assert Provider.objects.using("engine").filter(id=provider_id).exists()


def _model(principal: Principal, **fields: Any) -> dict[str, Any]:
    basis = {
        "tenant": str(principal.tenant_id),
        "slug": "m",
        "name": "Em",
        "hue": 2,
        "context_tokens": 100,
        "max_output_tokens": 10,
        "tier": "standard",
        "safety_class": 1,
        "kind": "chat",
        "position": 1,
        "enabled": "on",
    }
    return {**basis, **fields}


def test_fallbacks_are_lists_of_models_by_kind(desk: Client, alice: Principal) -> None:
    add = "/admin/routing/languagemodel/add/"
    for wrong in ('{"sometimes": ["n"]}', '{"any": "n"}', '{"any": [1]}', '["n"]'):
        assert "fallbacks" in _errors(desk.post(add, _model(alice, fallbacks=wrong))), wrong
    right = '{"any": ["n"], "context": []}'
    assert desk.post(add, _model(alice, fallbacks=right, languages="en,de")).status_code == 302
    row = LanguageModel.objects.using("engine").get(tenant_id=alice.tenant_id)
    assert (row.fallbacks, row.languages) == ({"any": ["n"], "context": []}, ["en", "de"])


def test_a_policy_is_made_by_an_operator_and_looked_at_by_the_tenant(
    desk: Client, alice: Principal, client_of: Callable[[Principal], Client]
) -> None:
    add = "/admin/routing/routingpolicy/add/"
    policy = {
        "tenant": str(alice.tenant_id),
        "slug": "mix",
        "name": "The mixture",
        "hue": 2,
        "kind": "weighted",
        "hard_from": 50,
        "safety_class": 0,
        "max_cost_nanousd": "0.25",
        "position": 50,
        "enabled": "on",
    }
    for wrong in ('{"m": -1}', '{"m": "1"}', '{"m": true}', '{"m": 0}', "[1]", "{}", ""):
        assert "weights" in _errors(desk.post(add, {**policy, "weights": wrong})), wrong
    assert desk.post(add, {**policy, "weights": '{"m": 1, "n": 2.5}'}).status_code == 302
    row = RoutingPolicy.objects.using("engine").get(tenant_id=alice.tenant_id)
    assert (row.weights, row.max_cost_nanousd) == ({"m": 1, "n": 2.5}, 250_000_000)
    assert "The mixture" in desk.get("/admin/routing/routingpolicy/", {"q": "mixture"}).content.decode()
    own = client_of(alice)
    prove_second_factor(own, alice.user_id)
    page = own.get(f"/manage/routing/routingpolicy/{row.id}/change/")
    assert page.status_code == 200
    assert "The mixture" in page.content.decode()
    assert own.post(f"/manage/routing/routingpolicy/{row.id}/change/", {"name": "Mine"}).status_code == 403


def test_where_a_tenants_prompts_may_go_is_set_by_an_operator(desk: Client, alice: Principal) -> None:
    row = Tenant.objects.using("engine").get(id=alice.tenant_id)
    form = {"name": row.name, "slug": row.slug, "plan": row.plan, "status": row.status, "residency": "eu,own"}
    assert desk.post(f"/admin/tenants/tenant/{row.id}/change/", form).status_code == 302
    assert Tenant.objects.using("engine").get(id=row.id).residency == ["eu", "own"]
