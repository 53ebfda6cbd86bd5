"""The lists of models: OpenAI's shape at /v1/models, REST at /api/v1/models/."""

from collections.abc import Callable

from django.test import Client

from apps.routing import services
from apps.routing.contracts import NewPrice
from apps.tenants.contracts import Principal

KeyOf = Callable[[Principal], str]


def _offer(principal: Principal, slug: str, **terms: int | bool) -> None:
    provider_id = services.add_provider(name="Lab", base_url="http://127.0.0.1:9/v1", tenant_id=principal.tenant_id)
    services.register_model(
        provider_id=provider_id,
        upstream_model=f"up-{slug}",
        slug=slug,
        name=f"The {slug}",
        hue=4,
        price=NewPrice(150_000_000, 600_000_000),
    )


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_openai_list(alice: Principal, mallory: Principal, api_key_of: KeyOf) -> None:
    _offer(alice, "org/model-a")
    _offer(mallory, "hers")
    response = Client().get("/v1/models", headers=_bearer(api_key_of(alice)))
    assert response.status_code == 200
    document = response.json()
    assert document["object"] == "list"
    by_id = {entry["id"]: entry for entry in document["data"]}
    assert "hers" not in by_id
    entry = by_id["org/model-a"]
    assert (entry["object"], entry["owned_by"]) == ("model", "lab")
    assert isinstance(entry["created"], int)
    assert entry["switchboard"]["name"] == "The org/model-a"
    assert (entry["switchboard"]["input_usd_per_mtok"], entry["switchboard"]["output_usd_per_mtok"]) == (0.15, 0.6)


def test_openai_one_model(alice: Principal, mallory: Principal, api_key_of: KeyOf) -> None:
    _offer(alice, "org/model-a")
    key = api_key_of(alice)
    found = Client().get("/v1/models/org/model-a", headers=_bearer(key))
    assert (found.status_code, found.json()["id"]) == (200, "org/model-a")
    for caller, slug in ((key, "nothing"), (api_key_of(mallory), "org/model-a")):
        missing = Client().get(f"/v1/models/{slug}", headers=_bearer(caller))
        assert missing.status_code == 404
        assert missing.json()["error"]["code"] == "model_not_found"
        assert missing.json()["error"]["type"] == "invalid_request_error"


def test_openai_without_a_credential_that_counts() -> None:
    for headers in ({}, _bearer("sk-sb-abcdefghij-" + "x" * 43), _bearer("nonsense")):
        response = Client().get("/v1/models", headers=headers)
        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Bearer")
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_openai_takes_no_other_method(alice: Principal, api_key_of: KeyOf) -> None:
    assert Client().delete("/v1/models", headers=_bearer(api_key_of(alice))).status_code == 405


def test_rest_list(alice: Principal, mallory: Principal, client_of: Callable[[Principal], Client]) -> None:
    _offer(alice, "model-a")
    _offer(mallory, "hers")
    response = client_of(alice).get("/api/v1/models/")
    assert response.status_code == 200
    by_slug = {entry["slug"]: entry for entry in response.json()}
    assert "hers" not in by_slug
    assert by_slug["model-a"] == {
        "slug": "model-a",
        "name": "The model-a",
        "description": "",
        "policy": False,
        "hue": 4,
        "simulated": False,
        "reasoning": False,
        "context_tokens": 128_000,
        "max_output_tokens": 4_096,
        "input_usd_per_mtok": "0.15",
        "output_usd_per_mtok": "0.6",
    }


def test_rest_needs_somebody() -> None:
    response = Client().get("/api/v1/models/")
    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"
