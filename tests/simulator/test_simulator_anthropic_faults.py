"""Every fault over Anthropic's wire format, and what the bill says of it."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.simulator.anthropic_client import AnthropicClient, Reading
from tests.simulator.client import ASK, FAST, Client


@pytest.fixture
def anthropic(simulator: Client) -> AnthropicClient:
    return AnthropicClient(simulator)


async def meet(
    anthropic: AnthropicClient, model: str, *, within_seconds: float = 0.6
) -> tuple[Reading, dict[str, object]]:
    attempt = str(uuid4())
    reading = await anthropic.stream(f"{model}+{FAST}", attempt=attempt, within_seconds=within_seconds)
    return reading, await anthropic.bill(attempt)


@pytest.mark.parametrize(("at", "tokens"), [("0", 0), ("1", 1), ("last", 20)])
async def test_death_after_so_many_tokens(anthropic: AnthropicClient, at: str, tokens: int) -> None:
    reading, line = await meet(anthropic, f"bench+tokens=20+fault=die@{at}")
    assert (reading.ended, reading.deltas, reading.stop_reason) == ("reset", tokens, None)
    assert (line["tokens_sent"], line["completed"], line["text"]) == (tokens, False, reading.joined())


@pytest.mark.parametrize("fault", ["reset", "hang"])
async def test_nothing_at_all(anthropic: AnthropicClient, fault: str) -> None:
    reading, line = await meet(anthropic, f"bench+fault={fault}")
    assert (reading.status, reading.events) == (0, [])
    assert line["closed_by_caller"] is (fault == "hang")


async def test_silence_and_pings_are_no_tokens(anthropic: AnthropicClient) -> None:
    reading, line = await meet(anthropic, "bench+tokens=20+fault=silence@5")
    assert (reading.ended, reading.deltas, line["tokens_sent"]) == ("timeout", 5, 5)
    reading, line = await meet(anthropic, "bench+tokens=20+fault=keepalive@0.1")
    assert (reading.kinds, line["tokens_sent"]) == (["ping"], 0)


async def test_a_malformed_event_loses_its_text(anthropic: AnthropicClient) -> None:
    reading, line = await meet(anthropic, "bench+tokens=10+fault=malformed@4")
    assert len(reading.broken) == 1
    assert (reading.deltas, reading.stop_reason, line["tokens_sent"]) == (9, "end_turn", 10)


async def test_an_error_event_ends_the_stream(anthropic: AnthropicClient) -> None:
    reading, line = await meet(anthropic, "bench+tokens=10+fault=error_event@4")
    assert reading.events[-1] == {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert (reading.ended, reading.deltas, line["completed"]) == ("eof", 4, False)


async def test_what_may_be_missing_at_the_end(anthropic: AnthropicClient) -> None:
    reading, _ = await meet(anthropic, "bench+tokens=10+fault=no_done")
    assert (reading.kinds[-1], reading.stop_reason) == ("message_delta", "end_turn")
    reading, line = await meet(anthropic, "bench+tokens=10+fault=no_finish")
    assert (reading.kinds[-1], line["completed"]) == ("content_block_delta", False)
    reading, line = await meet(anthropic, "bench+tokens=10+fault=no_usage")
    assert "usage" not in reading.of("message_start")[0]["message"]
    assert "usage" not in reading.of("message_delta")[0]
    assert line["completed"] is True


async def test_a_filtered_answer_is_refused(anthropic: AnthropicClient) -> None:
    reading, line = await meet(anthropic, "bench+tokens=10+fault=content_filter@4")
    assert (reading.stop_reason, reading.deltas, line["completed"]) == ("refusal", 4, True)
    assert reading.of("message_delta")[0]["usage"] == {"output_tokens": 4}


async def test_bytes_one_by_one(anthropic: AnthropicClient) -> None:
    reading, _ = await meet(anthropic, "bench+tokens=1+fault=drip@100000", within_seconds=5)
    assert (reading.ended, reading.deltas, reading.stop_reason) == ("eof", 1, "end_turn")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
async def test_statuses(anthropic: AnthropicClient, status: int, kind: str) -> None:
    body = {"model": f"bench+fault={status}+retry_after=7", "messages": ASK, "max_tokens": 9}
    got, headers, answer = await anthropic.post(body)
    assert (got, answer["type"], answer["error"]["type"]) == (status, "error", kind)
    assert headers["Retry-After"] == "7"


async def test_a_prompt_that_is_too_long(anthropic: AnthropicClient) -> None:
    for body in (
        {"model": "bench+fault=context_length", "messages": ASK},
        {"model": "demo-swift", "messages": [{"role": "user", "content": "word " * 33_000}]},
    ):
        status, _, answer = await anthropic.post({**body, "max_tokens": 9})
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
        assert answer["error"]["message"].startswith("prompt is too long: ")


async def test_rules_of_the_control_door_strike_here_too(simulator: Client, anthropic: AnthropicClient) -> None:
    await simulator.fault(model="bench-anthropic-rule", kind="529", times=1)
    struck, _ = await meet(anthropic, "bench-anthropic-rule+tokens=3")
    sound, _ = await meet(anthropic, "bench-anthropic-rule+tokens=3")
    assert (struck.status, sound.status, sound.deltas) == (529, 200, 3)
