"""Whole answers through the real adapter: what is sent upstream, what comes out, and exactly what it cost."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from apps.routing.contracts import (
    AttemptState,
    Prompt,
    ReasoningDelta,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    Usage,
)
from apps.routing.providers.openai_compatible import body_of
from apps.tenants.contracts import Principal
from tests.processes import Simulator
from tests.routing import scripted
from tests.routing.exchange import QUESTION, billed, converse, offer
from tests.routing.reception import receive, request


async def test_an_answer_is_exactly_what_the_provider_sent_and_billed(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan = await offer(alice, provider_simulator.url, ["demo-swift+tps=0+ttft=0+cached=4"])
    exchange = await converse(alice, plan)
    finished = exchange.finished
    line = await billed(provider_simulator.url, finished.attempt_id)
    assert exchange.text == line["text"] != ""
    assert finished.finish_reason == "stop"
    assert finished.usage == Usage(line["prompt_tokens"], line["tokens_sent"], cached_tokens=4)
    assert (line["completed"], line["closed_by_caller"]) == (True, False)
    (end,) = exchange.gate.ends
    assert (end.attempt_id, end.state, end.error_code) == (finished.attempt_id, AttemptState.WON, None)
    assert (end.usage, end.candidate) == (finished.usage, plan.candidates[0])
    assert end.first_token_seconds is not None
    assert 0 < end.first_token_seconds <= end.duration_seconds <= exchange.seconds
    amount = end.candidate.price.amount_nanousd(end.usage)
    # 0.15, 0.075 and 0.60 dollars per million tokens.
    assert amount == (line["prompt_tokens"] - 4) * 150 + 4 * 75 + line["tokens_sent"] * 600


async def test_thoughts_come_apart_from_the_text_and_are_part_of_the_output(
    alice: Principal, provider_simulator: Simulator
) -> None:
    exchange = await converse(
        alice, await offer(alice, provider_simulator.url, ["demo-cedar+tps=0+ttft=0+reasoning=30"])
    )
    line = await billed(provider_simulator.url, exchange.finished.attempt_id)
    kinds = [type(chunk) for chunk in exchange.chunks]
    assert kinds.index(TextDelta) == kinds.count(ReasoningDelta) > 0, "all thoughts come before all text"
    assert exchange.text == line["text"]
    assert exchange.finished.usage.reasoning_tokens == line["reasoning_tokens_sent"] == 30
    assert exchange.finished.usage.output_tokens == line["tokens_sent"] > 30


async def test_tool_calls_arrive_whole(alice: Principal, provider_simulator: Simulator) -> None:
    bicycle = {
        "type": "function",
        "function": {
            "name": "bicycle_facts",
            "description": "Facts about a bicycle",
            "parameters": {"type": "object", "properties": {"part": {"type": "string"}}, "required": ["part"]},
        },
    }
    plan = await offer(alice, provider_simulator.url, ["demo-swift+tps=0+ttft=0"])
    exchange = await converse(alice, plan, parameters={"tools": [bicycle], "tool_choice": "required"})
    started, completed, finished = exchange.chunks
    assert isinstance(started, ToolCallStarted)
    assert isinstance(completed, ToolCallCompleted)
    assert (completed.call_id, completed.name) == (started.call_id, started.name) == (started.call_id, "bicycle_facts")
    assert list(orjson.loads(completed.arguments)) == ["part"]
    assert exchange.finished is finished
    assert exchange.finished.finish_reason == "tool_calls"


async def test_no_more_is_asked_for_than_was_reserved(alice: Principal, provider_simulator: Simulator) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench+tokens=6000"])
    exchange = await converse(alice, plan)
    assert exchange.finished.finish_reason == "length"
    assert exchange.finished.usage.output_tokens == plan.candidates[0].output_tokens_bound == 4_096


async def test_the_request_says_what_is_ours_to_say_and_passes_on_the_rest() -> None:
    async with scripted.provider([scripted.STREAM, scripted.FINISH, scripted.USAGE, scripted.DONE, None]) as provider:
        asked = request(provider.base_url, "upstream-name", bound=321)
        passed = {"temperature": 0.5, "model": "dearer", "n": 9, "max_tokens": 99, "max_completion_tokens": 99}
        object.__setattr__(asked.prompt, "parameters", {**passed, "stream": False, "stream_options": {}})
        assert (await receive(asked)).error is None
    head, _, body = provider.requests[0].partition(b"\r\n\r\n")
    assert orjson.loads(body) == {
        "temperature": 0.5,
        "model": "upstream-name",
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 321,
    }
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    assert f"X-Switchboard-Attempt: {asked.attempt_id}" in lines
    assert "Authorization: Bearer sk-test" in lines
    assert "Accept-Encoding: identity" in lines
    assert not [line for line in lines if line.lower().startswith("cookie")]


@pytest.mark.parametrize(
    ("base_url", "name"),
    [("https://api.openai.com/v1", "max_completion_tokens"), ("http://ollama:11434/v1", "max_tokens")],
)
def test_the_limit_has_the_name_the_provider_knows(base_url: str, name: str) -> None:
    body = orjson.loads(body_of(request(base_url, bound=77)))
    assert {key: value for key, value in body.items() if key.startswith("max")} == {name: 77}


def _sent(*messages: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    prompt = Prompt(messages, parameters)
    body: dict[str, Any] = orjson.loads(body_of(replace(request("http://ollama:11434/v1"), prompt=prompt)))
    return body


def test_pictures_that_a_tool_gave_are_shown_by_the_user() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://a.org/b.png"}}
    result = {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "Done"}, picture]}
    other = {"role": "tool", "tool_call_id": "2", "content": [picture], "is_error": True}
    question = {"role": "user", "content": "And?"}
    shown = [
        {**result, "content": [{"type": "text", "text": "Done"}]},
        {"role": "tool", "tool_call_id": "2", "content": "(See the picture.)"},
        {"role": "user", "content": [picture, picture]},
    ]
    assert _sent(result, other, question)["messages"] == [*shown, question]
    assert _sent(result, other)["messages"] == shown


def test_what_is_anthropics_own_is_left_out() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    parts = [{"type": "text", "text": "Hi", **mark}, {"type": "text", "text": "?"}]
    tool = {"type": "function", "function": {"name": "f"}}
    own = {"thinking": {"type": "enabled", "budget_tokens": 2_000}, "top_k": 3}
    body = _sent({"role": "user", "content": parts, **mark}, tools=[{**tool, **mark}], top_p=0.5, **own)
    assert body.keys() == {"messages", "tools", "top_p", "model", "stream", "stream_options", "max_tokens"}
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "?"}]}
    ]
    assert body["tools"] == [tool]


async def test_without_a_key_no_credential_is_sent() -> None:
    async with scripted.provider([scripted.STREAM, scripted.FINISH, scripted.USAGE, None]) as provider:
        await receive(request(provider.base_url, key=None))
    assert b"authorization" not in provider.requests[0].lower()


@pytest.mark.parametrize(
    ("script", "usage", "is_final"),
    [
        # As the standard has it.
        ([scripted.FINISH, scripted.USAGE, scripted.DONE, 5.0], Usage(7, 3), True),
        # The connection stays open after the end: nobody waits for it.
        ([scripted.FINISH, scripted.USAGE, 5.0], Usage(7, 3), True),
        ([scripted.FINISH, scripted.DONE, 5.0], None, False),
        # A reset after the finish reason takes nothing away.
        ([scripted.FINISH, None], None, False),
        # The last event lacks its blank line.
        ([scripted.FINISH, scripted.USAGE.rstrip(b"\n"), None], Usage(7, 3), True),
        # Usage beside the finish reason.
        (
            [
                scripted.event(
                    '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
                    '"usage":{"prompt_tokens":7,"completion_tokens":3}}'
                ),
                5.0,
            ],
            Usage(7, 3),
            True,
        ),
    ],
)
async def test_an_answer_with_its_finish_reason_is_complete_at_once(
    script: list[Any], usage: Usage | None, is_final: bool
) -> None:
    async with scripted.provider([scripted.STREAM, scripted.text_event("Hi"), *script]) as provider:
        reception = await receive(request(provider.base_url))
    assert reception.error is None
    assert reception.text == "Hi"
    assert (reception.progress.usage, reception.progress.usage_is_final) == (usage, is_final)
    assert reception.seconds < 0.5


async def test_usage_told_along_the_way_of_an_answer_that_dies_is_a_flagged_estimate(alice: Principal) -> None:
    told = '"usage":{"prompt_tokens":7,"completion_tokens":%d}'
    chunk = '{"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}],%s}'
    first, second = (scripted.event(chunk % (text, told % tokens)) for text, tokens in (("one", 40), ("two", 41)))
    last = scripted.text_event("never counted by the provider")
    async with scripted.provider([scripted.STREAM, first, second, None]) as provider:
        exchange = await converse(alice, await offer(alice, provider.base_url, ["up"]))
    assert {end.usage for end in exchange.gate.ends} == {Usage(7, 41)}, "it covers all that came"
    async with scripted.provider([scripted.STREAM, first, second, last, None]) as provider:
        exchange = await converse(alice, await offer(alice, provider.base_url, ["up"]))
    assert {end.usage for end in exchange.gate.ends} == {Usage(7, 41, estimated=True)}


async def test_usage_that_comes_after_the_finish_reason_is_waited_for() -> None:
    script: scripted.Script = [scripted.STREAM, scripted.text_event("Hi"), scripted.FINISH, 0.3, scripted.USAGE, 5.0]
    async with scripted.provider(script) as provider:
        reception = await receive(request(provider.base_url))
    assert reception.progress.usage == Usage(7, 3)
    assert 0.3 <= reception.seconds < 1


async def test_usage_that_never_comes_is_waited_for_two_seconds() -> None:
    async with scripted.provider([scripted.STREAM, scripted.text_event("Hi"), scripted.FINISH, 8.0]) as provider:
        reception = await receive(request(provider.base_url))
    assert (reception.error, reception.text, reception.progress.usage) == (None, "Hi", None)
    assert 1.9 < reception.seconds < 2.5


async def test_a_finished_connection_serves_the_next_call_and_a_half_read_one_does_not() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = scripted.text_event("Hi") + scripted.FINISH + scripted.USAGE + scripted.DONE
    whole = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    scripts: list[scripted.Script] = [[chunked, whole], [chunked, whole[:-5], 0.002, whole[-5:]]]
    for script in scripts:
        async with scripted.provider(script) as provider:
            for _ in range(3):
                assert (await receive(request(provider.base_url))).text == "Hi"
            assert provider.connections == 1
    async with scripted.provider([chunked, whole[:-5], 3.0, whole[-5:]]) as provider:
        for _ in range(2):
            assert (await receive(request(provider.base_url))).text == "Hi"
        assert provider.connections == 2


@pytest.mark.parametrize(("parameters", "kept"), [({}, False), ({"logprobs": True}, True)])
async def test_an_answer_in_one_piece_is_no_larger_than_its_tokens(parameters: dict[str, Any], kept: bool) -> None:
    prompt, bound = Prompt([{"role": "user", "content": "Hi"}], parameters, whole=True), 100
    size = 1_048_576 + 500 * bound
    choice = {"index": 0, "message": {"role": "assistant", "content": "x" * size}, "finish_reason": "stop"}
    body = orjson.dumps({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 100}})
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with scripted.provider([head + body]) as provider:
        reception = await receive(request(provider.base_url, bound=bound, prompt=prompt))
    assert (len(reception.text) == size) is kept
    assert (reception.error is None) is kept
