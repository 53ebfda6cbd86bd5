"""Taking a queued generation, and giving it back.

A worker takes a row with one UPDATE. Duplicate, lost or stuck rings are harmless, because the row decides and not the
ring. The worker's own row is share-locked in the same statement: the reaper's DELETE of that row waits for a claim in
flight, so no generation can come to belong to a worker that has just been declared dead.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connections

from apps.conversations.contracts import GenerationState
from apps.routing.services import DEFAULT_QUEUE, EITHER_QUEUE, LITELLM_QUEUE, QUEUE_PATIENCE_SECONDS

MAX_CLAIMS = 3

_CLAIM = """
WITH me AS MATERIALIZED (
    SELECT id FROM conversations_worker WHERE id = %(worker)s AND lease_until > clock_timestamp() FOR KEY SHARE
), busy AS (
    SELECT tenant_id, count(*) AS running FROM conversations_generation WHERE state = 'running' GROUP BY tenant_id
), next AS (
    SELECT g.id FROM conversations_generation g LEFT JOIN busy USING (tenant_id)
    WHERE g.state = 'queued' AND g.cancel_at IS NULL AND g.claims < %(max_claims)s
      AND clock_timestamp() < g.deadline_at
      AND (g.queue = %(queue)s OR g.queue = %(either)s AND (
          %(loads_all)s OR g.queued_at < clock_timestamp() - make_interval(secs => %(patience)s)
      ))
    ORDER BY g.kind = 'summary', coalesce(busy.running, 0), g.queued_at
    LIMIT 1 FOR UPDATE OF g SKIP LOCKED
)
UPDATE conversations_generation g
SET state = 'running', owner = me.id, fence = g.fence + 1, claims = g.claims + 1, started_at = clock_timestamp()
FROM me, next WHERE g.id = next.id
RETURNING g.id, g.tenant_id, g.fence, g.claims, extract(epoch FROM g.deadline_at - clock_timestamp()), g.queued_at
"""

_HAND_BACK = """
UPDATE conversations_generation
SET state = CASE WHEN cancel_at IS NULL THEN 'queued' ELSE 'cancelled' END,
    finished_at = CASE WHEN cancel_at IS NULL THEN NULL ELSE clock_timestamp() END,
    claims = claims - 1, owner = NULL
WHERE id = ANY(%(ids)s) AND owner = %(worker)s AND state = 'running'
RETURNING id, state
"""

_UNHELD = """
SELECT id, fence FROM conversations_generation
WHERE owner = %(worker)s AND state = 'running' AND NOT (id = ANY(%(held)s))
  AND started_at < clock_timestamp() - make_interval(secs => %(seconds)s)
"""
_QUEUE_AGAIN = """
UPDATE conversations_generation SET state = 'queued', owner = NULL
WHERE id = %(id)s AND fence = %(fence)s AND owner = %(worker)s AND state = 'running'
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A generation that is this worker's under `fence`. `claimed_at`, `ends_at`: seconds of the monotonic clock."""

    generation_id: UUID
    tenant_id: UUID
    worker_id: UUID
    fence: int
    claims: int
    claimed_at: float
    ends_at: float
    queued_at: datetime

    @property
    def seconds_left(self) -> float:
        """Until the deadline, from now; negative once it is over."""
        return self.ends_at - time.monotonic()


def claim(worker_id: UUID, queue: str = DEFAULT_QUEUE) -> Claimed | None:
    """Take the next generation of the queue, of the tenant with the fewest running ones; None where there is none.

    What could wait in either queue is taken by a worker with every adapter, and by any other once it has waited.
    Summaries come after every answer: nobody waits for them.
    """
    values: dict[str, Any] = {
        "worker": worker_id,
        "max_claims": MAX_CLAIMS,
        "queue": queue,
        "either": EITHER_QUEUE,
        "loads_all": queue == LITELLM_QUEUE,
        "patience": QUEUE_PATIENCE_SECONDS,
    }
    with connections["engine"].cursor() as cursor:
        cursor.execute(_CLAIM, values)
        row = cursor.fetchone()
    if row is None:
        return None
    generation_id, tenant_id, fence, claims, seconds_left, queued_at = row
    now = time.monotonic()
    return Claimed(generation_id, tenant_id, worker_id, fence, claims, now, now + float(seconds_left), queued_at)


def hand_back(worker_id: UUID, generation_ids: list[UUID]) -> list[tuple[UUID, GenerationState]]:
    """Give running generations back without counting the claim. Demands a transaction on `engine`.

    Returns what became of each: `queued`, or `cancelled` where cancel had been asked. Rows that are no longer this
    worker's are left alone.
    """
    with connections["engine"].cursor() as cursor:
        cursor.execute(_HAND_BACK, {"ids": generation_ids, "worker": worker_id})
        return [(row[0], GenerationState(row[1])) for row in cursor.fetchall()]


def unheld(worker_id: UUID, held: list[UUID], older_than_seconds: float) -> list[tuple[UUID, int]]:
    """(generation id, fence) of what this worker owns, as its rows say, and does not hold."""
    with connections["engine"].cursor() as cursor:
        cursor.execute(_UNHELD, {"worker": worker_id, "held": held, "seconds": older_than_seconds})
        return [(row[0], row[1]) for row in cursor.fetchall()]


def queue_again(worker_id: UUID, generation_id: UUID, fence: int) -> bool:
    """Give one running generation back; its claim counts. Demands a transaction on `engine`. False: not ours any more.

    Where nobody may claim it again, or cancel was asked, the reaper ends it.
    """
    with connections["engine"].cursor() as cursor:
        cursor.execute(_QUEUE_AGAIN, {"worker": worker_id, "id": generation_id, "fence": fence})
        return bool(cursor.rowcount == 1)
