"""What a provider says it used is believed as far as it can be so."""

import json
from typing import Any

import pytest

from apps.routing import tokens
from apps.routing.contracts import Usage
from apps.tenants.contracts import Principal
from tests.routing import scripted
from tests.routing.exchange import converse, offer


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        (Usage(100, 50, cached_tokens=20), None),
        (Usage(400, 200), None),
        (Usage(10_401, 5), Usage(100, 5, estimated=True)),
        (Usage(90_000_000, 90_000_000, 90_000_000, 90_000_000), Usage(100, 50, estimated=True)),
    ],
)
def test_what_cannot_be_is_what_was_set_aside(told: Usage, believed: Usage | None) -> None:
    assert tokens.believed(told, 100, 50) == (believed or told)


@pytest.mark.parametrize("count", [-1, -(10**18), 99_999_999, 10**30, "many", True, 1.5, None])
async def test_a_lie_costs_no_more_than_was_set_aside(alice: Principal, count: Any) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": count}
    told = scripted.event(json.dumps({"choices": [], "usage": usage}))
    async with scripted.provider([scripted.STREAM, scripted.FINISH, told, scripted.DONE, None]) as provider:
        plan = await offer(alice, provider.base_url.removesuffix("/v1"), ["liar"])
        exchange = await converse(alice, plan)
    assert exchange.error is None
    (end,) = exchange.gate.ends
    bound = plan.candidates[0]
    assert 0 <= end.usage.output_tokens <= bound.output_tokens_bound
    assert 0 <= bound.price.amount_nanousd(end.usage) <= plan.amount_bound_nanousd
