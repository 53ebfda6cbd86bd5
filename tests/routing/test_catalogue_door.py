"""`GET /api/v1/catalogue/`: the whole catalogue of a workspace, for those who answer for it."""

from collections.abc import Callable

import pytest
from django.test import Client

from apps.routing import services
from apps.routing.catalogue_file import read
from apps.tenants.contracts import Principal
from tests.people import new_member

CATALOGUE = """
providers:
  - {slug: lab, name: Lab, base_url: "http://secret-host.example/v1", key_env: LAB_KEY}
models:
  - slug: big
    tools: true
    languages: [en, de]
    strength: 80
    fallbacks: {any: [small]}
    deployments:
      - {provider: lab, upstream_model: big-1, residency: eu, weight: 30, price: {input: 1.25, output: 10}}
  - slug: small
    deployments:
      - {provider: lab, upstream_model: small-1, free: true}
policies:
  - {slug: thrifty, kind: cheapest, models: [big, small], max_cost_usd: 0.25}
"""


@pytest.fixture
def offered(alice: Principal) -> Principal:
    services.load_catalogue(read(CATALOGUE), environment={"LAB_KEY": "sk-lab-secret"}, tenant_id=alice.tenant_id)
    return alice


def test_models_places_prices_and_policies(offered: Principal, client_of: Callable[[Principal], Client]) -> None:
    response = client_of(offered).get("/api/v1/catalogue/")
    assert response.status_code == 200
    assert "secret" not in response.content.decode(), "neither an address nor a key"
    body = response.json()
    assert body["residency"] == []
    big = next(model for model in body["models"] if model["slug"] == "big")
    assert (big["tools"], big["vision"], big["languages"], big["strength"]) == (True, False, ["de", "en"], 80)
    assert big["fallbacks"] == {"any": ["small"]}
    (place,) = big["deployments"]
    assert (place["provider"], place["residency"], place["weight"], place["enabled"]) == ("lab", "eu", 30, True)
    assert place["price"] == {
        "input_usd_per_mtok": "1.25",
        "cached_input_usd_per_mtok": "1.25",
        "cache_write_usd_per_mtok": "1.25",
        "output_usd_per_mtok": "10",
        "reasoning_usd_per_mtok": "10",
        "free": False,
    }
    policy = next(policy for policy in body["policies"] if policy["slug"] == "thrifty")
    assert (policy["kind"], policy["models"], policy["max_cost_usd"]) == ("cheapest", ["big", "small"], "0.25")


def test_it_is_for_those_who_may_change_the_workspace(
    offered: Principal, mallory: Principal, client_of: Callable[[Principal], Client]
) -> None:
    statuses = {
        role: client_of(new_member(offered, "ines", role)).get("/api/v1/catalogue/").status_code
        for role in ("admin", "billing_admin", "member", "viewer")
    }
    assert statuses == {"admin": 200, "billing_admin": 403, "member": 403, "viewer": 403}
    hers = client_of(mallory).get("/api/v1/catalogue/").json()
    assert {"big", "small"} & {model["slug"] for model in hers["models"]} == set()
