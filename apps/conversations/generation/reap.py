"""Taking work away from the dead: expired leases, running rows without a living owner, queued rows past their deadline.

Any worker reaps. Everything that belongs to one dead worker changes in one transaction, together with the ledger lines
of the provider calls that died with it.
"""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
from django.db import connections, transaction

from apps.billing import services as billing
from apps.conversations.contracts import GenerationState
from apps.conversations.generation.attempts import write_off
from apps.conversations.generation.claim import MAX_CLAIMS

# One tick handles this many, so that a mass death cannot make a transaction of unbounded length.
BATCH = 500

_BURY = """
DELETE FROM conversations_worker WHERE id IN (
    SELECT id FROM conversations_worker WHERE lease_until < clock_timestamp() FOR UPDATE SKIP LOCKED
)
"""

_ENDING = """
SELECT g.id, g.fence FROM conversations_generation g JOIN conversations_worker w ON w.id = g.owner
WHERE g.state = 'running' AND w.lease_until < clock_timestamp()
  AND (g.cancel_at IS NOT NULL OR g.claims >= %(max_claims)s OR clock_timestamp() >= g.deadline_at)
LIMIT %(batch)s
"""

# The second condition is the backstop behind every worker's own clock: nothing outlives its deadline for long.
_MOVE = """
WITH orphan AS (
    SELECT g.id, CASE
        WHEN g.cancel_at IS NOT NULL THEN 'cancelled'
        WHEN g.claims >= %(max_claims)s OR clock_timestamp() >= g.deadline_at THEN 'failed'
        ELSE 'queued' END AS state
    FROM conversations_generation g
    WHERE g.state = 'running' AND (
        NOT EXISTS (SELECT 1 FROM conversations_worker w WHERE w.id = g.owner)
        OR clock_timestamp() > g.deadline_at + interval '30 seconds'
    )
    ORDER BY g.id LIMIT %(batch)s FOR UPDATE OF g SKIP LOCKED
)
UPDATE conversations_generation g
SET state = orphan.state, owner = NULL,
    finished_at = CASE WHEN orphan.state = 'queued' THEN NULL ELSE clock_timestamp() END,
    error_code = CASE WHEN orphan.state = 'failed' THEN 'worker_lost' END,
    error_message = CASE WHEN orphan.state = 'failed'
        THEN 'The answer was interrupted too often or too long. Send it again.' END,
    error_retryable = (orphan.state = 'failed')
FROM orphan WHERE g.id = orphan.id
RETURNING g.id, g.tenant_id, g.user_id, g.conversation_id, g.message_id, g.fence, g.state
"""

_EXPIRE = """
WITH expired AS (
    SELECT id FROM conversations_generation
    WHERE state = 'queued' AND (clock_timestamp() >= deadline_at OR claims >= %(max_claims)s OR cancel_at IS NOT NULL)
    ORDER BY id LIMIT %(batch)s FOR UPDATE SKIP LOCKED
)
UPDATE conversations_generation g
SET state = CASE WHEN cancel_at IS NULL THEN 'failed' ELSE 'cancelled' END, finished_at = clock_timestamp(),
    error_code = CASE WHEN cancel_at IS NULL THEN 'deadline_exceeded' END,
    error_message = CASE WHEN cancel_at IS NULL
        THEN 'No worker could answer in time. Try again, or ask an administrator whether workers are running.' END,
    error_retryable = (cancel_at IS NULL)
FROM expired WHERE g.id = expired.id
RETURNING g.id, g.tenant_id, g.user_id, g.conversation_id, g.message_id, g.fence, g.state
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """A generation taken from a dead worker, or ended in the queue, and its state afterwards."""

    generation_id: UUID
    tenant_id: UUID
    user_id: UUID
    conversation_id: UUID
    message_id: UUID
    fence: int
    state: GenerationState


def ending() -> list[tuple[UUID, int]]:
    """(generation id, fence) of what the next `reap` would end for good, so that its text can be saved first."""
    with connections["engine"].cursor() as cursor:
        cursor.execute(_ENDING, {"max_claims": MAX_CLAIMS, "batch": BATCH})
        return [(row[0], row[1]) for row in cursor.fetchall()]


def reap(saved_texts: dict[tuple[UUID, int], str]) -> list[Moved]:
    """Bury expired workers and move what they held; end queued rows that nobody will claim any more.

    `saved_texts` holds what readers were shown of generations that end here, by (generation id, fence).
    """
    with transaction.atomic(using="engine"), connections["engine"].cursor() as cursor:
        cursor.execute(_BURY)
        moved: list[Moved] = []
        for statement in (_MOVE, _EXPIRE):
            cursor.execute(statement, {"max_claims": MAX_CLAIMS, "batch": BATCH})
            moved += [_moved(row) for row in cursor.fetchall()]
        if not moved:
            return []
        write_off([one.generation_id for one in moved])
        moved = [_with_text(one, saved_texts) for one in moved]
        ended = [one for one in moved if one.state.terminal]
        for one in ended:
            write_text(one.generation_id, one.state, saved_texts.get((one.generation_id, one.fence), ""))
        billing.settle_reservations([one.generation_id for one in ended])
    return moved


def _with_text(one: Moved, saved_texts: dict[tuple[UUID, int], str]) -> Moved:
    """What failed with something to show is a partial answer."""
    if one.state is GenerationState.FAILED and saved_texts.get((one.generation_id, one.fence)):
        return replace(one, state=GenerationState.PARTIAL)
    return one


def _moved(row: tuple[Any, ...]) -> Moved:
    generation, tenant, user, conversation, message, fence, state = row
    return Moved(generation, tenant, user, conversation, message, fence, GenerationState(state))


def write_text(generation_id: UUID, state: GenerationState, text: str) -> None:
    """Write a final state and the text that is kept to generation and message. Demands a transaction on `engine`."""
    parts = [{"type": "text", "text": text}] if text else []
    with connections["engine"].cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_generation SET state = %s, "
            "text_sha256 = encode(sha256(convert_to(%s, 'UTF8')), 'hex') WHERE id = %s RETURNING message_id",
            [state.value, text, generation_id],
        )
        (message_id,) = cursor.fetchone() or (None,)
        cursor.execute(
            "UPDATE conversations_message SET status = %s, text = %s, content = %s::jsonb WHERE id = %s",
            [state.value, text, orjson.dumps(parts).decode(), message_id],
        )
