"""How large a call may be: limits of tenant, team, person and key, told in each door's own form."""

from collections.abc import Callable
from uuid import UUID

import httpx
import pytest

from apps.billing import services as billing
from apps.billing.models import LedgerEntry
from apps.routing import services as routing
from apps.tenants import membership, teams
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal
from tests.gateway.conftest import PRICE, ClientOf
from tests.processes import Simulator
from tests.product import WebServer

Ledger = Callable[[UUID, int], list[LedgerEntry]]
LONG = "word " * 400  # about 500 tokens
# What OpenAI calls the parameter at fault at each door.
PARAMS = {
    "/v1/chat/completions": {"context_length_exceeded": "messages", "max_output_tokens_exceeded": "max_tokens"},
    "/v1/responses": {"context_length_exceeded": "input", "max_output_tokens_exceeded": "max_output_tokens"},
    "/v1/messages": {"context_length_exceeded": None, "max_output_tokens_exceeded": None},
}


def ask(web: WebServer, key: str, door: str, text: str, max_tokens: int | None) -> httpx.Response:
    said = [{"role": "user", "content": text}]
    body: dict[str, object] = {"model": "gw-quick"}
    match door:
        case "/v1/responses":
            body |= {"input": text} | ({} if max_tokens is None else {"max_output_tokens": max_tokens})
        case "/v1/embeddings":
            body |= {"input": text}
        case _:
            body |= {"messages": said} | ({} if max_tokens is None else {"max_tokens": max_tokens})
    return httpx.post(f"{web.url}{door}", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=20)


@pytest.mark.parametrize("door", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
def test_what_is_too_large_is_refused_and_costs_nothing(
    web: WebServer, alice: Principal, ledger: Ledger, door: str
) -> None:
    key = tenants.create_api_key(alice, "app")
    billing.set_quota(tenant_id=alice.tenant_id, max_input_tokens=200, max_output_tokens=300)
    assert ask(web, key.secret, door, "hello", 300).status_code == 200
    for text, most, code, told in (
        (LONG, 10, "context_length_exceeded", "your organisation is 200 tokens of input"),
        ("hello", 301, "max_output_tokens_exceeded", "your organisation is 300 tokens of output"),
    ):
        refused = ask(web, key.secret, door, text, most)
        error = refused.json()["error"]
        assert refused.status_code == 400 and told in error["message"], error
        assert error["type"] == "invalid_request_error"
        assert error.get("code", code) == code
        assert error.get("param", PARAMS[door][code]) == PARAMS[door][code]
    # The tightest counts, whoever set it, and from the next admission on.
    billing.set_quota(tenant_id=alice.tenant_id, api_key_id=key.id, max_output_tokens=100)
    assert "for this key is 100" in ask(web, key.secret, door, "hello", 200).json()["error"]["message"]
    other = tenants.create_api_key(alice, "other")
    assert ask(web, other.secret, door, "hello", 200).status_code == 200
    assert len(ledger(alice.tenant_id, 2)) == 2


def test_who_names_no_number_gets_an_answer_within_the_limit(
    offered: None, provider_simulator: Simulator, client_of: ClientOf, alice: Principal
) -> None:
    provider_id = routing.add_provider(
        name="Sizes", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True, tenant_id=alice.tenant_id
    )
    routing.register_model(provider_id=provider_id, upstream_model="bench+tokens=60+tps=0", price=PRICE, slug="sizes")
    team_id = teams.create_team(alice, "Search")
    (place,) = [one.id for one in membership.members(alice) if one.user_id == alice.user_id]
    teams.add_member(alice, team_id, place)
    billing.set_quota(tenant_id=alice.tenant_id, team_id=team_id, max_output_tokens=25)
    answer = client_of(alice).chat.completions.create(model="sizes", messages=[{"role": "user", "content": "hello"}])
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None and answer.usage.completion_tokens == 25


def test_a_limit_of_no_output_allows_no_answer(web: WebServer, alice: Principal) -> None:
    key = tenants.create_api_key(alice, "app").secret
    billing.set_quota(tenant_id=alice.tenant_id, max_output_tokens=0)
    for most in (None, 1):
        refused = ask(web, key, "/v1/chat/completions", "hello", most)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "max_output_tokens_exceeded")


def test_vectors_are_bounded_too(web: WebServer, alice: Principal) -> None:
    key = tenants.create_api_key(alice, "app").secret
    billing.set_quota(tenant_id=alice.tenant_id, user_id=alice.user_id, max_input_tokens=100)
    refused = ask(web, key, "/v1/embeddings", LONG, None)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert refused.json()["error"]["param"] == "input"
    assert "for you is 100" in refused.json()["error"]["message"]
    numbers = httpx.post(
        f"{web.url}/v1/embeddings",
        json={"model": "gw-quick", "input": list(range(101))},
        headers={"Authorization": f"Bearer {key}"},
    )
    assert numbers.status_code == 400
