"""A workspace's row of decisions about screening, as what they mean."""

from collections.abc import Mapping
from typing import Any

from apps.routing.contracts import OFF, Moderation, SafetySettings, SideUse
from apps.routing.models import SafetyRules
from apps.safety import Action, Category, Direction, Limit, Limits

# So often is a moderation model asked about one answer at most, whatever became of earlier attempts at it.
ANSWER_CALLS = 10
# A long question is several pieces, and each counts as a call.
QUESTION_CALLS = 4


def of_row(row: SafetyRules | None) -> SafetySettings:
    """The decisions in a row; nothing is screened where there is none."""
    if row is None:
        return OFF
    moderation = Moderation(
        model=row.moderation_model,
        prompt=Limit(Action(row.moderation_prompt), row.moderation_threshold),
        answer=Limit(Action(row.moderation_answer), row.moderation_threshold),
        thresholds=thresholds(row.moderation_thresholds),
        step_characters=row.moderation_step_characters,
        refuse_unreachable=row.refuse_unreachable,
    )
    return SafetySettings(
        prompt=_limits(row.prompt_limits),
        answer=_limits(row.answer_limits),
        margin_characters=row.margin_characters,
        redact_stored=row.redact_stored,
        moderation=moderation if row.moderation_model else None,
    )


def side_uses(settings: SafetySettings) -> tuple[SideUse, ...]:
    """What these decisions want asked beside an answer."""
    prompts, answers = settings.moderates(Direction.PROMPT), settings.moderates(Direction.ANSWER)
    if settings.moderation is None or not (prompts or answers):
        return ()
    calls = (QUESTION_CALLS if prompts else 0) + (ANSWER_CALLS if answers else 0)
    return (SideUse(settings.moderation.model, calls, reads_answer=answers),)


def thresholds(stored: Mapping[str, Any]) -> dict[str, int]:
    """Thresholds by category of a moderation model."""
    return {name: value for name, value in stored.items() if isinstance(value, int)}


def _limits(stored: Mapping[str, Any]) -> Limits:
    """Categories that this version does not know are another version's, and none of ours."""
    return {
        category: Limit(Action(stored[category]["action"]), stored[category]["threshold"])
        for category in Category
        if category in stored
    }
