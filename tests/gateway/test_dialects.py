"""`POST /v1/messages` and `POST /v1/responses`, asked by the official clients: one engine, three dialects."""

from collections.abc import Callable, Iterator
from uuid import UUID

import anthropic
import httpx
import pytest
from anthropic import Anthropic
from openai import OpenAI

from apps.billing.models import LedgerEntry
from apps.tenants.contracts import Principal
from tests.product import WebServer

QUESTION = [{"role": "user", "content": "Why do leases need fences?"}]
Ledger = Callable[[UUID, int], list[LedgerEntry]]


@pytest.fixture
def claude(web: WebServer, alice: Principal, api_key_of: Callable[[Principal], str]) -> Iterator[Anthropic]:
    with Anthropic(base_url=web.url, api_key=api_key_of(alice), max_retries=0, timeout=20) as client:
        yield client


def test_a_message_is_told_and_charged(claude: Anthropic, alice: Principal, ledger: Ledger) -> None:
    message = claude.messages.create(model="gw-quick", max_tokens=100, messages=QUESTION)
    assert (message.role, message.stop_reason, message.model) == ("assistant", "end_turn", "gw-quick")
    assert message.content[0].type == "text" and message.content[0].text
    (line,) = ledger(alice.tenant_id, 1)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (line.input_tokens, line.output_tokens)


def test_a_streamed_message_says_the_same(claude: Anthropic) -> None:
    whole = claude.messages.create(model="gw-quick", max_tokens=100, messages=QUESTION)
    with claude.messages.stream(model="gw-quick", max_tokens=100, messages=QUESTION) as stream:
        text = "".join(stream.text_stream)
        told = stream.get_final_message()
    assert text == whole.content[0].text == told.content[0].text
    assert (told.stop_reason, told.usage.output_tokens) == ("end_turn", whole.usage.output_tokens)


def test_tokens_are_counted_roughly_and_for_nothing(claude: Anthropic, web: WebServer) -> None:
    counted = [
        claude.messages.count_tokens(model="gw-quick", messages=[{"role": "user", "content": "word " * words}])
        for words in (10, 1_000)
    ]
    assert counted[0].input_tokens < 60
    assert 1_000 <= counted[1].input_tokens <= 1_400
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.count_tokens(model="gw-none", messages=QUESTION)


def test_what_is_refused_is_told_in_anthropics_words(claude: Anthropic, web: WebServer) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        claude.messages.create(model="gw-none", max_tokens=10, messages=QUESTION)
    assert missing.value.body["error"]["type"] == "not_found_error"
    nobody = httpx.post(f"{web.url}/v1/messages", json={"model": "gw-quick", "max_tokens": 1, "messages": QUESTION})
    assert (nobody.status_code, nobody.json()["error"]["type"]) == (401, "authentication_error")


def test_a_response_is_told_whole_and_streamed(client: OpenAI, alice: Principal, ledger: Ledger) -> None:
    whole = client.responses.create(model="gw-quick", input="Why do leases need fences?")
    assert (whole.status, bool(whole.output_text)) == ("completed", True)
    with client.responses.stream(model="gw-quick", input="Why do leases need fences?") as stream:
        events = list(stream)
        told = stream.get_final_response()
    assert events[0].type == "response.created"
    assert told.output_text == whole.output_text
    assert whole.usage is not None and told.usage is not None
    assert told.usage.output_tokens == whole.usage.output_tokens
    assert [line.kind for line in ledger(alice.tenant_id, 2)] == ["charge", "charge"]
