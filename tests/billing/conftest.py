"""Calls of one tenant from admission to settlement, and the loss of that tenant's counters alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID

import pytest
import redis
from django.conf import settings
from django.db import connections
from uuid6 import uuid7

from apps.billing import services
from apps.billing.contracts import CallCost, LedgerLine, LineKind
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope

T = TypeVar("T")


def open_call(principal: Principal, amount_nanousd: int, tokens: int = 0) -> UUID:
    """Admit and reserve one call; its id."""
    call_id = uuid7()
    admissions = services.admit(principal, [CallCost(call_id, amount_nanousd, tokens)])
    with tenant_scope(principal.tenant_id):
        services.reserve(admissions)
    return call_id


def write_end(principal: Principal, call_id: UUID, *costs_nanousd: int, absorbed_nanousd: int = 0) -> None:
    """Commit a call's end, as ledger lines and a settled reservation, and tell the counters nothing."""
    kinds = [(LineKind.CHARGE, cost) for cost in costs_nanousd] + [(LineKind.ABSORBED, absorbed_nanousd)]
    lines = [
        LedgerLine(uuid7(), kind, "test", "m", None, input_tokens=10, output_tokens=20, amount_nanousd=cost)
        for kind, cost in kinds
    ]
    with tenant_scope(principal.tenant_id):
        services.append_lines(
            tenant_id=principal.tenant_id,
            user_id=principal.user_id,
            api_key_id=principal.api_key_id,
            call_id=call_id,
            lines=lines,
        )
        services.settle_reservations([call_id], using="default")


def spend(principal: Principal, amount_nanousd: int, cost_nanousd: int) -> UUID:
    """One call from admission to settlement."""
    call_id = open_call(principal, amount_nanousd)
    write_end(principal, call_id, cost_nanousd)
    services.settle_counters(principal.tenant_id, principal.user_id, [call_id], cost_nanousd, 30)
    return call_id


@pytest.fixture
def lose_counters() -> Iterator[Callable[[Principal], None]]:
    """Deletes what Redis holds of one tenant's limits, as a lost server would."""
    client = redis.Redis.from_url(settings.REDIS_URL)

    def lose(principal: Principal) -> None:
        keys = list(client.scan_iter(match=f"{settings.REDIS_PREFIX}{{t:{principal.tenant_id}}}:limits*", count=1000))
        assert keys, "there was something to lose"
        client.delete(*keys)

    yield lose
    client.close()


def all_at_once(work: Callable[[], T], times: int) -> list[T]:
    """Run the same work on ten threads."""

    def one(_: int) -> T:
        try:
            return work()
        finally:
            for connection in connections.all(initialized_only=True):
                connection.close()

    with ThreadPoolExecutor(10) as threads:
        return list(threads.map(one, range(times)))
