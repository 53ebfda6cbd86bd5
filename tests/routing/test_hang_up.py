"""Whoever stops listening stops the provider too, at once, and the gate is told."""

import asyncio
import time
from contextlib import aclosing

import pytest

from apps.routing import fleet, services
from apps.routing.contracts import AttemptState, Deadlines, Prompt, TextDelta
from apps.tenants.contracts import Principal
from tests.processes import Simulator
from tests.routing.exchange import PATIENT, RecordingGate, admission, billed, converse, offer

ENDLESS = "bench+tps=100+tokens=4000"


async def test_closing_the_stream_closes_the_call_upstream(alice: Principal, provider_simulator: Simulator) -> None:
    plan, gate = await offer(alice, provider_simulator.url, [ENDLESS]), RecordingGate()
    prompt = Prompt([{"role": "user", "content": "Go on and on."}])
    shown = 0
    async with aclosing(services.stream(plan, admission(alice, plan), gate, prompt, PATIENT)) as chunks:
        async for chunk in chunks:
            shown += isinstance(chunk, TextDelta)
            if shown == 10:
                break
    left_at = time.time()
    (end,) = gate.ends
    assert (end.state, end.error_code) == (AttemptState.CANCELLED, None)
    assert end.usage.estimated
    line = await billed(provider_simulator.url, end.attempt_id)
    assert line["closed_by_caller"]
    assert line["ended_at"] - left_at < 0.1
    assert 10 <= line["tokens_sent"] <= end.usage.output_tokens + 10


@pytest.mark.parametrize("model", [ENDLESS, "bench+fault=hang", "bench+fault=slow@9", "bench+tokens=9+fault=silence@4"])
async def test_cancelling_the_task_closes_the_call_upstream(
    alice: Principal, provider_simulator: Simulator, model: str
) -> None:
    plan, gate = await offer(alice, provider_simulator.url, [model]), RecordingGate()
    task = asyncio.create_task(converse(alice, plan, gate=gate))
    await asyncio.sleep(0.3)
    cancelled_at = time.time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (end,) = gate.ends
    assert end.state is AttemptState.CANCELLED
    line = await billed(provider_simulator.url, end.attempt_id)
    assert line["closed_by_caller"]
    assert line["ended_at"] - cancelled_at < 0.1


@pytest.mark.parametrize(("measured", "pace"), [(None, 150), (400.0, 500)])
async def test_what_was_being_written_whole_is_paid_for_as_far_as_it_may_have_come(
    alice: Principal, provider_simulator: Simulator, measured: float | None, pace: int
) -> None:
    """Nothing of it was seen, and the provider wrote and charges it all the same."""
    plan = await offer(alice, provider_simulator.url, [f"bench+tokens=4000+ttft=0+tps={pace}"])
    (candidate,), gate = plan.candidates, RecordingGate()
    if measured is not None:
        fleet.current().measured(candidate.deployment_id, None, measured)
    prompt = Prompt([{"role": "user", "content": "Write it down."}], whole=True)

    async def ask() -> None:
        async with aclosing(services.stream(plan, admission(alice, plan), gate, prompt, PATIENT)) as chunks:
            async for _ in chunks:
                pass

    task = asyncio.create_task(ask())
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (end,) = gate.ends
    line = await billed(provider_simulator.url, end.attempt_id)
    assert line["closed_by_caller"] and not line["tokens_sent"]
    written = (line["ended_at"] - line["started_at"]) * pace
    assert end.state is AttemptState.CANCELLED and end.usage.estimated
    assert 0.8 * written <= end.usage.output_tokens <= candidate.output_tokens_bound
    assert end.usage.output_tokens <= end.duration_seconds * (200 if measured is None else 2 * measured) + 1


async def test_a_call_that_timed_out_is_closed_too(alice: Principal, provider_simulator: Simulator) -> None:
    quick = Deadlines(connect_seconds=1, first_token_seconds=1, gap_seconds=0.2, total_seconds=5)
    plan = await offer(alice, provider_simulator.url, ["bench+tokens=9+fault=silence@4", "bench+tokens=3"])
    exchange = await converse(alice, plan, deadlines=quick)
    line = await billed(provider_simulator.url, exchange.gate.ends[0].attempt_id)
    assert line["closed_by_caller"]
    assert exchange.finished.usage.output_tokens == 3


async def test_cancelled_while_it_waits_to_repeat_no_call_is_made(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan, gate = await offer(alice, provider_simulator.url, ["bench+fault=429+retry_after=5"]), RecordingGate()
    task = asyncio.create_task(converse(alice, plan, gate=gate))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [end.state for end in gate.ends] == [AttemptState.FAILED]
    assert len(gate.begun) == 1
