"""`POST /v1/embeddings`, asked by OpenAI's own client."""

from collections.abc import Callable
from uuid import UUID

import openai
import pytest
from openai import OpenAI

from apps.billing.models import LedgerEntry
from apps.routing import services as routing
from apps.routing.contracts import ModelKind, NewPrice
from apps.routing.models import LanguageModel
from apps.tenants.contracts import Principal
from tests.processes import Simulator

PRICE = NewPrice(input_nanousd_per_mtok=20_000_000, output_nanousd_per_mtok=0)
Ledger = Callable[[UUID, int], list[LedgerEntry]]


@pytest.fixture(scope="module", autouse=True)
def embedder(offered: None, provider_simulator: Simulator) -> None:
    """A model whose first place is away."""
    for name, url in (("Away", "http://127.0.0.1:9/v1"), ("Vectors", f"{provider_simulator.url}/v1")):
        provider_id = routing.add_provider(name=f"{name} of the gateway", base_url=url, key="any", simulated=True)
        registered = routing.register_model(
            provider_id=provider_id,
            upstream_model="demo-embed",
            price=PRICE,
            slug="gw-vectors",
            name="gw-vectors",
            priority=1 if name == "Away" else 2,
        )
        LanguageModel.objects.using("engine").filter(id=registered.model_id).update(kind=ModelKind.EMBEDDING)
    routing.invalidate()


def test_each_text_gets_its_vector_and_the_tenant_one_line(client: OpenAI, alice: object, ledger: Ledger) -> None:
    texts = ["a lease", "a fence", "a lease"]
    raw = client.embeddings.with_raw_response.create(model="gw-vectors", input=texts, encoding_format="float")
    made = raw.parse()
    first, second, third = (one.embedding for one in made.data)
    assert first == third != second
    assert raw.headers["x-switchboard-route"].startswith('"gw-vectors";asked="gw-vectors";provider="Vectors of')
    lines = ledger(alice.tenant_id, 2)  # type: ignore[attr-defined]
    paid = [line for line in lines if line.kind == "charge"]
    assert len(paid) == 1
    assert (paid[0].input_tokens, paid[0].output_tokens) == (made.usage.prompt_tokens, 0)
    assert paid[0].amount_nanousd == made.usage.prompt_tokens * 20


def test_packed_vectors_are_the_same(client: OpenAI) -> None:
    plain = client.embeddings.create(model="gw-vectors", input="a lease", encoding_format="float")
    packed = client.embeddings.create(model="gw-vectors", input="a lease")
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)


def test_what_answers_is_not_asked_for_vectors_nor_the_other_way(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="gw-quick", input="a lease")
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gw-vectors", messages=[{"role": "user", "content": "hello"}])
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="gw-vectors", input=[""])
    assert refused.value.param == "input.0"


def test_a_key_makes_vectors_once(client: OpenAI, alice: Principal, ledger: Ledger) -> None:
    told = [
        client.embeddings.with_raw_response.create(
            model="gw-vectors", input="a lease", extra_headers={"Idempotency-Key": "vectors"}
        )
        for _ in range(2)
    ]
    assert [one.headers.get("idempotency-replayed") for one in told] == [None, "true"]
    assert told[0].content == told[1].content
    assert [line.kind for line in ledger(alice.tenant_id, 1)].count("charge") == 1
