"""Models that only litellm can ask, at the gateway: in a web process that holds it, and in one that does not."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from openai import APIStatusError, OpenAI

from apps.billing.models import LedgerEntry
from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.routing.models import Provider
from apps.tenants.contracts import Principal
from tests.processes import Simulator
from tests.product import celery_worker, eventually, web_server

PRICE = NewPrice(input_nanousd_per_mtok=100_000_000, output_nanousd_per_mtok=400_000_000)


@pytest.fixture
def offered(provider_simulator: Simulator) -> Iterator[str]:
    slug = f"wide-{uuid4().hex[:12]}"
    provider_id = routing.add_provider(
        name=slug, base_url=f"{provider_simulator.url}/v1", key="any", simulated=True, adapter="litellm"
    )
    upstream = "openai/bench+tokens=30+tps=0"
    routing.register_model(provider_id=provider_id, upstream_model=upstream, price=PRICE, slug=slug)
    routing.invalidate()
    yield slug
    Provider.objects.using("engine").filter(id=provider_id).update(enabled=False)
    routing.invalidate()


def test_a_web_process_with_litellm_answers_whole_and_as_a_stream(
    alice: Principal, api_key_of: Callable[[Principal], str], offered: str
) -> None:
    key, asked = api_key_of(alice), [{"role": "user", "content": "Who answers?"}]
    with celery_worker(), web_server("uvicorn", GATEWAY_LITELLM="1") as web:
        client = OpenAI(api_key=key, base_url=f"{web.url}/v1", max_retries=0)
        whole = client.chat.completions.create(model=offered, messages=asked)  # type: ignore[call-overload]
        assert whole.usage.completion_tokens == 30
        chunks = list(client.chat.completions.create(model=offered, messages=asked, stream=True))  # type: ignore[call-overload]
        told = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert told == whole.choices[0].message.content
        lines = LedgerEntry.objects.using("engine").filter(tenant_id=alice.tenant_id, model=offered)
        eventually(lambda: lines.count() == 2)
        assert {line.output_tokens for line in lines} == {30}


def test_a_web_process_without_it_says_so(
    alice: Principal, api_key_of: Callable[[Principal], str], offered: str
) -> None:
    with web_server("uvicorn") as web:
        client = OpenAI(api_key=api_key_of(alice), base_url=f"{web.url}/v1", max_retries=0)
        with pytest.raises(APIStatusError) as refused:
            client.chat.completions.create(model=offered, messages=[{"role": "user", "content": "Who answers?"}])
    assert refused.value.status_code == 503
    assert "is not answered here" in refused.value.message
