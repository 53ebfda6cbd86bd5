"""Every fault, as the caller meets it, and what the bill says of it."""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime
from uuid import uuid4

import aiohttp
import pytest

from tests.simulator.client import ASK, FAST, Client, Reading

CHAT = "/v1/chat/completions"


async def meet(simulator: Client, model: str, *, within_seconds: float = 0.6) -> tuple[Reading, dict[str, object]]:
    """One stream and its line in the bill."""
    attempt = str(uuid4())
    reading = await simulator.stream(
        f"{model}+{FAST}",
        attempt=attempt,
        within_seconds=within_seconds,
        stream_options={"include_usage": True},
    )
    return reading, await simulator.bill(attempt)


@pytest.mark.parametrize(("at", "tokens"), [("0", 0), ("1", 1), ("50", 50), ("last", 60)])
async def test_death_after_so_many_tokens(simulator: Client, at: str, tokens: int) -> None:
    reading, line = await meet(simulator, f"bench+tokens=60+fault=die@{at}")
    assert (reading.status, reading.ended, reading.deltas) == (200, "reset", tokens)
    assert reading.finish_reasons == []
    assert not reading.is_done
    assert (line["tokens_sent"], line["completed"], line["closed_by_caller"]) == (tokens, False, False)
    assert (line["fault"], line["text"]) == (f"die@{at}", reading.joined())


async def test_death_splits_a_chunk_to_be_exact(simulator: Client) -> None:
    _, line = await meet(simulator, "bench+tokens=60+chunk=8+fault=die@50")
    assert (line["tokens_sent"], line["chunks_sent"]) == (50, 7)


async def test_reset_before_headers(simulator: Client) -> None:
    reading, line = await meet(simulator, "bench+fault=reset")
    assert (reading.status, reading.ended) == (0, "reset")
    assert (line["status"], line["first_byte_at"], line["closed_by_caller"]) == (None, None, False)


async def test_hang_before_headers_until_the_caller_leaves(simulator: Client) -> None:
    reading, line = await meet(simulator, "bench+fault=hang")
    assert (reading.status, reading.ended) == (0, "timeout")
    assert line["closed_by_caller"] is True


async def test_silence_keeps_the_connection_open(simulator: Client) -> None:
    reading, line = await meet(simulator, "bench+tokens=20+fault=silence@5")
    assert (reading.status, reading.ended, reading.deltas) == (200, "timeout", 5)
    assert (line["tokens_sent"], line["closed_by_caller"]) == (5, True)


async def test_malformed_event_in_the_middle_loses_its_text(simulator: Client) -> None:
    reading, line = await meet(simulator, "bench+tokens=10+fault=malformed@4")
    assert len(reading.broken) == 1
    assert reading.broken[0].startswith('{"id":"chatcmpl-')
    assert reading.deltas == 9
    assert reading.is_done
    assert line["tokens_sent"] == 10
    assert line["text"] != reading.joined()


async def test_no_usage_although_asked(simulator: Client) -> None:
    reading, line = await meet(simulator, "bench+tokens=10+fault=no_usage")
    assert (reading.usage, reading.finish_reasons, reading.is_done) == (None, ["stop"], True)
    assert (line["completed"], line["tokens_sent"]) == (True, 10)


async def test_no_final_marker(simulator: Client) -> None:
    reading, _ = await meet(simulator, "bench+tokens=10+fault=no_done")
    assert (reading.ended, reading.finish_reasons, reading.is_done) == ("eof", ["stop"], False)


@pytest.mark.parametrize(("fault", "tokens"), [("no_finish", 10), ("no_finish@6", 6)])
async def test_clean_end_without_finish_reason(simulator: Client, fault: str, tokens: int) -> None:
    reading, line = await meet(simulator, f"bench+tokens=10+fault={fault}")
    assert (reading.ended, reading.finish_reasons, reading.is_done) == ("eof", [], False)
    assert (reading.deltas, line["completed"]) == (tokens, False)


async def test_error_event_in_a_good_stream(simulator: Client) -> None:
    reading, line = await meet(simulator, "bench+tokens=10+fault=error_event@3")
    assert (reading.status, reading.ended, reading.deltas, reading.is_done) == (200, "eof", 3, False)
    assert reading.events[-1]["error"]["type"] == "server_error"
    assert line["completed"] is False


async def test_content_filter(simulator: Client) -> None:
    reading, _ = await meet(simulator, "bench+tokens=10+fault=content_filter@4")
    assert (reading.deltas, reading.finish_reasons, reading.is_done) == (4, ["content_filter"], True)
    assert reading.usage is not None
    assert reading.usage["completion_tokens"] == 4


async def test_drip_sends_byte_by_byte(simulator: Client) -> None:
    attempt = str(uuid4())
    body = {"model": "bench+fault=drip@20", "messages": ASK, "stream": True}
    headers = {"Authorization": "Bearer k", "X-Switchboard-Attempt": attempt}
    async with simulator.session.post(simulator.url + CHAT, json=body, headers=headers) as response:
        started = time.monotonic()
        pieces = [await response.content.readany() for _ in range(6)]
        took = time.monotonic() - started
        assert b"".join(pieces) == b"data: "
        assert 0.15 < took < 1.0
        response.close()
    assert (await simulator.bill(attempt))["closed_by_caller"] is True


async def test_comments_only(simulator: Client) -> None:
    reading, line = await meet(simulator, "bench+fault=keepalive@0.05")
    assert reading.comments >= 3
    assert (reading.events, line["tokens_sent"]) == ([], 0)


async def test_slow_first_token(simulator: Client) -> None:
    reading, line = await meet(simulator, "bench+tokens=4+fault=slow@0.2", within_seconds=2)
    assert reading.first_token_seconds is not None
    assert 0.18 < reading.first_token_seconds < 0.8
    assert (reading.is_done, line["completed"]) == (True, True)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (401, "authentication_error"), (429, "rate_limit_error"), (503, "server_error")],
)
async def test_status_with_and_without_retry_after(simulator: Client, status: int, kind: str) -> None:
    for option, expected in (("", None), ("+retry_after=7", "7")):
        body = {"model": f"bench+fault={status}{option}", "messages": ASK}
        got, headers, answer = await simulator.post(CHAT, body)
        assert (got, answer["error"]["type"], headers.get("Retry-After")) == (status, kind, expected)


async def test_retry_after_as_a_date(simulator: Client) -> None:
    _, headers, _ = await simulator.post(CHAT, {"model": "bench+fault=429+retry_date=30", "messages": ASK})
    wait = parsedate_to_datetime(headers["Retry-After"]).timestamp() - time.time()
    assert 27 < wait <= 30


async def test_502_carries_a_page_instead_of_json(simulator: Client) -> None:
    body = {"model": "bench+fault=502", "messages": ASK}
    async with simulator.session.post(
        simulator.url + CHAT, json=body, headers={"Authorization": "Bearer k"}
    ) as response:
        assert (response.status, response.content_type) == (502, "text/html")


async def test_context_length_fault(simulator: Client) -> None:
    status, _, answer = await simulator.post(CHAT, {"model": "bench+fault=context_length", "messages": ASK})
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


async def test_faults_of_whole_answers(simulator: Client) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await simulator.chat("bench+tokens=60+fault=die@30")
    with pytest.raises(ValueError, match="unexpected end"):
        await simulator.chat("bench+fault=malformed")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await simulator.chat("bench+fault=silence")
    assert "usage" not in await simulator.chat("bench+fault=no_usage")
    assert (await simulator.chat("bench+fault=no_finish"))["choices"][0]["finish_reason"] is None
    filtered = (await simulator.chat("bench+tokens=9+fault=content_filter@0"))["choices"][0]
    assert (filtered["message"]["content"], filtered["finish_reason"]) == ("", "content_filter")
    assert (await simulator.chat("bench+fault=error_event"))["error"]["code"] == "server_error"
