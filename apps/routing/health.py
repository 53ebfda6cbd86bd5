"""How each deployment is doing, read from memory: for the router, the stored route and the health checks."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from apps.routing import fleet
from apps.routing.fleet import Record, clock_ms


class BreakerState(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Health(NamedTuple):
    """One deployment now. Means are of the whole fleet's recent calls (None: none yet); `in_flight` of this process."""

    state: BreakerState = BreakerState.CLOSED
    retry_after_seconds: float = 0.0
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None
    in_flight: int = 0
    failure: str | None = None
    failed_seconds_ago: float | None = None


UNKNOWN = Health()


def health_of(deployment_id: UUID) -> Health:
    """What this process knows of the deployment, at most about a second old. Reads memory only."""
    return _health(fleet.current().records.get(deployment_id))


def reader() -> Callable[[UUID], Health]:
    """`health_of` for many deployments at one moment."""
    known = fleet.current().records
    return lambda deployment_id: _health(known.get(deployment_id))


def _health(record: Record | None) -> Health:
    if record is None:
        return UNKNOWN
    circuit = record.circuit
    if not circuit.open and record.failure is None:
        return Health(BreakerState.CLOSED, 0.0, record.first_token_seconds, record.tokens_per_second, record.in_flight)
    now_ms = clock_ms()
    left_ms = circuit.retry_after_ms(now_ms)
    state = BreakerState.CLOSED
    if circuit.open:
        state = BreakerState.OPEN if left_ms else BreakerState.HALF_OPEN
    return Health(
        state,
        left_ms / 1000,
        record.first_token_seconds,
        record.tokens_per_second,
        record.in_flight,
        record.failure,
        (now_ms - record.failed_ms) / 1000 if record.failure else None,
    )
