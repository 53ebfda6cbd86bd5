"""The wire format, field by field."""

from __future__ import annotations

import re

import orjson
import pytest

from tests.simulator.client import ASK, FAST, Client

CHAT = "/v1/chat/completions"


async def test_whole_answer_has_openais_shape(simulator: Client) -> None:
    answer = await simulator.chat(f"bench+{FAST}+tokens=9+cached=4")
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{24}", answer["id"])
    assert answer["object"] == "chat.completion"
    assert answer["model"] == f"bench+{FAST}+tokens=9+cached=4"
    assert answer["system_fingerprint"].startswith("fp_")
    [choice] = answer["choices"]
    assert choice["index"] == 0
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 9
    assert usage["total_tokens"] == usage["prompt_tokens"] + 9
    assert usage["prompt_tokens_details"]["cached_tokens"] == 4


async def test_stream_opens_with_the_role_and_ends_with_reason_usage_and_marker(simulator: Client) -> None:
    reading = await simulator.stream(f"bench+{FAST}+tokens=6", stream_options={"include_usage": True})
    first, *middle, last, usage = reading.events
    assert reading.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [list(e["choices"][0]["delta"]) for e in middle] == [["content"]] * 6
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 6
    assert all(event["usage"] is None for event in (first, *middle, last))
    assert {event["object"] for event in reading.events} == {"chat.completion.chunk"}
    assert len({(event["id"], event["created"], event["model"]) for event in reading.events}) == 1
    assert reading.is_done


async def test_stream_without_include_usage_says_nothing_of_usage(simulator: Client) -> None:
    reading = await simulator.stream(f"bench+{FAST}+tokens=3")
    assert not any("usage" in event for event in reading.events)


async def test_several_choices_take_turns_and_differ(simulator: Client) -> None:
    reading = await simulator.stream(f"bench+{FAST}+tokens=12", n=2)
    indices = [e["choices"][0]["index"] for e in reading.events if e["choices"][0]["delta"].get("content")]
    assert indices == [0, 1] * 12
    assert reading.joined(index=0) != reading.joined(index=1)
    assert reading.finish_reasons == ["stop", "stop"]


async def test_max_tokens_cuts_with_reason_length(simulator: Client) -> None:
    for field in ("max_tokens", "max_completion_tokens"):
        answer = await simulator.chat(f"demo-atlas+{FAST}", **{field: 11})
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["completion_tokens"] == 11


async def test_max_tokens_counts_the_reasoning(simulator: Client) -> None:
    usage = (await simulator.chat(f"demo-cedar+{FAST}+reasoning=8", max_tokens=10))["usage"]
    assert usage["completion_tokens"] == 10
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 8


async def test_stop_ends_before_the_stop_text(simulator: Client) -> None:
    whole = await simulator.content(f"demo-swift+{FAST}")
    stop = whole[40:46]
    answer = await simulator.chat(f"demo-swift+{FAST}", stop=["never there", stop])
    assert answer["choices"][0]["message"]["content"] == whole[: whole.index(stop)]
    assert answer["choices"][0]["finish_reason"] == "stop"


async def test_json_object_and_schema(simulator: Client) -> None:
    anything = await simulator.content(f"demo-swift+{FAST}", response_format={"type": "json_object"})
    assert orjson.loads(anything)["topic"] == "tea and coffee"
    schema = {
        "type": "object",
        "properties": {
            "winner": {"type": "string", "enum": ["milk", "coffee"]},
            "score": {"type": "integer", "minimum": 1, "maximum": 5},
            "reasons": {"type": "array", "items": {"$ref": "#/$defs/reason"}, "minItems": 2, "maxItems": 2},
        },
        "$defs": {"reason": {"type": "string", "maxLength": 5}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    verdict = orjson.loads(await simulator.content(f"demo-swift+{FAST}", response_format=wanted))
    assert verdict == {"winner": "coffee", "score": 1, "reasons": ["tea a", "tea a"]}


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        (b"{", 400, None, None),
        ({"messages": ASK}, 400, "model", None),
        ({"model": "gpt-nothing", "messages": ASK}, 404, None, "model_not_found"),
        ({"model": "demo-swift", "messages": []}, 400, "messages", None),
        ({"model": "demo-swift", "messages": [{"role": "cat", "content": "x"}]}, 400, "messages[0]", None),
        ({"model": "demo-swift", "messages": ASK, "temperature": 3}, 400, "temperature", None),
        ({"model": "demo-swift", "messages": ASK, "n": 9}, 400, "n", None),
        ({"model": "demo-swift", "messages": ASK, "stop": ["a"] * 5}, 400, "stop", None),
        ({"model": "demo-swift+fault=nonsense", "messages": ASK}, 400, "model", None),
        ({"model": "demo-swift+speed=1", "messages": ASK}, 400, "model", None),
        ({"model": "demo-swift", "messages": ASK, "tool_choice": "auto"}, 400, "tool_choice", None),
        ({"model": "demo-embed", "messages": ASK}, 404, None, "model_not_found"),
    ],
)
async def test_bad_requests_name_what_is_wrong(
    simulator: Client, body: object, status: int, param: str | None, code: str | None
) -> None:
    got, _, answer = await simulator.post(CHAT, body)
    assert got == status
    assert answer["error"]["type"] == "invalid_request_error"
    assert (answer["error"]["param"], answer["error"]["code"]) == (param, code)


async def test_too_long_a_prompt_exceeds_the_context(simulator: Client) -> None:
    messages = [{"role": "user", "content": "word " * 33_000}]
    status, _, answer = await simulator.post(CHAT, {"model": "demo-swift", "messages": messages})
    assert status == 400
    assert answer["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("key", [None, "invalid"])
async def test_keys_are_asked_for(simulator: Client, key: str | None) -> None:
    status, _, answer = await simulator.post(CHAT, {"model": "bench", "messages": ASK}, key=key)
    assert status == 401
    assert answer["error"]["code"] == (None if key is None else "invalid_api_key")


async def test_models_carry_prices_and_limits(simulator: Client) -> None:
    headers = {"Authorization": "Bearer any"}
    async with simulator.session.get(f"{simulator.url}/v1/models", headers=headers) as response:
        listed = (await response.json())["data"]
    by_id = {model["id"]: model for model in listed}
    assert {"demo-swift", "demo-steady", "demo-cedar", "demo-harbor", "demo-atlas", "demo-quill"} <= set(by_id)
    assert set(by_id["demo-swift"]) == {"id", "object", "created", "owned_by", "switchboard"}
    facts = by_id["demo-cedar"]["switchboard"]
    assert facts["reasoning"] is True
    assert facts["output_usd_per_mtok"] > facts["input_usd_per_mtok"] > 0
    assert facts["context_tokens"] > facts["max_output_tokens"] > 0


async def test_unknown_paths_answer_in_the_error_shape(simulator: Client) -> None:
    status, _, answer = await simulator.post("/v1/nothing", {})
    assert status == 404
    assert answer["error"]["type"] == "invalid_request_error"


async def test_a_connection_is_used_again(simulator: Client) -> None:
    first = await simulator.chat("bench+tokens=2")
    await simulator.stream("bench+tokens=2")
    second = await simulator.chat("bench+tokens=2")
    connector = simulator.session.connector
    assert first["choices"] == second["choices"]
    assert connector is not None
    assert len(getattr(connector, "_conns")) == 1  # noqa: B009
