"""An answer on its way to be shown: text, reasoning and tool calls, each held back where it must be."""

from collections.abc import Sequence

from apps.routing.contracts import (
    Chunk,
    ReasoningDelta,
    SafetySettings,
    TextDelta,
    ToolCallCompleted,
    Verdict,
    merged,
    verdicts_of,
)
from apps.routing.json_screen import screened_json
from apps.routing.moderation import Moderator, pieces_of
from apps.safety import Action, Direction, Placeholders, redact, rule_on, rules_for, scan
from apps.safety.holding import Hold, Passage

# What a moderation model is shown again of what it was asked about before, so that no sentence is read in halves only.
_CONTEXT_CHARACTERS = 200


class Blocked(Exception):
    """The answer must end here. What was found is among the verdicts."""


class _Channel:
    """Text of one kind. What it lets go joins up with what was let go before."""

    def __init__(
        self, settings: SafetySettings, placeholders: Placeholders, moderator: Moderator | None, followed_by: int
    ) -> None:
        limits = settings.limits(Direction.ANSWER)
        self._hold: Hold | None = None
        if settings.screens(Direction.ANSWER):
            rules = rules_for(limits, Direction.ANSWER)
            self._hold = Hold(rules, limits, placeholders, settings.margin_characters)
        self._moderator = moderator if settings.moderates(Direction.ANSWER) else None
        self._followed_by = followed_by
        self._step = self._moderator.step_characters if self._moderator else 0
        self._waiting: list[str] = []  # passed our own rules, and not asked about yet
        self._waiting_characters = 0
        self._context = ""
        self.before_blocked = ""
        self.verdicts: list[Verdict] = []

    async def feed(self, text: str) -> str:
        """What may be shown now. Raises `Blocked`; `before_blocked` may be shown all the same."""
        return await self._moderated(self._ruled(self._hold.feed(text)) if self._hold else text, last=False)

    async def finish(self) -> str:
        """What was held back, now that nothing follows. Raises `Blocked`."""
        return await self._moderated(self._ruled(self._hold.finish()) if self._hold else "", last=True)

    def _ruled(self, passage: Passage) -> str:
        self.verdicts += verdicts_of(passage.rulings, Direction.ANSWER)
        if passage.blocked is None:
            return passage.text
        # With a moderation model nobody was asked about it yet, so it is not shown.
        self.before_blocked = "" if self._moderator else passage.text
        raise Blocked

    async def _moderated(self, text: str, *, last: bool) -> str:
        """Nothing is shown before the moderation model was asked about it, in steps that grow."""
        if self._moderator is None:
            return text
        self._waiting.append(text)
        self._waiting_characters += len(text)
        early = self._step and self._waiting_characters >= self._step and self._has_calls_left(self._moderator)
        if not self._waiting_characters or not (last or early):
            return ""
        whole = "".join(self._waiting)
        self._waiting, self._waiting_characters = [], 0
        found = await self._moderator.verdicts(Direction.ANSWER, self._context + whole)
        self.verdicts += found
        if any(one.action is Action.BLOCK for one in found):
            raise Blocked
        self._context = whole[-_CONTEXT_CHARACTERS:]
        self._step *= 2
        return whole

    def _has_calls_left(self, moderator: Moderator) -> bool:
        """Whether the end can be asked about too, once what waits was; and after thoughts the answer itself."""
        return moderator.left - pieces_of(self._waiting_characters) > self._followed_by


class AnswerScreen:
    """One answer. `verdicts` are what was found in it so far."""

    def __init__(self, settings: SafetySettings, placeholders: Placeholders, moderator: Moderator | None) -> None:
        self._settings = settings
        self._placeholders = placeholders
        self._moderator = moderator
        self._judged: list[Verdict] = []
        self._text = self._channel()
        self._reasoning: _Channel | None = None

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        reasoning = self._reasoning.verdicts if self._reasoning else []
        return merged([*self._judged, *reasoning, *self._text.verdicts])

    @property
    def is_altered(self) -> bool:
        """Whether anything in it was replaced."""
        return any(one.action is Action.REDACT for one in self.verdicts)

    def restart(self) -> None:
        """All that was shown is void, and what was found in it."""
        self._judged = []
        self._text, self._reasoning = self._channel(), None

    async def feed(self, chunk: Chunk) -> Sequence[Chunk]:
        """What may be shown now that this has come. Raises `Blocked`."""
        if isinstance(chunk, TextDelta):
            shown = await self._reasoned()
            text = await self._text.feed(chunk.text)
            return [*shown, TextDelta(text)] if text else shown
        if isinstance(chunk, ReasoningDelta):
            self._reasoning = self._reasoning or self._channel(followed_by=1)
            text = await self._reasoning.feed(chunk.text)
            return [ReasoningDelta(text)] if text else []
        if isinstance(chunk, ToolCallCompleted):
            return [ToolCallCompleted(chunk.call_id, chunk.name, self._arguments(chunk.arguments))]
        return [chunk]

    async def finish(self) -> Sequence[Chunk]:
        """What was held back, now that the answer is whole. Raises `Blocked`."""
        shown = await self._reasoned()
        text = await self._text.finish()
        return [*shown, TextDelta(text)] if text else shown

    def cut(self) -> Sequence[Chunk]:
        """What comes before a blocked passage and was not shown yet."""
        reasoning = self._reasoning.before_blocked if self._reasoning else ""
        text = self._text.before_blocked
        return [*([ReasoningDelta(reasoning)] if reasoning else []), *([TextDelta(text)] if text else [])]

    async def _reasoned(self) -> list[Chunk]:
        """Reasoning ends where text begins."""
        if self._reasoning is None:
            return []
        last = await self._reasoning.finish()
        self._judged += self._reasoning.verdicts
        self._reasoning = None
        return [ReasoningDelta(last)] if last else []

    def _arguments(self, arguments: str) -> str:
        """Arguments come whole, so they are judged whole: as they are written, and as JSON means them."""
        if not self._settings.screens(Direction.ANSWER):
            return arguments
        return screened_json(arguments, self._judge)

    def _judge(self, text: str) -> str:
        """The text as it may be shown. Raises `Blocked`."""
        limits = self._settings.limits(Direction.ANSWER)
        rulings = rule_on(scan(text, rules_for(limits, Direction.ANSWER)), limits)
        self._judged += verdicts_of(rulings, Direction.ANSWER)
        if any(one.action is Action.BLOCK for one in rulings):
            raise Blocked
        return redact(text, rulings, self._placeholders)

    def _channel(self, followed_by: int = 0) -> _Channel:
        return _Channel(self._settings, self._placeholders, self._moderator, followed_by)
