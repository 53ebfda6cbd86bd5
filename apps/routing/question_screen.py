"""A question, screened before it is accepted, so that what is blocked is neither stored nor sent."""

from uuid import UUID

from apps.observability import metrics
from apps.routing import safety_verdicts, selectors
from apps.routing.errors import PromptBlocked
from apps.routing.prompt_screen import screen_text
from apps.safety import Action, Direction
from apps.tenants.scope import tenant_scope


def screen_question(tenant_id: UUID, user_id: UUID, text: str) -> str:
    """The question as it is to be kept. What is blocked or replaced is noted. Raises `PromptBlocked`."""
    settings = selectors.snapshot(tenant_id).safety
    if not settings.screens(Direction.PROMPT):
        return text
    try:
        screened, found = screen_text(text, settings)
    except PromptBlocked as blocked:
        for one in blocked.verdicts:
            metrics.screened(one.direction.value, one.category, one.action.value)
        with tenant_scope(tenant_id):
            safety_verdicts.record(tenant_id, user_id, None, blocked.verdicts)
        raise
    if not settings.redact_stored:
        return text  # what is flagged or replaced is noted with the answer
    # What is replaced here is not there any more when the answer is begun.
    replaced = [one for one in found if one.action is Action.REDACT]
    if replaced:
        for one in replaced:
            metrics.screened(one.direction.value, one.category, one.action.value)
        with tenant_scope(tenant_id):
            safety_verdicts.record(tenant_id, user_id, None, replaced)
    return screened
