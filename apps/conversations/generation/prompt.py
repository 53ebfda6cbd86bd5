"""What the model sees: the lane's own history, oldest first, and the new question."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connections

from apps.conversations.contracts import GenerationState, StreamIdentity
from apps.conversations.generation.claim import Claimed
from apps.conversations.models import Generation
from apps.routing import services as routing
from apps.routing.contracts import Plan, Prompt
from apps.tenants.scope import tenant_scope

# A lane that joined later has no answers of its own in earlier turns; there it reads the leftmost finished answer, so
# that it sees a conversation and not a list of questions.
_HISTORY = """
WITH RECURSIVE path AS (
    SELECT id, parent_id, turn_id, text, 0 AS depth FROM conversations_message
    WHERE id = (SELECT parent_id FROM conversations_message WHERE id = %(answer)s)
    UNION ALL
    SELECT m.id, m.parent_id, m.turn_id, m.text, path.depth + 1
    FROM conversations_message m JOIN path ON m.id = path.parent_id
)
SELECT path.text, answer.text FROM path LEFT JOIN LATERAL (
    SELECT a.text FROM conversations_message a JOIN conversations_generation g ON g.message_id = a.id
    WHERE a.turn_id = path.turn_id AND a.role = 'assistant' AND a.deleted_at IS NULL AND a.text <> ''
      AND a.status IN ('completed', 'partial', 'cancelled') AND path.depth > 0
    ORDER BY (a.lane_id = %(lane)s) DESC, g.lane_position, a.id DESC LIMIT 1
) answer ON true
ORDER BY path.depth DESC
"""


@dataclass(frozen=True, slots=True)
class Work:
    """All that answering one generation needs, read in one transaction."""

    identity: StreamIdentity
    user_id: UUID
    api_key_id: UUID | None
    plan: Plan
    prompt: Prompt
    queued_ms: int


def load(claimed: Claimed) -> Work:
    """Read the claimed generation, its plan and its lane's history."""
    with tenant_scope(claimed.tenant_id):
        row = Generation.objects.get(id=claimed.generation_id)
        plan = routing.plan_from_json(row.plan)
        messages = _history(row)
        queued_ms = round(((row.started_at or row.queued_at) - row.queued_at).total_seconds() * 1000)
    identity = StreamIdentity(
        generation_id=row.id,
        turn_id=row.turn_id,
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        lane=row.lane_position,
        model=row.model_slug,
        model_name=plan.model_name,
        hue=plan.hue,
        state=GenerationState(row.state),
        fence=claimed.fence,
    )
    return Work(identity, row.user_id, row.api_key_id, plan, Prompt(messages=messages), queued_ms)


def _history(row: Generation) -> list[dict[str, Any]]:
    with connections["default"].cursor() as cursor:
        cursor.execute(_HISTORY, {"answer": row.message_id, "lane": row.lane_id})
        messages: list[dict[str, Any]] = []
        for question, answer in cursor.fetchall():
            messages.append({"role": "user", "content": question})
            if answer is not None:
                messages.append({"role": "assistant", "content": answer})
    return messages
