"""Planning: who could answer, in which order, and what each could cost at most."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.problems import Problem
from apps.routing import services, tokens
from apps.routing.contracts import (
    Call,
    Candidate,
    Catalogue,
    Excluded,
    OfferedDeployment,
    OfferedModel,
    Plan,
    PriceVersion,
    Usage,
)
from apps.routing.errors import ContextExceeded, NoCandidates, UnknownModel, Unpriced

TENANT = uuid4()


def _price(input_usd: int, output_usd: int, *, free: bool = False) -> PriceVersion:
    fresh, spoken = input_usd * 10**9, output_usd * 10**9
    return PriceVersion(uuid4(), fresh, fresh, fresh, spoken, spoken, free)


def _deployment(name: str, *, priority: int = 1, enabled: bool = True, **fields: Any) -> OfferedDeployment:
    price = fields.get("price", _price(1, 2))
    return OfferedDeployment(uuid4(), "sim", "Sim", "openai_compatible", name, True, priority, enabled, price)


def _catalogue(*deployments: OfferedDeployment, **fields: Any) -> Catalogue:
    facts = {"context_tokens": 10_000, "max_output_tokens": 4_000, "reasoning": False, **fields}
    model = OfferedModel(
        slug="m", name="Em", hue=3, description="", created_at=0, tier="standard", deployments=deployments, **facts
    )
    return Catalogue(TENANT, {"m": model})


def _plan(catalogue: Catalogue, *, prompt_bytes: int = 400, asked: int | None = None) -> Plan:
    return services.plan(Call(TENANT, "m", prompt_bytes, asked), catalogue)


def test_the_order_is_priority_and_then_price() -> None:
    dear = _deployment("dear", price=_price(5, 10))
    cheap = _deployment("cheap", price=_price(1, 1))
    free = _deployment("free", price=_price(0, 0, free=True))
    last = _deployment("last", priority=2, price=_price(0, 0, free=True))
    plan = _plan(_catalogue(last, dear, free, cheap))
    assert [one.upstream_model for one in plan.candidates] == ["free", "cheap", "dear", "last"]
    assert (plan.model, plan.model_name, plan.hue, plan.excluded) == ("m", "Em", 3, ())


def test_a_candidate_carries_price_and_bounds() -> None:
    price = PriceVersion(uuid4(), 3_000_000_000, 300_000_000, 3_750_000_000, 15_000_000_000, 15_000_000_000, False)
    deployment = _deployment("up", price=price)
    (candidate,) = _plan(_catalogue(deployment), prompt_bytes=1_000, asked=500).candidates
    assert candidate == Candidate(
        deployment_id=deployment.id,
        provider="sim",
        provider_name="Sim",
        adapter="openai_compatible",
        model="m",
        upstream_model="up",
        simulated=True,
        price=price,
        input_tokens_bound=1_256,
        output_tokens_bound=500,
        model_name="Em",
        hue=3,
        context_tokens=10_000,
    )
    assert candidate.amount_bound_nanousd == 1_256 * 3_750 + 500 * 15_000


@pytest.mark.parametrize(
    ("asked", "facts", "prompt_bytes", "output_tokens"),
    [
        (None, {"max_output_tokens": 4_000}, 400, 4_000),
        (None, {"max_output_tokens": 100_000, "context_tokens": 500_000}, 400, 8_192),
        (None, {"max_output_tokens": 100_000, "context_tokens": 500_000, "reasoning": True}, 400, 32_768),
        (20_000, {"max_output_tokens": 100_000, "context_tokens": 500_000}, 400, 20_000),
        (20_000, {"max_output_tokens": 4_000}, 400, 4_000),
        (0, {}, 400, 1),
        # What the prompt takes of the context is not there for the answer.
        (None, {"context_tokens": 10_000}, 36_000, 1_000),
    ],
)
def test_the_most_an_answer_may_have(
    asked: int | None, facts: dict[str, Any], prompt_bytes: int, output_tokens: int
) -> None:
    (candidate,) = _plan(_catalogue(_deployment("up"), **facts), asked=asked, prompt_bytes=prompt_bytes).candidates
    assert candidate.output_tokens_bound == output_tokens


@pytest.mark.parametrize(
    ("of_tenant", "asked", "output_tokens"), [(500, None, 500), (500, 300, 300), (500, 700, 500), (9_000, None, 4_000)]
)
def test_a_tenants_bound_holds_whatever_is_asked_for(of_tenant: int, asked: int | None, output_tokens: int) -> None:
    catalogue = replace(_catalogue(_deployment("up")), max_output_tokens=of_tenant)
    (candidate,) = _plan(catalogue, asked=asked).candidates
    assert candidate.output_tokens_bound == output_tokens


def test_no_more_input_is_reserved_than_the_model_can_read() -> None:
    (candidate,) = _plan(_catalogue(_deployment("up")), prompt_bytes=30_000).candidates
    assert candidate.input_tokens_bound == 10_000


def test_what_is_ruled_out_is_named_with_its_reason() -> None:
    plan = _plan(_catalogue(_deployment("off", enabled=False), _deployment("on"), _deployment("unpriced", price=None)))
    assert [one.upstream_model for one in plan.candidates] == ["on"]
    assert plan.excluded == (Excluded("Sim", "off", "disabled", "m"), Excluded("Sim", "unpriced", "unpriced", "m"))


@pytest.mark.parametrize(
    ("deployments", "prompt_bytes", "error"),
    [
        ([_deployment("a", price=None)], 400, Unpriced),
        ([_deployment("a", price=_price(0, 0))], 400, Unpriced),
        ([_deployment("a", enabled=False)], 400, NoCandidates),
        ([_deployment("a")], 40_000, ContextExceeded),
        ([_deployment("a", enabled=False), _deployment("b", price=None)], 400, Unpriced),
    ],
)
def test_nothing_left(deployments: list[OfferedDeployment], prompt_bytes: int, error: type[Problem]) -> None:
    with pytest.raises(error):
        _plan(_catalogue(*deployments), prompt_bytes=prompt_bytes)


def test_an_unknown_model() -> None:
    with pytest.raises(UnknownModel) as caught:
        services.plan(Call(TENANT, "other", 1), _catalogue(_deployment("a")))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


_AMOUNTS = st.integers(0, 2**62)
_PRICES = st.builds(PriceVersion, st.uuids(), _AMOUNTS, _AMOUNTS, _AMOUNTS, _AMOUNTS, _AMOUNTS, st.booleans())
_CANDIDATES = st.builds(
    Candidate,
    deployment_id=st.uuids(),
    provider=st.text(),
    provider_name=st.text(),
    adapter=st.text(),
    model=st.text(),
    upstream_model=st.text(),
    simulated=st.booleans(),
    price=_PRICES,
    input_tokens_bound=st.integers(0, 2**40),
    output_tokens_bound=st.integers(0, 2**40),
)


@given(
    st.builds(
        Plan,
        model=st.text(),
        model_name=st.text(),
        hue=st.integers(1, 8),
        candidates=st.lists(_CANDIDATES, max_size=3).map(tuple),
        excluded=st.lists(st.builds(Excluded, st.text(), st.text(), st.text()), max_size=3).map(tuple),
    )
)
def test_a_plan_survives_its_row(plan: Plan) -> None:
    assert services.plan_from_json(json.loads(json.dumps(services.plan_to_json(plan)))) == plan


def test_a_plan_written_before_prices_had_five_parts_is_still_read() -> None:
    plan = _plan(_catalogue(_deployment("up", price=_price(3, 15))))
    document = services.plan_to_json(plan)
    (candidate,) = document["candidates"]
    price = candidate.pop("price")
    rates = ("input_nanousd_per_mtok", "cached_input_nanousd_per_mtok", "output_nanousd_per_mtok")
    candidate |= {"price_id": price["id"], **{name: price[name] for name in rates}}
    assert services.plan_from_json(document) == plan


@given(
    st.builds(PriceVersion, st.uuids(), *[st.integers(0, 10**11)] * 5, st.just(False)),
    st.lists(st.integers(0, 10**6), min_size=5, max_size=5),
)
def test_no_kind_of_token_costs_more_than_the_bound_and_each_is_charged_once(price: PriceVersion, n: list[int]) -> None:
    fresh, read, written, spoken, thought = n
    used = Usage(fresh + read + written, spoken + thought, read, thought, cache_write_tokens=written)
    rates = (
        price.input_nanousd_per_mtok,
        price.cached_input_nanousd_per_mtok,
        price.cache_write_nanousd_per_mtok,
        price.output_nanousd_per_mtok,
        price.reasoning_nanousd_per_mtok,
    )
    exact = sum(tokens * rate for tokens, rate in zip(n, rates, strict=True))
    assert price.amount_nanousd(used) == -(-exact // 1_000_000)
    assert price.amount_nanousd(used) <= price.amount_bound_nanousd(used.input_tokens, used.output_tokens)


@given(st.lists(st.text(max_size=60), max_size=5))
def test_the_bound_holds_for_a_tokenizer_at_its_worst(texts: list[str]) -> None:
    """One token per byte, and a dozen around each message, is the worst that byte-level tokenizers and templates do."""
    messages = [{"role": "user", "content": text} for text in texts]
    worst = sum(len(text.encode("utf-8", "surrogatepass")) + 12 for text in texts)
    assert worst <= tokens.input_bound(services.prompt_bytes(messages), 10**9)


def test_ids_in_json_are_text() -> None:
    document = services.plan_to_json(_plan(_catalogue(_deployment("up"))))
    assert UUID(document["candidates"][0]["deployment_id"])
