"""Each way a provider can fail, and the declared policy for it: attempts made, text kept, error told, cost settled."""

import pytest

from apps.problems import Problem
from apps.routing.contracts import AttemptState, Deadlines, Usage
from apps.routing.errors import AllAttemptsFailed
from apps.tenants.contracts import Principal
from tests.processes import Simulator
from tests.routing.exchange import billed, converse, offer

SOUND = "bench+tokens=12"
QUICK = Deadlines(connect_seconds=1, first_token_seconds=0.4, gap_seconds=0.4, total_seconds=20)

# fault -> error code of the failed attempt, and whether text had been shown by then
FALLS_BACK = {
    "reset": ("stream_cut", False),
    "hang": ("first_token_timeout", False),
    "slow@5": ("first_token_timeout", False),
    "keepalive@0.1": ("first_token_timeout", False),
    "drip@30": ("first_token_timeout", False),
    "die@0": ("stream_cut", False),
    "die@1": ("stream_cut", True),
    "die@20": ("stream_cut", True),
    "die@last": ("stream_cut", True),
    "silence@20": ("gap_timeout", True),
    "error_event": ("provider_overloaded", True),
    "no_finish": ("stream_cut", True),
    "401": ("provider_auth_failed", False),
    "403": ("provider_auth_failed", False),
    "404": ("provider_misconfigured", False),
    "408": ("provider_overloaded", False),
    "429": ("provider_rate_limited", False),
    "500": ("provider_overloaded", False),
    "502": ("provider_overloaded", False),
    "503": ("provider_overloaded", False),
    "529": ("provider_overloaded", False),
    "context_length": ("context_length_exceeded", False),
}


@pytest.mark.parametrize("fault", FALLS_BACK)
async def test_another_candidate_takes_over(alice: Principal, provider_simulator: Simulator, fault: str) -> None:
    code, was_shown = FALLS_BACK[fault]
    broken = f"bench+tokens=40+fault={fault}"
    exchange = await converse(alice, await offer(alice, provider_simulator.url, [broken, SOUND]), deadlines=QUICK)
    assert exchange.story == [(broken, "failed", code), (SOUND, "won", None)]
    assert exchange.restarts == ([code] if was_shown else [])
    first, second = [await billed(provider_simulator.url, end.attempt_id) for end in exchange.gate.ends]
    assert exchange.text == second["text"] != ""
    assert exchange.finished.usage == Usage(second["prompt_tokens"], 12)
    failed = exchange.gate.ends[0]
    assert (failed.first_token_seconds is not None) == was_shown
    shown_tokens = first["tokens_sent"] if was_shown else 0
    assert shown_tokens <= failed.usage.output_tokens <= failed.candidate.output_tokens_bound
    assert failed.usage.input_tokens <= failed.candidate.input_tokens_bound
    refused = fault[:3].isdigit() or fault == "context_length"
    assert failed.usage.estimated != refused
    if refused:
        assert failed.usage == Usage(0, 0)


@pytest.mark.parametrize("fault", ["400", "422"])
async def test_a_rejected_request_is_not_repeated_on_the_same_model(
    alice: Principal, provider_simulator: Simulator, fault: str
) -> None:
    broken = f"bench+fault={fault}"
    exchange = await converse(alice, await offer(alice, provider_simulator.url, [broken, SOUND]))
    assert exchange.story == [(broken, "failed", "provider_rejected")]
    assert isinstance(exchange.error, Problem)
    assert (exchange.error.code, exchange.error.status, exchange.error.retryable) == ("provider_rejected", 400, False)
    assert exchange.chunks == []


@pytest.mark.parametrize("fault", ["no_usage", "no_done", "malformed@20"])
async def test_a_lesser_fault_is_survived(alice: Principal, provider_simulator: Simulator, fault: str) -> None:
    broken = f"bench+tokens=40+fault={fault}"
    exchange = await converse(alice, await offer(alice, provider_simulator.url, [broken, SOUND]))
    assert exchange.story == [(broken, "won", None)]
    line = await billed(provider_simulator.url, exchange.finished.attempt_id)
    usage = exchange.finished.usage
    if fault == "no_usage":
        assert usage.estimated
        assert line["tokens_sent"] <= usage.output_tokens <= 4_096
    else:
        assert usage == Usage(line["prompt_tokens"], line["tokens_sent"])
    if not fault.startswith("malformed"):
        assert exchange.text == line["text"]


async def test_a_filtered_answer_finishes_and_says_so(alice: Principal, provider_simulator: Simulator) -> None:
    exchange = await converse(
        alice, await offer(alice, provider_simulator.url, ["bench+tokens=40+fault=content_filter@10", SOUND])
    )
    line = await billed(provider_simulator.url, exchange.finished.attempt_id)
    assert exchange.finished.finish_reason == "content_filter"
    assert exchange.text == line["text"]
    assert exchange.finished.usage == Usage(line["prompt_tokens"], 10)


async def test_the_only_candidate_is_tried_four_times_after_longer_and_longer_pauses(
    alice: Principal, provider_simulator: Simulator
) -> None:
    broken = "bench+fault=503"
    exchange = await converse(alice, await offer(alice, provider_simulator.url, [broken]))
    assert exchange.story == [(broken, "failed", "provider_overloaded")] * 4
    assert exchange.seconds < 0.2 + 0.4 + 0.8 + 0.5
    error = exchange.error
    assert isinstance(error, AllAttemptsFailed)
    assert (error.code, error.attempts, error.cause.code) == ("all_attempts_failed", 4, "provider_overloaded")
    assert (error.status, error.retryable) == (502, True)


async def test_an_answer_may_die_again_and_again_and_each_restart_is_told(
    alice: Principal, provider_simulator: Simulator
) -> None:
    broken = "bench+tokens=40+fault=die@5"
    exchange = await converse(alice, await offer(alice, provider_simulator.url, [broken]))
    assert exchange.story == [(broken, "failed", "stream_cut")] * 4
    # The last text stays: no attempt came after it that would have voided it.
    assert exchange.restarts == ["stream_cut"] * 3
    line = await billed(provider_simulator.url, exchange.gate.ends[-1].attempt_id)
    assert exchange.text == line["text"] != ""
    assert isinstance(exchange.error, AllAttemptsFailed)


async def test_a_provider_that_says_when_is_waited_for(alice: Principal, provider_simulator: Simulator) -> None:
    broken = "bench+fault=429+retry_after=1"
    exchange = await converse(
        alice,
        await offer(alice, provider_simulator.url, [broken]),
        deadlines=Deadlines(connect_seconds=1, first_token_seconds=1, gap_seconds=1, total_seconds=1.6),
    )
    assert exchange.story == [(broken, "failed", "provider_rate_limited")] * 2
    assert 1.0 <= exchange.seconds < 1.5, "the third wait would pass the deadline, so it is not begun"
    assert isinstance(exchange.error, AllAttemptsFailed)
    assert exchange.error.retry_after_seconds == 1.0


async def test_a_provider_that_asks_for_too_much_patience_is_not(
    alice: Principal, provider_simulator: Simulator
) -> None:
    broken = "bench+fault=429+retry_after=11"
    exchange = await converse(alice, await offer(alice, provider_simulator.url, [broken]))
    assert exchange.story == [(broken, "failed", "provider_rate_limited")]
    assert exchange.seconds < 0.5
    assert isinstance(exchange.error, AllAttemptsFailed)
    assert exchange.error.retry_after_seconds == 11.0


async def test_a_key_that_is_refused_is_not_tried_twice(alice: Principal, provider_simulator: Simulator) -> None:
    exchange = await converse(alice, await offer(alice, provider_simulator.url, [SOUND], key="invalid"))
    assert exchange.story == [(SOUND, "failed", "provider_auth_failed")]
    assert isinstance(exchange.error, Problem)
    assert not exchange.error.retryable
    assert "invalid" not in exchange.error.detail


async def test_the_total_deadline_covers_every_attempt(alice: Principal, provider_simulator: Simulator) -> None:
    deadlines = Deadlines(connect_seconds=1, first_token_seconds=0.3, gap_seconds=1, total_seconds=0.7)
    silent = "bench+fault=hang"
    exchange = await converse(alice, await offer(alice, provider_simulator.url, [silent]), deadlines=deadlines)
    assert 0.3 <= exchange.seconds < 1.0
    assert all(end.state is AttemptState.FAILED for end in exchange.gate.ends)
    assert isinstance(exchange.error, Problem)
    assert exchange.error.code in ("total_timeout", "all_attempts_failed")
