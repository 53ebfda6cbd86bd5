"""No provider call without the gate's leave and an admission that covers it."""

from dataclasses import replace

import pytest

from apps.routing import selectors, services
from apps.routing.contracts import Prompt
from apps.routing.errors import NoCandidates
from apps.routing.models import Provider
from apps.tenants.contracts import Principal
from apps.tenants.scope import database_step
from tests.processes import Simulator
from tests.routing.exchange import PATIENT, GateClosed, RecordingGate, admission, converse, offer


async def test_a_closed_gate_forbids_the_first_call(alice: Principal, provider_simulator: Simulator) -> None:
    gate = RecordingGate(closed_from=1)
    exchange = await converse(alice, await offer(alice, provider_simulator.url, ["bench"]), gate=gate)
    assert isinstance(exchange.error, GateClosed)
    assert (exchange.chunks, gate.begun, gate.ends) == ([], [], [])


async def test_a_gate_that_closes_in_between_leaves_what_was_shown(
    alice: Principal, provider_simulator: Simulator
) -> None:
    gate = RecordingGate(closed_from=2)
    plan = await offer(alice, provider_simulator.url, ["bench+tokens=40+fault=die@5", "bench"])
    exchange = await converse(alice, plan, gate=gate)
    assert isinstance(exchange.error, GateClosed)
    assert exchange.restarts == []
    assert exchange.text != ""
    assert [name for name, _, _ in exchange.story] == ["bench+tokens=40+fault=die@5"]


async def test_candidates_above_the_admitted_amount_are_not_called(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench+tokens=5", "bench+tokens=6"])
    dear = plan.candidates[0]._replace(output_tokens_bound=9_999)
    mixed = replace(plan, candidates=(dear, plan.candidates[1]))
    leave = replace(admission(alice, plan), amount_nanousd=plan.candidates[1].amount_bound_nanousd)
    gate = RecordingGate()
    prompt = Prompt([{"role": "user", "content": "Hi"}])
    chunks = [chunk async for chunk in services.stream(mixed, leave, gate, prompt, PATIENT)]
    assert [candidate for _, candidate, _ in gate.begun] == [plan.candidates[1]]
    assert chunks
    with pytest.raises(NoCandidates):
        await anext(services.stream(mixed, replace(leave, amount_nanousd=1), gate, prompt, PATIENT))
    assert len(gate.begun) == 1


async def test_what_was_switched_off_since_the_plan_is_not_called(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench"])

    def switch_off() -> None:
        Provider.objects.using("engine").filter(tenant_id=alice.tenant_id).update(enabled=False)
        selectors.invalidate(alice.tenant_id)

    await database_step(switch_off)
    exchange = await converse(alice, plan)
    assert isinstance(exchange.error, NoCandidates)
    assert exchange.gate.begun == []


async def test_a_prompt_that_is_no_json_is_a_defect_and_still_ends_its_attempt(
    alice: Principal, provider_simulator: Simulator
) -> None:
    gate = RecordingGate()
    plan = await offer(alice, provider_simulator.url, ["bench"])
    with pytest.raises(TypeError):
        await converse(alice, plan, gate=gate, parameters={"stop": object()})
    assert [(end.state.value, end.error_code) for end in gate.ends] == [("failed", "internal_error")]
