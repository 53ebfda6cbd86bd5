"""What ends here when somebody leaves a tenant: their answers that are queued or under way."""

from collections.abc import Callable
from uuid import UUID

from django.db import connections

from apps.billing import services as billing
from apps.conversations.connections import blocking_redis
from apps.conversations.contracts import GenerationState
from apps.conversations.models import Message
from apps.streaming import hints

_STOP = """
UPDATE conversations_generation
SET cancel_at = coalesce(cancel_at, clock_timestamp()),
    state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END,
    finished_at = CASE WHEN state = 'queued' THEN clock_timestamp() END
WHERE tenant_id = %s AND user_id = %s AND state IN ('queued', 'running')
RETURNING id, state, message_id
"""


def stop_answers_of(tenant_id: UUID, user_id: UUID) -> tuple[int, Callable[[], None]]:
    """Stop a person's answers in one tenant, in the caller's transaction; what was received of them is kept.

    Returns how many, and what is to be done after the commit: workers are told, and counters settled. Both are
    repeated elsewhere where they are lost.
    """
    with connections["default"].cursor() as cursor:
        cursor.execute(_STOP, [tenant_id, user_id])
        rows = cursor.fetchall()
    cancelled = [(id, message_id) for id, state, message_id in rows if state == GenerationState.CANCELLED]
    running = [id for id, state, _message_id in rows if state == GenerationState.RUNNING]
    queued_ids = [id for id, _message_id in cancelled]
    Message.objects.filter(id__in=[message_id for _id, message_id in cancelled]).update(
        status=GenerationState.CANCELLED
    )
    billing.settle_reservations(queued_ids, using="default")

    def afterwards() -> None:
        for generation_id in running:
            hints.publish_cancel(blocking_redis(), None, generation_id)
        billing.settle_counters(tenant_id, user_id, queued_ids, 0)

    return len(rows), afterwards
