"""`x-switchboard-route`: where answers come from, for programs that read heads and not bodies.

A list of RFC 9651, one member per lane: the model that answered with its provider, or the one that is asked first while
nobody has answered yet; `asked` is the name that was sent. What the event `message.completed` and REST tell is the
whole story; this is its first line.
"""

from collections.abc import Iterable

from apps.conversations.contracts import AnswerRow, GenerationAccepted
from apps.routing.route_header import NAME, member


def planned(generations: Iterable[GenerationAccepted]) -> dict[str, str]:
    """For what was accepted and is answered elsewhere or later."""
    members = (
        member(one.first_model, lane=one.lane, asked=one.model, provider=one.first_provider, state="planned")
        for one in generations
    )
    return {NAME: ", ".join(members)}


def answered(answers: Iterable[AnswerRow]) -> dict[str, str]:
    """For answers that have ended. One that nobody gave names the model that was asked."""
    return {NAME: ", ".join(_answered(one) for one in answers)}


def _answered(answer: AnswerRow) -> str:
    by = answer.route.get("answered_by") or {}
    return member(
        by.get("slug", answer.model_slug),
        lane=answer.lane,
        asked=answer.model_slug,
        provider=by.get("provider", ""),
        state=answer.state.value,
        attempts=len(answer.route.get("attempts", ())),
    )
