"""A question, screened before it is accepted, so that what is blocked is neither stored nor sent."""

from uuid import UUID

from apps.observability import metrics
from apps.routing import safety_verdicts, selectors
from apps.routing.errors import PromptBlocked
from apps.routing.prompt_screen import screen_text
from apps.safety import Direction
from apps.tenants.scope import tenant_scope


def screen_question(tenant_id: UUID, user_id: UUID, text: str) -> str:
    """The question as it is to be kept. What is blocked is noted with its rule, and raises `PromptBlocked`."""
    settings = selectors.snapshot(tenant_id).safety
    if not settings.screens(Direction.PROMPT):
        return text
    try:
        screened, _ = screen_text(text, settings)
    except PromptBlocked as blocked:
        for one in blocked.verdicts:
            metrics.screened(one.direction.value, one.category, one.action.value)
        with tenant_scope(tenant_id):
            safety_verdicts.record(tenant_id, user_id, None, blocked.verdicts)
        raise
    # What is flagged or redacted is noted with the answer.
    return screened if settings.redact_stored else text
