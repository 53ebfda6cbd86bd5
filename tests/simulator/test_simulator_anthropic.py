"""Anthropic's wire format, field by field, and the same answers and bill as over OpenAI's."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson
import pytest

from tests.simulator.anthropic_client import HEADERS, AnthropicClient
from tests.simulator.client import ASK, FAST, Client

TOOL = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
WEATHER = [{"role": "user", "content": "What is the weather in Oslo?"}]
MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.fixture
def anthropic(simulator: Client) -> AnthropicClient:
    return AnthropicClient(simulator)


async def test_a_whole_answer_has_anthropics_shape(anthropic: AnthropicClient) -> None:
    answer = await anthropic.whole(f"bench+{FAST}+tokens=9+cached=4")
    assert answer["id"].startswith("msg_")
    assert (answer["type"], answer["role"]) == ("message", "assistant")
    [block] = answer["content"]
    assert block["type"] == "text"
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("end_turn", None)
    usage = answer["usage"]
    assert (usage["output_tokens"], usage["cache_read_input_tokens"]) == (9, 4)
    assert usage["input_tokens"] > 0


async def test_both_formats_tell_the_same_answer_and_bill(simulator: Client, anthropic: AnthropicClient) -> None:
    model, attempts = f"demo-steady+{FAST}", [str(uuid4()), str(uuid4())]
    reading = await anthropic.stream(model, attempt=attempts[0])
    other = await simulator.stream(model, attempt=attempts[1])
    assert reading.joined() == other.joined() != ""
    lines = [await simulator.bill(attempt) for attempt in attempts]
    for key in ("prompt_tokens", "tokens_sent", "chunks_sent", "text_sha256", "completed"):
        assert lines[0][key] == lines[1][key]
    assert reading.of("message_delta")[0]["usage"] == {"output_tokens": lines[0]["tokens_sent"]}
    assert sum(reading.input_usage) == lines[0]["prompt_tokens"]


async def test_a_stream_opens_and_closes_its_blocks(anthropic: AnthropicClient) -> None:
    reading = await anthropic.stream(f"demo-cedar+{FAST}", thinking={"type": "enabled", "budget_tokens": 1024})
    assert reading.kinds == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    blocks = reading.of("content_block_start")
    assert [(event["index"], event["content_block"]["type"]) for event in blocks] == [(0, "thinking"), (1, "text")]
    assert reading.joined("thinking")
    assert reading.joined("signature")
    deltas = [event["delta"]["type"] for event in reading.of("content_block_delta")]
    assert deltas[deltas.index("text_delta") - 1] == "signature_delta"


async def test_thoughts_are_shown_only_where_they_are_asked_for(anthropic: AnthropicClient) -> None:
    answer = await anthropic.whole(f"demo-cedar+{FAST}")
    assert [block["type"] for block in answer["content"]] == ["text"]


async def test_a_tool_is_called_and_its_result_used(anthropic: AnthropicClient) -> None:
    reading = await anthropic.stream(f"demo-swift+{FAST}", messages=WEATHER, tools=[TOOL])
    [start] = reading.of("content_block_start")
    call = start["content_block"]
    assert (call["type"], call["name"], call["input"]) == ("tool_use", "get_weather", {})
    arguments = orjson.loads(reading.joined("partial_json"))
    assert reading.stop_reason == "tool_use"
    whole = await anthropic.whole(f"demo-swift+{FAST}", messages=WEATHER, tools=[TOOL])
    assert whole["content"] == [{**call, "input": arguments}]
    asked = [
        *WEATHER,
        {"role": "assistant", "content": whole["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "12 °C, rain"}]},
    ]
    answer = await anthropic.whole(f"demo-swift+{FAST}", messages=asked, tools=[TOOL])
    assert "12 °C" in answer["content"][0]["text"]


async def test_stop_reasons(anthropic: AnthropicClient) -> None:
    text = (await anthropic.whole(f"demo-swift+{FAST}"))["content"][0]["text"]
    stopped = await anthropic.whole(f"demo-swift+{FAST}", stop_sequences=[text[40:46]])
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", text[40:46])
    cut = await anthropic.whole(f"demo-swift+{FAST}", max_tokens=5)
    assert (cut["stop_reason"], cut["usage"]["output_tokens"]) == ("max_tokens", 5)


async def test_an_answer_goes_on_where_the_caller_began_it(anthropic: AnthropicClient) -> None:
    text = (await anthropic.whole(f"demo-swift+{FAST}"))["content"][0]["text"]
    begun = text[:30].rstrip()
    answer = await anthropic.whole(f"demo-swift+{FAST}", messages=[*ASK, {"role": "assistant", "content": begun}])
    assert begun + answer["content"][0]["text"] == text


async def test_json_by_schema(anthropic: AnthropicClient) -> None:
    schema = {"type": "object", "properties": {"winner": {"type": "string", "enum": ["milk", "coffee"]}}}
    answer = await anthropic.whole(
        f"demo-swift+{FAST}", output_config={"format": {"type": "json_schema", "schema": schema}}
    )
    assert orjson.loads(answer["content"][0]["text"]) == {"winner": "coffee"}


async def test_a_marked_beginning_is_written_once_and_then_read(anthropic: AnthropicClient) -> None:
    key, model = uuid4().hex, f"bench+{FAST}+tokens=2"
    system = [{"type": "text", "text": "Answer like a pirate. " * 40, **MARK}]
    first = await anthropic.stream(model, key=key, system=system)
    second = await anthropic.stream(model, key=key, system=system)
    elsewhere = await anthropic.stream(model, key=uuid4().hex, system=system)
    unmarked = await anthropic.stream(model, key=key, system=system[0]["text"])
    fresh, written, read = first.input_usage
    assert written > 200
    assert read == 0
    assert second.input_usage == (fresh, 0, written)
    assert elsewhere.input_usage == (fresh, written, 0)
    assert unmarked.input_usage == (fresh + written, 0, 0)


async def test_a_marker_that_moves_on_finds_what_the_one_before_it_wrote(anthropic: AnthropicClient) -> None:
    key, model = uuid4().hex, f"bench+{FAST}+tokens=2"
    turns: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "one " * 50, **MARK}]}]
    _, written, _ = (await anthropic.stream(model, key=key, messages=turns)).input_usage
    del turns[0]["content"][0]["cache_control"]
    turns += [
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": [{"type": "text", "text": "three " * 30, **MARK}]},
    ]
    _, written_then, read = (await anthropic.stream(model, key=key, messages=turns)).input_usage
    assert read == written
    assert 30 <= written_then < written


async def test_tokens_are_counted_without_an_answer(simulator: Client, anthropic: AnthropicClient) -> None:
    status, _, told = await anthropic.post({"model": "demo-swift", "messages": ASK}, path="/v1/messages/count_tokens")
    assert status == 200
    reading = await anthropic.stream(f"demo-swift+{FAST}")
    assert told == {"input_tokens": reading.input_usage[0]}


async def test_models_are_listed_in_the_shape_of_the_caller(simulator: Client) -> None:
    async with simulator.session.get(f"{simulator.url}/v1/models", headers=HEADERS) as response:
        listed = await response.json()
    assert listed["has_more"] is False
    assert listed["first_id"] == listed["data"][0]["id"]
    assert set(listed["data"][0]) == {"type", "id", "display_name", "created_at"}
    assert "demo-embed" not in {model["id"] for model in listed["data"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "system", "content": "x"}]}, "role"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "first message"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "non-empty"),
        ({"messages": [*ASK, {"role": "assistant", "content": "Well, "}]}, "trailing whitespace"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]}, "unexpected"),
        ({"temperature": 1.5}, "temperature"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "max_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 0.2}, "temperature"),
        ({"tools": [{"name": "x"}]}, "input_schema"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"stop_sequences": [" "]}, "stop_sequences"),
        ({"system": [{"type": "text", "text": "x", **MARK}] * 5}, "Found 5"),
        ({"model": "demo-swift+fault=nonsense"}, "fault"),
    ],
)
async def test_bad_requests_say_what_is_wrong(anthropic: AnthropicClient, change: dict[str, Any], said: str) -> None:
    body = {"model": "demo-swift", "messages": ASK, "max_tokens": 4096, **change}
    status, _, answer = await anthropic.post(body)
    assert (status, answer["type"], answer["error"]["type"]) == (400, "error", "invalid_request_error")
    assert said in answer["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"anthropic-version": "2023-06-01"}, 401, "authentication_error"),
        ({"x-api-key": "invalid", "anthropic-version": "2023-06-01"}, 401, "authentication_error"),
        ({"Authorization": "Bearer test", "anthropic-version": "2023-06-01"}, 401, "authentication_error"),
        ({"x-api-key": "test"}, 400, "invalid_request_error"),
    ],
)
async def test_key_and_version_are_asked_for(
    anthropic: AnthropicClient, headers: dict[str, str], status: int, kind: str
) -> None:
    got, _, answer = await anthropic.post({"model": "bench", "messages": ASK, "max_tokens": 9}, headers=headers)
    assert (got, answer["error"]["type"]) == (status, kind)


async def test_an_unknown_model_or_path_is_not_found(anthropic: AnthropicClient) -> None:
    body = {"model": "claude-nothing", "messages": ASK, "max_tokens": 9}
    for path in ("/v1/messages", "/v1/nothing"):
        status, _, answer = await anthropic.post(body, path=path)
        assert (status, answer["error"]["type"]) == (404, "not_found_error")
