"""Calls that may meet a cache: asked as somebody, under rules, with a prompt of one's own."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from apps.problems import Problem
from apps.routing import cache_settings, caching, services
from apps.routing.contracts import CacheRules, CacheUse, Plan, Prompt
from apps.tenants.contracts import Principal
from apps.tenants.scope import database_step
from tests.routing.exchange import PATIENT, Exchange, RecordingGate, admission


async def rule(principal: Principal, **rules: Any) -> CacheRules:
    """Switch caches on in the principal's workspace."""
    return await database_step(cache_settings.change_rules, principal, **rules)


async def ask(
    principal: Principal,
    plan: Plan,
    question: str = "What is a lease?",
    *,
    before: Sequence[dict[str, Any]] = (),
    use: CacheUse = CacheUse.USE,
    **parameters: Any,
) -> Exchange:
    """One call through `services.stream`; what it kept is kept when this returns."""
    exchange = Exchange(RecordingGate())
    prompt = Prompt([*before, {"role": "user", "content": question}], parameters)
    chosen = replace(plan, cache=use)
    try:
        async with aclosing(
            services.stream(chosen, admission(principal, plan), exchange.gate, prompt, PATIENT)
        ) as chunks:
            async for chunk in chunks:
                exchange.chunks.append(chunk)
    except Problem as error:
        exchange.error = error
    await caching.settled()
    return exchange


def from_cache(exchange: Exchange) -> bool:
    """Whether no provider was asked. The gate and the end of the stream must agree on that."""
    served = exchange.finished.cache is not None
    assert served is (exchange.gate.begun == [])
    return served
