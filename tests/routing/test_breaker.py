"""What an open breaker means for a call: who is asked instead, who may probe, and what a caller is told."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing
from uuid import uuid4

import pytest
from django.conf import settings

from apps.routing import breaker, checks, health, services
from apps.routing import fleet as fleets
from apps.routing.circuit import Asker, Rules, Verdict
from apps.routing.contracts import Excluded, Plan, Prompt, TextDelta
from apps.routing.errors import (
    BreakersOpen,
    ConnectFailed,
    ContentFiltered,
    ContextExceeded,
    ProviderAuthFailed,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    TotalTimeout,
)
from apps.routing.fleet import Fleet, clock_ms
from apps.tenants.contracts import Principal
from tests.processes import Simulator
from tests.routing.exchange import PATIENT, QUESTION, RecordingGate, admission, converse, offer
from tests.routing.scripted import DONE, FINISH, STREAM, provider, text_event
from tests.routing.test_fleet import counted

SOUND = "bench+tokens=12"
_LIST = b'{"data": [{"id": "bench"}]}'
LISTED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_LIST), _LIST)
BROKEN = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A fleet of one process, not sharing by itself, whose breakers open after two failures and for long."""
    rules = Rules(failures=2, open_ms=20_000, open_max_ms=20_000)
    fleet = Fleet(settings.REDIS_URL, prefix=f"breaker{uuid4().hex}:", rules=rules)
    monkeypatch.setattr(fleets, "current", lambda: fleet)
    yield fleet
    fleet.close()


def open_breaker(fleet: Fleet, plan: Plan, index: int = 0) -> None:
    for _ in range(2):
        fleet.took(plan.candidates[index].deployment_id, Verdict.FAILED)
    fleet.sync()
    assert fleet.record(plan.candidates[index].deployment_id).circuit.open


def let_time_pass(fleet: Fleet, plan: Plan, ms: int, index: int = 0) -> None:
    """Move the times of one breaker into the past, here and in Redis."""
    name = str(plan.candidates[index].deployment_id)
    held = json.loads(fleet._redis.hget(fleet._keys[0], name))
    for field in ("opened_ms", "until_ms", "probed_ms"):
        held[field] -= ms
    fleet._redis.hset(fleet._keys[0], name, json.dumps(held))
    fleet._seen = ("", 0)
    fleet.sync()


async def test_an_open_one_is_passed_over_while_another_can_serve(
    alice: Principal, provider_simulator: Simulator, fleet: Fleet
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench-a+tokens=12", SOUND])
    open_breaker(fleet, plan)
    with counted(fleet) as sent:
        exchange = await converse(alice, plan)
    assert exchange.story == [(SOUND, "won", None)]
    assert exchange.finished.passed_over == (Excluded("Sim", "bench-a+tokens=12", "breaker_open", "m"),)
    assert sent == [], "memory answers, Redis is not asked"


async def test_a_healthy_call_asks_redis_nothing(alice: Principal, provider_simulator: Simulator, fleet: Fleet) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench+fault=503", SOUND])
    with counted(fleet) as sent:
        exchange = await converse(alice, plan)
    assert [state for _, state, _ in exchange.story] == ["failed", "won"]
    assert exchange.finished.passed_over == ()
    assert sent == []


async def test_failures_of_calls_open_it(alice: Principal, provider_simulator: Simulator, fleet: Fleet) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench+fault=503", SOUND])
    for _ in range(2):
        await converse(alice, plan)
    exchange = await converse(alice, plan)
    assert exchange.story == [(SOUND, "won", None)]
    told = health.health_of(plan.candidates[0].deployment_id)
    assert (told.state, told.failure, told.in_flight) == ("open", "provider_overloaded", 0)
    assert 10 < told.retry_after_seconds <= 25
    assert told.failed_seconds_ago is not None and told.failed_seconds_ago < 5


async def test_a_half_open_one_is_probed_by_one_call_and_closes(
    alice: Principal, provider_simulator: Simulator, fleet: Fleet
) -> None:
    first = "bench-a+tokens=12+ttft=150"
    plan = await offer(alice, provider_simulator.url, [first, SOUND])
    open_breaker(fleet, plan)
    let_time_pass(fleet, plan, 30_000)
    exchanges = await asyncio.gather(*(converse(alice, plan) for _ in range(8)))
    assert sorted(exchange.story[0][0] for exchange in exchanges) == [SOUND] * 7 + [first]
    assert all(exchange.finished for exchange in exchanges)
    assert (await converse(alice, plan)).story == [(first, "won", None)], "it is back"


async def test_a_failed_probe_costs_its_caller_nothing_but_time(
    alice: Principal, provider_simulator: Simulator, fleet: Fleet
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench-a+fault=503", SOUND])
    open_breaker(fleet, plan)
    let_time_pass(fleet, plan, 30_000)
    assert [state for _, state, _ in (await converse(alice, plan)).story] == ["failed", "won"]
    assert (await converse(alice, plan)).story == [(SOUND, "won", None)], "open again"


async def test_a_lone_one_gets_its_probe_and_the_others_are_told_when(
    alice: Principal, provider_simulator: Simulator, fleet: Fleet
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench-a+tokens=12"])
    open_breaker(fleet, plan)
    exchange = await converse(alice, plan)
    assert isinstance(exchange.error, BreakersOpen)
    assert exchange.gate.begun == []
    assert (exchange.error.code, exchange.error.status, exchange.error.retryable) == ("breaker_open", 503, True)
    assert 10 < (exchange.error.retry_after_seconds or 0) <= 25
    let_time_pass(fleet, plan, 1_500)
    assert fleet.record(plan.candidates[0].deployment_id).circuit.until_ms > clock_ms(), "still before its time"
    assert (await converse(alice, plan)).story == [("bench-a+tokens=12", "won", None)]


async def test_with_all_open_one_of_them_is_probed(
    alice: Principal, provider_simulator: Simulator, fleet: Fleet
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench-a+fault=503", SOUND])
    for index in (0, 1):
        open_breaker(fleet, plan, index)
        let_time_pass(fleet, plan, 1_500, index)
    exchange = await converse(alice, plan)
    assert [state for _, state, _ in exchange.story] == ["failed", "won"]


async def test_a_gate_that_does_not_open_gives_the_probe_back(
    alice: Principal, provider_simulator: Simulator, fleet: Fleet
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench-a+tokens=12"])
    open_breaker(fleet, plan)
    let_time_pass(fleet, plan, 30_000)
    await converse(alice, plan, gate=RecordingGate(closed_from=1))
    fleet.sync()
    assert fleet.record(plan.candidates[0].deployment_id).in_flight == 0
    assert (await converse(alice, plan)).story == [("bench-a+tokens=12", "won", None)]


async def test_a_caller_who_hangs_up_says_nothing_about_the_provider(
    alice: Principal, provider_simulator: Simulator, fleet: Fleet
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench-a+tokens=500+tps=50"])
    record = fleet.record(plan.candidates[0].deployment_id)
    prompt = Prompt([{"role": "user", "content": QUESTION}])
    for _ in range(3):
        async with aclosing(services.stream(plan, admission(alice, plan), RecordingGate(), prompt, PATIENT)) as chunks:
            async for chunk in chunks:
                assert isinstance(chunk, TextDelta)
                assert record.in_flight == 1
                break
    assert record.in_flight == 0
    assert not record.circuit.open
    assert record.circuit.window == {}


async def test_a_long_probe_passes_once_its_text_has_flowed(
    alice: Principal, provider_simulator: Simulator, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "ENOUGH_SECONDS", 0.2)
    plan = await offer(alice, provider_simulator.url, ["bench-a+tokens=40+tps=40+chunk=1"])
    open_breaker(fleet, plan)
    let_time_pass(fleet, plan, 30_000)
    running = asyncio.create_task(converse(alice, plan))
    circuit_of = fleet.record(plan.candidates[0].deployment_id)
    async with asyncio.timeout(5):
        while circuit_of.circuit.open:
            await asyncio.sleep(0.01)
    assert not running.done()
    assert (await running).finished


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ProviderRateLimited(""), Verdict.NONE),
        (TotalTimeout(""), Verdict.NONE),
        (ProviderRejected(""), Verdict.OK),
        (ContextExceeded(""), Verdict.OK),
        (ContentFiltered(""), Verdict.OK),
        (ProviderOverloaded(""), Verdict.FAILED),
        (ConnectFailed(""), Verdict.FAILED),
        (ProviderAuthFailed(""), Verdict.FAILED),
    ],
)
def test_what_a_failure_says_about_health(error: ProviderFailed, verdict: Verdict) -> None:
    assert breaker.verdict_on(error) is verdict


@pytest.mark.parametrize("fault", ["429", "400", "context_length"])
async def test_limits_and_wrong_requests_open_nothing(
    alice: Principal, provider_simulator: Simulator, fleet: Fleet, fault: str
) -> None:
    plan = await offer(alice, provider_simulator.url, [f"bench-a+fault={fault}"])
    for _ in range(3):
        await converse(alice, plan)
    assert health.health_of(plan.candidates[0].deployment_id).state == "closed"


async def test_speed_is_measured(alice: Principal, provider_simulator: Simulator, fleet: Fleet) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench-a+tokens=40+tps=100+ttft=100"])
    await converse(alice, plan)
    told = health.health_of(plan.candidates[0].deployment_id)
    assert told.first_token_seconds is not None and 0.09 < told.first_token_seconds < 0.6
    assert told.tokens_per_second is not None and 40 < told.tokens_per_second < 130
    assert health.health_of(uuid4()) == health.UNKNOWN


async def test_a_check_brings_back_who_had_failed_it_and_asks_for_nothing_else(alice: Principal, fleet: Fleet) -> None:
    async with provider([BROKEN]) as there:
        plan = await offer(alice, there.base_url, ["bench-a"])
        await converse(alice, plan)
        circuit_of = fleet.record(plan.candidates[0].deployment_id)
        assert circuit_of.circuit.open
        fleet.sync()
        let_time_pass(fleet, plan, 1_500)
        await checks.check_once(fleet)
        fleet.sync()
        assert circuit_of.circuit.open
        assert circuit_of.circuit.unlisted
        assert there.requests[-1].startswith(b"GET /v1/models ")
        there.script = [LISTED]
        before = len(there.requests)
        await checks.check_once(fleet)
        assert len(there.requests) == before, "not at once again"
        let_time_pass(fleet, plan, 1_500)
        await checks.check_once(fleet)
        assert not circuit_of.circuit.open
        assert len(there.requests) == before + 1
        there.script = [STREAM, text_event("back"), FINISH, DONE, None]
        assert (await converse(alice, plan)).text == "back"


async def test_a_list_alone_brings_nobody_back(alice: Principal, provider_simulator: Simulator, fleet: Fleet) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench-a+fault=503"])
    await converse(alice, plan)
    circuit_of = fleet.record(plan.candidates[0].deployment_id)
    fleet.sync()
    let_time_pass(fleet, plan, 1_500)
    await checks.check_once(fleet)
    assert circuit_of.circuit.probed_ms > circuit_of.circuit.opened_ms, "it was checked"
    assert circuit_of.circuit.open, "it lists its models and answers nobody"


async def test_a_check_waits_for_the_probe_of_another_process(
    alice: Principal, provider_simulator: Simulator, fleet: Fleet
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench-a+fault=503"])
    await converse(alice, plan)
    fleet.sync()
    let_time_pass(fleet, plan, 1_500)
    other = Fleet(settings.REDIS_URL, prefix=fleet._keys[0].partition("{")[0], rules=fleet.rules)
    try:
        other.sync()
        assert await other.ask(plan.candidates[0].deployment_id, Asker.CHECK)
        with counted(fleet) as sent:
            await checks.check_once(fleet)
            assert sent == ["EVALSHA"]
            await checks.check_once(fleet)
            assert sent == ["EVALSHA"], "once told, it knows"
    finally:
        other.close()
