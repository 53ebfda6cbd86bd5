"""What a caller of the gateway must not get by a trick."""

from collections.abc import Callable
from uuid import UUID

import httpx
import openai
import pytest

from apps.billing import services as billing
from apps.billing.models import LedgerEntry
from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal
from tests.gateway.conftest import PRICE, ClientOf
from tests.processes import Simulator
from tests.product import WebServer

ASKED = {"model": "gw-quick", "messages": [{"role": "user", "content": "hello"}]}
Ledger = Callable[[UUID, int], list[LedgerEntry]]


def asked(web: WebServer, **headers: str) -> httpx.Response:
    return httpx.post(f"{web.url}/v1/chat/completions", json=ASKED, headers=headers, timeout=20)


def test_no_second_header_widens_a_key(web: WebServer, alice: Principal) -> None:
    narrow = tenants.create_api_key(alice, "settings only", {"manage"}).secret
    wide = tenants.create_api_key(alice, "chat", {"chat"}).secret
    bearer = {"Authorization": f"Bearer {narrow}"}
    for more in ({}, {"X-Api-Key": wide}, {"Api-Key": wide}, {"X-Switchboard-Tenant": str(alice.tenant_id)}):
        refused = asked(web, **bearer, **more)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "insufficient_scope")
    assert asked(web, **{"X-Api-Key": wide}).status_code == 200


def test_a_workspace_is_the_keys_and_no_headers(web: WebServer, alice: Principal, mallory: Principal) -> None:
    key = tenants.create_api_key(mallory, "his").secret
    refused = asked(web, **{"Authorization": f"Bearer {key}", "X-Switchboard-Tenant": str(alice.tenant_id)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "tenant_mismatch")


def test_a_cookie_opens_nothing(web: WebServer) -> None:
    assert asked(web, Cookie="sessionid=abcdefghijklmnopqrstuvwxyz012345").status_code == 401


@pytest.mark.parametrize("name", ["api_base", "base_url", "api_key", "extra_headers", "organization"])
def test_nobody_but_administrators_says_where_calls_go(client_of: ClientOf, alice: Principal, name: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client_of(alice).chat.completions.create(**ASKED, extra_body={name: "http://127.0.0.1:6379"})  # type: ignore[call-overload]
    assert refused.value.param == name


def test_a_free_model_never_falls_back_to_what_the_budget_does_not_cover(
    offered: None, provider_simulator: Simulator, client_of: ClientOf, alice: Principal, ledger: Ledger
) -> None:
    provider_id = routing.add_provider(
        name="Free and then not",
        base_url=f"{provider_simulator.url}/v1",
        key="any",
        tenant_id=alice.tenant_id,  # offered to everybody, it would be the cheapest model of other tests
        simulated=True,
    )
    free = NewPrice(input_nanousd_per_mtok=0, output_nanousd_per_mtok=0, free=True)
    for place, (upstream, price) in enumerate([("bench+fault=500", free), ("bench+tokens=5+tps=0", PRICE)]):
        routing.register_model(
            provider_id=provider_id,
            upstream_model=upstream,
            price=price,
            slug="gw-free",
            name="gw-free",
            priority=place + 1,
        )
    client = client_of(alice)
    assert client.chat.completions.create(**{**ASKED, "model": "gw-free"}).choices  # type: ignore[call-overload]
    spent = [line for line in ledger(alice.tenant_id, 2) if line.kind == "charge"]
    assert len(spent) == 1 and spent[0].amount_nanousd > 0
    billing.set_quota(tenant_id=alice.tenant_id, budget_day_nanousd=spent[0].amount_nanousd)
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(**{**ASKED, "model": "gw-free"})  # type: ignore[call-overload]
    lines = ledger(alice.tenant_id, 3)
    assert sum(line.amount_nanousd for line in lines if line.kind == "charge") == spent[0].amount_nanousd
