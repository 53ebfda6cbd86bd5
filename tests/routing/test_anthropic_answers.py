"""Whole answers over Anthropic's format: what comes out, what it cost, and each way to fail."""

from typing import Any

import orjson
import pytest

from apps.routing.contracts import Deadlines, Prompt, TextDelta, ToolCallCompleted, ToolCallStarted, Usage
from apps.routing.errors import AllAttemptsFailed
from apps.routing.providers.anthropic import Anthropic
from apps.tenants.contracts import Principal
from tests.processes import Simulator
from tests.routing import scripted
from tests.routing.exchange import billed, converse, offer
from tests.routing.reception import Reception, receive, request

SOUND = "bench+tokens=12"
QUICK = Deadlines(connect_seconds=1, first_token_seconds=0.3, gap_seconds=0.3, total_seconds=20)
ANTHROPIC = Anthropic()


async def test_an_answer_is_exactly_what_was_sent_and_billed(alice: Principal, provider_simulator: Simulator) -> None:
    plan = await offer(alice, provider_simulator.url, ["demo-swift+tps=0+ttft=0+cached=4", SOUND], adapter="anthropic")
    exchange = await converse(alice, plan)
    line = await billed(provider_simulator.url, exchange.finished.attempt_id)
    assert line["endpoint"] == "/v1/messages"
    assert exchange.text == line["text"] != ""
    assert exchange.finished.finish_reason == "stop"
    assert exchange.finished.usage == Usage(line["prompt_tokens"], line["tokens_sent"], cached_tokens=4)
    assert (line["completed"], line["closed_by_caller"]) == (True, False)


async def test_it_answers_as_over_openais_format(provider_simulator: Simulator) -> None:
    asked = request(f"{provider_simulator.url}/v1", "demo-steady+tps=0+ttft=0")
    ours, theirs = await receive(asked, ANTHROPIC), await receive(asked)
    assert ours.text == theirs.text != ""
    assert ours.progress.usage == theirs.progress.usage


async def test_thoughts_come_where_an_effort_is_named(alice: Principal, provider_simulator: Simulator) -> None:
    plan = await offer(alice, provider_simulator.url, ["demo-cedar+tps=0+ttft=0"], adapter="anthropic")
    exchange = await converse(alice, plan, parameters={"reasoning_effort": "low", "temperature": 0.1})
    line = await billed(provider_simulator.url, exchange.finished.attempt_id)
    assert exchange.reasoning
    assert line["reasoning_tokens_sent"] > 0
    assert (exchange.text, exchange.finished.usage.output_tokens) == (line["text"], line["tokens_sent"])


async def _ask(simulator: Simulator, messages: list[dict[str, Any]], **parameters: Any) -> Reception:
    asked = request(f"{simulator.url}/v1", "demo-swift+tps=0+ttft=0", prompt=Prompt(messages, parameters))
    reception = await receive(asked, ANTHROPIC)
    assert reception.error is None
    return reception


async def test_a_tool_is_called_and_its_result_read(provider_simulator: Simulator) -> None:
    function = {"name": "bicycle_facts", "description": "Facts", "parameters": {"properties": {"part": {}}}}
    tools = [{"type": "function", "function": function}]
    ask: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Bicycle?"}]
    reception = await _ask(provider_simulator, ask, tools=tools, tool_choice="required")
    started, completed = reception.deltas
    assert isinstance(started, ToolCallStarted)
    assert isinstance(completed, ToolCallCompleted)
    assert orjson.loads(completed.arguments).keys() == {"part"}
    assert reception.progress.finish_reason == "tool_calls"
    call = {"id": completed.call_id, "type": "function"}
    call |= {"function": {"name": completed.name, "arguments": completed.arguments}}
    ask += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": completed.call_id, "content": "It has two wheels."},
    ]
    assert "two wheels" in (await _ask(provider_simulator, ask, tools=tools)).text


async def test_the_answer_goes_on_after_its_beginning(provider_simulator: Simulator) -> None:
    ask = [{"role": "user", "content": "Compare tea and coffee"}]
    whole = (await _ask(provider_simulator, ask)).text
    begun = whole[:25].rstrip()
    rest = await _ask(provider_simulator, [*ask, {"role": "assistant", "content": begun}])
    assert begun + rest.text == whole


async def test_json_by_a_schema(provider_simulator: Simulator) -> None:
    schema = {"type": "object", "properties": {"winner": {"type": "string", "enum": ["milk", "coffee"]}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    ask = [{"role": "user", "content": "Compare tea and coffee"}]
    assert orjson.loads((await _ask(provider_simulator, ask, response_format=wanted)).text) == {"winner": "coffee"}


async def test_the_second_turn_reads_what_the_first_one_wrote(provider_simulator: Simulator) -> None:
    ask = [{"role": "system", "content": "Answer like a pirate. " * 60}, {"role": "user", "content": "Ahoy there"}]
    first = await _ask(provider_simulator, ask)
    again = [*ask, {"role": "assistant", "content": first.text}, {"role": "user", "content": "More"}]
    second, third = [await _ask(provider_simulator, again) for _ in range(2)]
    assert first.progress.usage is not None
    assert second.progress.usage is not None
    assert third.progress.usage is not None
    assert first.progress.usage.cached_tokens == 0
    assert 300 < second.progress.usage.cached_tokens < third.progress.usage.cached_tokens
    assert first.progress.usage.cache_write_tokens > 300
    assert third.progress.usage.cache_write_tokens == 0
    assert third.progress.usage.cached_tokens < third.progress.usage.input_tokens == second.progress.usage.input_tokens


# fault -> error code of the failed attempt, and whether text had been shown by then
FALLS_BACK = {
    "reset": ("stream_cut", False),
    "hang": ("first_token_timeout", False),
    "keepalive@0.1": ("first_token_timeout", False),
    "die@0": ("stream_cut", False),
    "die@20": ("stream_cut", True),
    "silence@20": ("gap_timeout", True),
    "error_event": ("provider_overloaded", True),
    "no_finish": ("stream_cut", True),
    "401": ("provider_auth_failed", False),
    "403": ("provider_auth_failed", False),
    "404": ("provider_misconfigured", False),
    "413": ("context_length_exceeded", False),
    "429": ("provider_rate_limited", False),
    "500": ("provider_overloaded", False),
    "502": ("provider_overloaded", False),
    "529": ("provider_overloaded", False),
    "context_length": ("context_length_exceeded", False),
}


@pytest.mark.parametrize("fault", FALLS_BACK)
async def test_another_candidate_takes_over(alice: Principal, provider_simulator: Simulator, fault: str) -> None:
    code, was_shown = FALLS_BACK[fault]
    broken = f"bench+tokens=40+fault={fault}"
    plan = await offer(alice, provider_simulator.url, [broken, SOUND], adapter="anthropic")
    exchange = await converse(alice, plan, deadlines=QUICK)
    assert exchange.story == [(broken, "failed", code), (SOUND, "won", None)]
    assert exchange.restarts == ([code] if was_shown else [])
    first, second = [await billed(provider_simulator.url, end.attempt_id) for end in exchange.gate.ends]
    assert exchange.text == second["text"] != ""
    assert exchange.finished.usage == Usage(second["prompt_tokens"], 12)
    failed = exchange.gate.ends[0].usage
    if was_shown:
        # Its count of the input came with the beginning.
        assert (failed.estimated, failed.input_tokens) == (True, first["prompt_tokens"])
        assert failed.output_tokens >= first["tokens_sent"]


async def test_a_rejected_request_is_not_repeated(alice: Principal, provider_simulator: Simulator) -> None:
    broken = "bench+fault=400"
    exchange = await converse(alice, await offer(alice, provider_simulator.url, [broken, SOUND], adapter="anthropic"))
    assert exchange.story == [(broken, "failed", "provider_rejected")]


@pytest.mark.parametrize("fault", ["no_usage", "no_done", "malformed@20"])
async def test_a_lesser_fault_is_survived(alice: Principal, provider_simulator: Simulator, fault: str) -> None:
    broken = f"bench+tokens=40+fault={fault}"
    exchange = await converse(alice, await offer(alice, provider_simulator.url, [broken], adapter="anthropic"))
    assert exchange.story == [(broken, "won", None)]
    line = await billed(provider_simulator.url, exchange.finished.attempt_id)
    usage = exchange.finished.usage
    assert usage.estimated == (fault == "no_usage")
    if not usage.estimated:
        assert usage == Usage(line["prompt_tokens"], line["tokens_sent"])


async def test_a_refusal_finishes_and_says_so(alice: Principal, provider_simulator: Simulator) -> None:
    model = "bench+tokens=40+fault=content_filter@10"
    exchange = await converse(alice, await offer(alice, provider_simulator.url, [model], adapter="anthropic"))
    assert (exchange.finished.finish_reason, exchange.finished.usage.output_tokens) == ("content_filter", 10)


async def test_a_provider_that_says_when_is_heard(alice: Principal, provider_simulator: Simulator) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench+fault=529+retry_after=60"], adapter="anthropic")
    exchange = await converse(alice, plan)
    assert isinstance(exchange.error, AllAttemptsFailed)
    assert exchange.error.retry_after_seconds == 60.0


async def test_key_and_version_travel_in_headers_of_their_own() -> None:
    async with scripted.provider([scripted.STREAM, scripted.event('{"type":"message_stop"}'), None]) as provider:
        await receive(request(provider.base_url, key="sk-ant-test"), ANTHROPIC)
    [sent] = provider.requests
    head = sent.split(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"post /v1/messages http/1.1")
    assert b"\r\nx-api-key: sk-ant-test" in head
    assert b"\r\nanthropic-version: 2023-06-01" in head
    assert b"authorization" not in head


async def test_an_answer_is_complete_with_its_stop_reason_and_usage_although_the_line_stays_open() -> None:
    end = scripted.event('{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}')
    text = scripted.event('{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}')
    async with scripted.provider([scripted.STREAM, text, end, 5.0]) as provider:
        reception = await receive(request(provider.base_url), ANTHROPIC)
    assert (reception.error, reception.deltas) == (None, [TextDelta("Hi")])
    assert reception.seconds < 0.5
