"""What the database, the simulator's bill, the workers' logs and Redis hold once a trial is over."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.limits.client import Limits
from apps.limits.contracts import Cold, Level, LimitKind, Scope, ScopeLimits
from chaos.cluster import Caller, Cluster
from chaos.seed import PARALLEL_CALLS

TERMINAL_STATES = frozenset({"completed", "partial", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class GenerationRow:
    id: str
    tenant_id: str
    state: str
    fence: int
    claims: int
    text_sha256: str | None
    cost_nanousd: int | None
    text: str
    message_status: str


@dataclass(frozen=True, slots=True)
class AttemptRow:
    id: str
    generation_id: str
    fence: int
    state: str
    bound_nanousd: int
    began_at: float  # Unix seconds


@dataclass(frozen=True, slots=True)
class LineRow:
    attempt_id: str
    call_id: str
    kind: str
    input_tokens: int
    output_tokens: int
    amount_nanousd: int
    estimated: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """`bill` by attempt id (the calls), `claims` counts (generation id, fence) in the workers' logs.

    `lines` are those of chats, `stateless` those of calls that no row stands behind.
    """

    generations: dict[str, GenerationRow]
    attempts: dict[str, AttemptRow]
    lines: list[LineRow]
    stateless: list[LineRow]
    bill: list[dict[str, Any]]
    claims: Counter[tuple[str, int]]
    open_reservations: int
    parallel_leases: int


def collect(cluster: Cluster, rest_seconds: float) -> Evidence:
    """Read everything; what is reserved gets `rest_seconds` to come to rest."""
    until = time.monotonic() + rest_seconds
    while (held := (_open_reservations(cluster), parallel_leases(cluster, cluster.callers))) != (
        0,
        0,
    ) and time.monotonic() < until:
        time.sleep(0.25)
    generations, attempts, lines = _generations(cluster), _attempts(cluster), _lines(cluster)
    return Evidence(
        generations=generations,
        attempts=attempts,
        lines=[line for line in lines if line.call_id in generations or line.attempt_id in attempts],
        stateless=[line for line in lines if line.call_id not in generations and line.attempt_id not in attempts],
        bill=cluster.bill(),
        claims=Counter((one["generation_id"], int(one["fence"])) for one in cluster.logged("generation.claimed")),
        open_reservations=held[0],
        parallel_leases=held[1],
    )


def parallel_leases(cluster: Cluster, callers: Sequence[Caller]) -> int:
    """Calls of these tenants that admission takes for running; counters that Redis lost hold nothing."""
    limits = Limits(cluster.env["REDIS_URL"])
    try:
        held = 0
        for caller in callers:
            scope = ScopeLimits(Scope(Level.TENANT, str(caller.tenant_id)), parallel_calls=PARALLEL_CALLS)
            overview = limits.peek(caller.tenant_id, [scope])
            if not isinstance(overview, Cold):
                held += sum(one.used for one in overview.allowances if one.kind is LimitKind.PARALLEL_CALLS)
        return held
    finally:
        limits.close()


def _open_reservations(cluster: Cluster) -> int:
    return int(cluster.value("SELECT count(*) FROM billing_reservation WHERE state = 'open'"))


def _generations(cluster: Cluster) -> dict[str, GenerationRow]:
    rows = cluster.rows(
        "SELECT g.id::text, g.tenant_id::text, g.state, g.fence, g.claims, g.text_sha256, g.cost_nanousd, m.text, "
        "m.status FROM conversations_generation g JOIN conversations_message m ON m.id = g.message_id"
    )
    return {row[0]: GenerationRow(*row) for row in rows}


def _attempts(cluster: Cluster) -> dict[str, AttemptRow]:
    rows = cluster.rows(
        "SELECT id::text, generation_id::text, fence, state, amount_bound_nanousd, "
        "extract(epoch FROM began_at)::float8 FROM conversations_attempt ORDER BY began_at"
    )
    return {row[0]: AttemptRow(*row) for row in rows}


def _lines(cluster: Cluster) -> list[LineRow]:
    rows = cluster.rows(
        "SELECT attempt_id::text, call_id::text, kind, input_tokens, output_tokens, amount_nanousd, estimated "
        "FROM billing_ledgerentry"
    )
    return [LineRow(*row) for row in rows]
