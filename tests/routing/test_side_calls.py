"""Calls beside the answer: planned within what is set aside, made through the gate, and never a chat."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from apps.problems import Problem
from apps.routing import fleet, selectors, services, side_calls
from apps.routing.contracts import (
    AttemptEnd,
    AttemptState,
    Call,
    Catalogue,
    ModelKind,
    NewPrice,
    PriceVersion,
    SideCall,
    SideUse,
    Usage,
)
from apps.routing.errors import MalformedStream
from apps.routing.models import LanguageModel
from apps.tenants.contracts import Principal
from apps.tenants.scope import database_step
from tests.processes import Simulator
from tests.routing.exchange import RecordingGate, admission, billed
from tests.routing.offers import catalogue, deployment, model, price

TEXT = "The tide follows the moon."


def _with(uses: tuple[SideUse, ...], at: PriceVersion | None = None, **fields: object) -> Catalogue:
    beside = model(
        "embed", deployment("embed-up", at=at or price(1, 0)), kind=ModelKind.EMBEDDING, context_tokens=2_000
    )
    return catalogue(model("m"), side_models={"embed": beside}, side_uses=uses, **fields)


def test_what_is_asked_beside_the_answer_is_set_aside_with_it() -> None:
    call = Call(catalogue().tenant_id, "m", 400)
    alone = services.plan(call, _with(()))
    plan = services.plan(call, _with((SideUse("embed"), SideUse("embed", calls=3, reads_answer=True))))
    once, often = plan.side
    assert once.candidate.upstream_model == "embed-up" and once.candidate.on_the_side
    assert (once.candidate.input_tokens_bound, once.candidate.output_tokens_bound) == (400 + 256, 0)
    assert (often.candidate.input_tokens_bound, often.calls) == (2_000, 3)
    beside_nanousd = (656 + 3 * 2_000) * 1_000
    assert plan.amount_bound_nanousd == alone.amount_bound_nanousd + beside_nanousd
    assert services.plan_from_json(services.plan_to_json(plan)) == plan


@pytest.mark.parametrize(
    "offered",
    [
        _with((SideUse("unknown"),)),
        _with((SideUse("embed"),), price(0, 0)),
        _with((SideUse("embed"),), residency=frozenset({"eu"})),
    ],
)
def test_a_wish_that_cannot_be_met_costs_nothing(offered: Catalogue) -> None:
    answerable = replace(offered, residency=frozenset())
    plan = services.plan(Call(offered.tenant_id, "m", 400), answerable if offered.residency else offered)
    if offered.residency:
        assert plan.side, "the control: without the wall it is asked"
        at_home = model("m", deployment("m", residency="eu"))
        plan = services.plan(Call(offered.tenant_id, "m", 400), replace(offered, models={"m": at_home}))
    assert plan.side == ()


def _offer(principal: Principal, url: str, upstream: str) -> SideCall:
    provider = services.add_provider(name="Side", base_url=url, key="sk-test", tenant_id=principal.tenant_id)
    registered = services.register_model(
        provider_id=provider, upstream_model=upstream, slug="beside", price=NewPrice(20_000_000, 0)
    )
    LanguageModel.objects.using("engine").filter(id=registered.model_id).update(kind=ModelKind.EMBEDDING)
    selectors.invalidate(principal.tenant_id)
    offered = selectors.catalogue(principal.tenant_id)
    assert "beside" not in offered.models, "it does not chat"
    chat = replace(offered, models={"m": model("m")}, side_uses=(SideUse("beside"),))
    (side,) = services.plan(Call(principal.tenant_id, "m", 400), chat).side
    return side


async def _embed(
    principal: Principal, side: SideCall, gate: RecordingGate, *, timeout_seconds: float = 5
) -> list[float]:
    chat = services.plan(Call(principal.tenant_id, "m", 400), catalogue(model("m")))
    admitted = admission(principal, replace(chat, side=(side,)))
    return list(await side_calls.embed(side, admitted, gate, TEXT, timeout_seconds=timeout_seconds))


async def test_an_embedding_passes_the_gate_and_is_billed_as_told(
    alice: Principal, provider_simulator: Simulator
) -> None:
    side = await database_step(_offer, alice, provider_simulator.url, "demo-embed")
    gate = RecordingGate()
    vector = await _embed(alice, side, gate)
    assert len(vector) == 384 and abs(sum(one * one for one in vector) - 1) < 1e-6
    (end,) = gate.ends
    line = await billed(provider_simulator.url, end.attempt_id)
    assert (end.state, end.usage) == (AttemptState.WON, Usage(line["prompt_tokens"], 0))
    assert 0 < end.usage.input_tokens <= side.candidate.input_tokens_bound


@pytest.mark.parametrize(
    ("upstream", "code"),
    [
        ("demo-embed+fault=hang", "gap_timeout"),
        ("demo-embed+fault=500", "provider_overloaded"),
        ("demo-embed+fault=reset", "stream_cut"),
        ("bench+tokens=3", "provider_rejected"),
    ],
)
async def test_one_that_fails_says_so_and_is_no_answer(
    alice: Principal, provider_simulator: Simulator, upstream: str, code: str
) -> None:
    side = await database_step(_offer, alice, provider_simulator.url, upstream)
    gate = RecordingGate()
    with pytest.raises(Problem) as failed:
        await _embed(alice, side, gate, timeout_seconds=0.4)
    assert failed.value.code == code
    assert _told(gate.ends) == [(gate.begun[0][0], AttemptState.FAILED, code)]


def _told(ends: list[AttemptEnd]) -> list[tuple[UUID, AttemptState, str | None]]:
    return [(end.attempt_id, end.state, end.error_code) for end in ends]


GOOD = {"category_scores": {"hate": 0.1, "violence": 0.7}}
NO_JUDGEMENT: list[Any] = [
    {},
    {"results": []},
    {"results": None},
    {"results": ["bad"]},
    {"results": [{"category_scores": [0.9]}]},
    {"results": [{"category_scores": {}}]},
    {"results": [{"category_scores": {"hate": -0.1}}]},
    {"results": [{"category_scores": {"hate": "nan"}}]},
    {"results": [GOOD, GOOD]},
]


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a provider of any mind answers to a call beside the answer."""

    def reply(document: Any) -> list[Any]:
        sent: list[Any] = []

        async def post(access: object, provider: str, path: str, asked: Any, *_: object, **__: object) -> Any:
            sent.append(asked)
            return document

        monkeypatch.setattr(side_calls.side_http, "post", post)
        return sent

    return reply


async def _moderate(principal: Principal, side: SideCall, gate: RecordingGate, texts: list[str]) -> dict[str, float]:
    admitted = admission(principal, services.plan(Call(principal.tenant_id, "m", 400), catalogue(model("m"))))
    return dict(await side_calls.moderate(side, admitted, gate, texts, timeout_seconds=5))


async def test_a_reply_that_judges_nothing_is_a_failure(alice: Principal, replies: Any) -> None:
    side = await database_step(_offer, alice, "http://127.0.0.1:9", "any")
    for reply in NO_JUDGEMENT:
        gate = RecordingGate()
        replies(reply)
        with pytest.raises(MalformedStream):
            await _moderate(alice, side, gate, ["text"])
        assert _told(gate.ends) == [(gate.begun[0][0], AttemptState.FAILED, "malformed_stream")]
        breaker_closed(side)


async def test_the_worst_of_all_pieces_counts_and_names_are_names(alice: Principal, replies: Any) -> None:
    side = await database_step(_offer, alice, "http://127.0.0.1:9", "any")
    sent = replies({"results": [GOOD, {"category_scores": {"hate": 0.9, "a\x00\n<b>" + "x" * 900: 0.2}}]})
    found = await _moderate(alice, side, RecordingGate(), ["one", "two"])
    assert found == {"hate": 0.9, "violence": 0.7, ("a b " + "x" * 900)[:60]: 0.2}
    assert sent[0]["input"] == ["one", "two"]


async def test_a_vector_that_points_nowhere_is_none(alice: Principal, replies: Any) -> None:
    side = await database_step(_offer, alice, "http://127.0.0.1:9", "any")
    for vector in ([], [0, 0.0], [1, "nan"], ["inf"], None, {"a": 1}):
        replies({"data": [{"embedding": vector}]})
        with pytest.raises(MalformedStream):
            await _embed(alice, side, RecordingGate())
        breaker_closed(side)


def breaker_closed(side: SideCall) -> None:
    """Failures of before must not keep the next call away."""
    fleet.current().record(side.candidate.deployment_id).circuit.in_a_row = 0
