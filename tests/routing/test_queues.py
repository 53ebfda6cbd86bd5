"""Which workers a plan waits for, and what becomes of candidates that a process cannot call."""

from dataclasses import replace

import pytest

from apps.routing import queues, services
from apps.routing.contracts import Call, Plan
from apps.routing.errors import NoCandidates
from apps.routing.providers import litellm
from apps.tenants.contracts import Principal
from tests.processes import Simulator
from tests.routing.exchange import converse, offer
from tests.routing.offers import TENANT, catalogue, deployment, model


@pytest.mark.parametrize(
    ("adapters", "queue"),
    [
        (["openai_compatible", "anthropic"], queues.DEFAULT),
        (["litellm"], queues.LITELLM),
        (["litellm", "openai_compatible"], queues.LITELLM),
        (["openai_compatible", "litellm"], queues.EITHER),
    ],
)
def test_the_queue_follows_from_the_candidates(adapters: list[str], queue: str) -> None:
    deployments = [deployment(f"d{n}", adapter=name, priority=n + 1) for n, name in enumerate(adapters)]
    plan = services.plan(Call(TENANT, "m", 100), catalogue(model("m", *deployments)))
    assert [one.adapter for one in plan.candidates] == adapters
    assert services.queue_of(plan) == queue


def _through_litellm(plan: Plan, index: int) -> Plan:
    candidates = list(plan.candidates)
    candidates[index] = candidates[index]._replace(adapter=queues.LITELLM)
    return replace(plan, candidates=tuple(candidates))


async def test_what_this_process_cannot_call_is_passed_over_and_said(
    alice: Principal, provider_simulator: Simulator
) -> None:
    assert not litellm.loaded()
    plan = await offer(alice, provider_simulator.url, ["bench+tokens=5", "bench+tokens=6"])
    plan = _through_litellm(plan, 0)
    exchange = await converse(alice, plan)
    assert [name for name, _, _ in exchange.story] == ["bench+tokens=6"]
    (passed_over,) = exchange.finished.passed_over
    assert (passed_over.upstream_model, passed_over.reason) == ("bench+tokens=5", "no_adapter")


async def test_where_nothing_else_is_left_the_call_ends_and_nothing_was_asked(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan = _through_litellm(await offer(alice, provider_simulator.url, ["bench"]), 0)
    exchange = await converse(alice, plan)
    assert isinstance(exchange.error, NoCandidates)
    assert exchange.gate.begun == []
