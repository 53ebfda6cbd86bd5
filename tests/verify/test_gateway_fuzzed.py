"""The gateway's doors under bodies that are nearly right, at a real server with a model behind it that can everything.

Whatever is sent, the answer is one that the OpenAPI document names, in the dialect's own form, and never a defect of
ours: neither as a status nor inside a stream. Enough of the bodies are answered that what lies behind the first checks
is reached too.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.billing import services as billing
from apps.routing import services as routing
from apps.routing.contracts import ModelKind, NewPrice
from apps.routing.edge.gateway.schema import add_gateway
from apps.routing.models import LanguageModel
from apps.tenants.services import create_api_key
from tests.people import new_owner
from tests.processes import Simulator
from tests.product import web_server
from tests.verify.gateway_bodies import CHAT, CLAUDE, COUNT, EMBEDDINGS, MODEL, RESPONSES, VECTORS, Body

FUZZED = settings(
    max_examples=250,
    deadline=timedelta(seconds=20),
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300).map(str.strip)
# What ends a stream well, and what tells that it did not.
ENDS = {
    "/v1/chat/completions": ("data: [DONE]", '"error"'),
    "/v1/messages": ("event: message_stop", "event: error"),
    "/v1/responses": ("response.completed", "response.failed", "response.incomplete", '"error"'),
}


@dataclass(slots=True)
class Ground:
    """A person's client, what is published of each door, and what came."""

    client: httpx.Client
    published: Mapping[str, Mapping[str, Any]]
    statuses: dict[str, Counter[int]] = field(default_factory=dict)

    def ask(self, door: str, body: Body, **headers: str) -> None:
        """Send it, and look whether the answer is one that is published."""
        sent = json.dumps(body).encode()
        response = self.client.post(door, content=sent, headers={"content-type": "application/json", **headers})
        self.statuses.setdefault(door, Counter())[response.status_code] += 1
        assert str(response.status_code) in self.published[door], (response.status_code, response.text)
        assert response.status_code not in (500, 502, 503, 504), response.text
        kind = response.headers["content-type"]
        if kind.startswith("text/event-stream"):
            assert response.status_code == 200 and any(end in response.text for end in ENDS[door]), response.text[-500:]
            assert "internal_error" not in response.text and "fault is ours" not in response.text
            return
        told = response.json()
        assert kind == "application/json" and isinstance(told, dict)
        if response.status_code != 200:
            error = told["error"]
            assert isinstance(error["type"], str) and len(error["message"]) > 8
            assert told.get("type") == "error" or set(error) == {"message", "type", "param", "code"}


@pytest.fixture(scope="module")
def ground(database: None, provider_simulator: Simulator) -> Iterator[Ground]:
    provider_id = routing.add_provider(
        name="Simulator of the fuzzed", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True
    )
    price = NewPrice(input_nanousd_per_mtok=100, output_nanousd_per_mtok=400)
    able = {"tools": True, "vision": True, "json_schema": True}
    for slug, upstream_model, profile in (
        (MODEL, "demo-swift+tps=0+ttft=0", able),
        (VECTORS, "demo-embed", {"kind": ModelKind.EMBEDDING}),
    ):
        made = routing.register_model(
            provider_id=provider_id, upstream_model=upstream_model, price=price, slug=slug, name=slug
        )
        LanguageModel.objects.using("engine").filter(id=made.model_id).update(**profile)
    routing.invalidate()
    person = new_owner("Fuzz", "Fuzz of the gateway")
    billing.set_quota(tenant_id=person.tenant_id, requests_per_minute=1_000_000, parallel_calls=1_000)
    published: Body = add_gateway({"components": {"schemas": {}}, "paths": {}}, None, None, True)
    doors = {path: operations["post"]["responses"] for path, operations in published["paths"].items()}
    headers = {"Authorization": f"Bearer {create_api_key(person, 'fuzz').secret}"}
    with web_server("uvicorn") as web, httpx.Client(base_url=web.url, headers=headers, timeout=20) as client:
        ground = Ground(client, doors)
        yield ground
        print(ground.statuses)
        # What is refused at once says little: much must come through.
        assert set(ground.statuses) == set(doors)
        for statuses in ground.statuses.values():
            assert statuses[200] > 0.2 * statuses.total() and statuses[400] > 0.1 * statuses.total()


@FUZZED
@given(body=CHAT)
def test_chat_completions(ground: Ground, body: Body) -> None:
    ground.ask("/v1/chat/completions", body)


@FUZZED
@given(body=CLAUDE)
def test_messages(ground: Ground, body: Body) -> None:
    ground.ask("/v1/messages", body)


@FUZZED
@given(body=COUNT)
def test_count_tokens(ground: Ground, body: Body) -> None:
    ground.ask("/v1/messages/count_tokens", body)


@FUZZED
@given(body=RESPONSES)
def test_responses(ground: Ground, body: Body) -> None:
    ground.ask("/v1/responses", body)


@FUZZED
@given(body=EMBEDDINGS)
def test_embeddings(ground: Ground, body: Body) -> None:
    ground.ask("/v1/embeddings", body)


@FUZZED
@given(
    asked=st.sampled_from(
        [
            ("/v1/chat/completions", CHAT),
            ("/v1/messages", CLAUDE),
            ("/v1/responses", RESPONSES),
            ("/v1/embeddings", EMBEDDINGS),
        ]
    ).flatmap(lambda door: st.tuples(st.just(door[0]), door[1])),
    headers=st.fixed_dictionaries(
        {},
        optional={
            "idempotency-key": st.sampled_from(["one", "two", "x" * 255]) | HEADER,
            "cache-control": st.sampled_from(["no-cache", "no-store", "max-age=0, no-transform"]) | HEADER,
            "accept-encoding": st.sampled_from(["gzip", "gzip;q=0, br", "*"]) | HEADER,
            "x-request-id": HEADER,
            "prefer": HEADER,
        },
    ),
)
def test_headers(ground: Ground, asked: tuple[str, Body], headers: dict[str, str]) -> None:
    door, body = asked
    ground.ask(door, body, **headers)
