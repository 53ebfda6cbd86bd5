"""A moderation model's opinion of a prompt or an answer, as verdicts."""

from collections.abc import Mapping
from itertools import chain

import structlog

from apps.billing.contracts import Admission
from apps.routing import side_calls
from apps.routing.contracts import MODERATION, Gate, ModelKind, Moderation, Plan, Prompt, SideCall, Verdict
from apps.routing.errors import BreakersOpen, ModerationUnreachable, NoCandidates, ProviderFailed
from apps.routing.json_screen import sentences
from apps.safety import Action, Direction

TIMEOUT_SECONDS = 5.0
# How much is judged in one piece. What is longer goes in pieces that overlap, all in one request.
PIECE_CHARACTERS = 32_000
_OVERLAP_CHARACTERS = 200
UNREACHABLE = "moderation.unreachable"

log = structlog.get_logger(__name__)


class Moderator:
    """Asks one workspace's moderation model about one prompt and its answer, as often as was set aside for."""

    def __init__(self, moderation: Moderation, plan: Plan, admission: Admission, gate: Gate) -> None:
        self._moderation = moderation
        self._side: SideCall | None = next(
            (one for one in plan.side if one.candidate.kind is ModelKind.MODERATION), None
        )
        self._admission = admission
        self._gate = gate
        self.left = self._side.calls if self._side else 0

    @property
    def step_characters(self) -> int:
        return self._moderation.step_characters

    async def verdicts(self, direction: Direction, text: str) -> tuple[Verdict, ...]:
        """What the model finds in the text at or above its thresholds, and what is done about it.

        Raises `ModerationUnreachable` where it cannot be asked and nothing may pass unasked.
        """
        if not text.strip():
            return ()
        try:
            if self._side is None or not self.left:
                raise NoCandidates("The moderation model is not on offer, or was asked too often.")
            # A question leaves a call for its answer.
            spared = int(direction is Direction.PROMPT and self.left > 1)
            cut = pieces(text, self.left - spared)
            self.left -= len(cut)
            scores = await side_calls.moderate(
                self._side, self._admission, self._gate, cut, timeout_seconds=TIMEOUT_SECONDS
            )
        except (ProviderFailed, BreakersOpen, NoCandidates) as error:
            log.warning("moderation.unreachable", direction=direction.value, code=error.code)
            if self._moderation.refuse_unreachable:
                raise ModerationUnreachable(
                    "The workspace has every message checked by a moderation model, and it cannot be reached. Try "
                    "again in a minute."
                ) from error
            return (_unasked(direction),)
        return self._judged(direction, scores)

    def _judged(self, direction: Direction, scores: Mapping[str, float]) -> tuple[Verdict, ...]:
        limit = self._moderation.limit(direction)
        found = []
        for name, score in scores.items():
            threshold = self._moderation.thresholds.get(name, limit.threshold)
            percent = round(score * 100)
            if percent >= threshold:
                explanation = f"The moderation model {self._moderation.model} finds “{name}” in it."
                rule = f"moderation.{name}"[:80]
                found.append(Verdict(direction, MODERATION, rule, limit.action, percent, threshold, explanation))
        return tuple(sorted(found, key=lambda one: -one.score))


def newest_text(prompt: Prompt) -> str:
    """What came into the chat since the last answer, and the instructions, which may have changed since: earlier
    messages were asked about when they came."""
    texts: list[str] = []
    answered = False
    for message in reversed(prompt.messages):
        answered = answered or message.get("role") == "assistant"
        if answered and message.get("role") not in ("system", "developer"):
            continue
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        texts += [part["text"] for part in reversed(parts) if isinstance(part.get("text"), str)]
    texts += reversed(_beside(prompt))
    return "\n\n".join(reversed(texts))


def _beside(prompt: Prompt) -> list[str]:
    """What tools and the form of the answer say to a model, which is as good as an instruction."""
    said = (sentences(prompt.parameters.get(name)) for name in ("tools", "response_format"))
    return list(dict.fromkeys(chain.from_iterable(said)))


def pieces(text: str, at_most: int) -> list[str]:
    """The whole text, in the pieces that a moderation model is given: each counts as a call that was set aside for, so
    where there are few they are long, and the model may refuse them."""
    new = max(1, len(text) - _OVERLAP_CHARACTERS)
    step = max(PIECE_CHARACTERS - _OVERLAP_CHARACTERS, -(-new // at_most))
    return [text[start : start + step + _OVERLAP_CHARACTERS] for start in range(0, new, step)]


def pieces_of(characters: int) -> int:
    """How many pieces a text of that length has."""
    return -(-max(1, characters - _OVERLAP_CHARACTERS) // (PIECE_CHARACTERS - _OVERLAP_CHARACTERS))


def _unasked(direction: Direction) -> Verdict:
    return Verdict(
        direction,
        MODERATION,
        UNREACHABLE,
        Action.FLAG,
        1,
        1,
        "The moderation model could not be asked; it was let pass.",
    )
