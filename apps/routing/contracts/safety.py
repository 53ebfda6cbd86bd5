"""What a workspace has decided about screening, and what was found by it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.safety import Action, Direction, Limit, Limits, Ruling

# What a provider's moderation is called where a category of our own rules would stand.
MODERATION = "moderation"


@dataclass(frozen=True, slots=True)
class Moderation:
    """How a moderation model is asked. Its scores, 0 to 1, are compared as 0 to 100.

    `thresholds` are those of single categories of the model, where they differ. `step_characters`: so much of an answer
    is asked about at first, twice as much each time after that; 0: the whole answer, at its end. `refuse_unreachable`:
    what it cannot be asked about does not pass.
    """

    model: str
    prompt: Limit
    answer: Limit
    thresholds: Mapping[str, int] = field(default_factory=dict)
    step_characters: int = 600
    refuse_unreachable: bool = False

    def limit(self, direction: Direction) -> Limit:
        return self.prompt if direction is Direction.PROMPT else self.answer


@dataclass(frozen=True, slots=True)
class SafetySettings:
    """What is done about which findings. Nothing at all where nobody decided anything.

    `margin_characters`: so much is held back of an answer besides what its rules need. `redact_stored`: questions are
    kept as they are sent, with what is redacted in them replaced.
    """

    prompt: Limits = field(default_factory=dict)
    answer: Limits = field(default_factory=dict)
    margin_characters: int = 0
    redact_stored: bool = False
    moderation: Moderation | None = None

    def limits(self, direction: Direction) -> Limits:
        return self.prompt if direction is Direction.PROMPT else self.answer

    def screens(self, direction: Direction) -> bool:
        """Whether any of our own rules is asked about texts that go this way."""
        return any(limit.action is not Action.ALLOW for limit in self.limits(direction).values())

    def moderates(self, direction: Direction) -> bool:
        return self.moderation is not None and self.moderation.limit(direction).action is not Action.ALLOW

    @property
    def is_off(self) -> bool:
        return not any(self.screens(one) or self.moderates(one) for one in Direction)


OFF = SafetySettings()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule found in a text, how often, and what was done about it: never the passage itself.

    `category` is one of ours or `moderation`; `score` the highest, 1 to 100, `threshold` what it was compared with.
    """

    direction: Direction
    category: str
    rule: str
    action: Action
    score: int
    threshold: int
    explanation: str
    count: int = 1

    def document(self) -> dict[str, Any]:
        """As it is stored with the answer and told by REST."""
        return {
            "direction": self.direction.value,
            "category": self.category,
            "rule": self.rule,
            "action": self.action.value,
            "score": self.score,
            "threshold": self.threshold,
            "explanation": self.explanation,
            "count": self.count,
        }


def verdicts_of(rulings: Iterable[Ruling], direction: Direction) -> tuple[Verdict, ...]:
    """One verdict for each rule, in the order of the first finding."""
    kept: dict[str, Verdict] = {}
    for one in rulings:
        finding, before = one.finding, kept.get(one.finding.rule)
        kept[finding.rule] = Verdict(
            direction,
            finding.category.value,
            finding.rule,
            one.action,
            max(finding.score, before.score if before else 0),
            one.threshold,
            finding.explanation,
            before.count + 1 if before else 1,
        )
    return tuple(kept.values())


def merged(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Verdicts of several passes as one list: each rule and direction once."""
    kept: dict[tuple[Direction, str, Action], Verdict] = {}
    for one in verdicts:
        key = (one.direction, one.rule, one.action)
        before = kept.get(key)
        kept[key] = one if before is None else _sum(before, one)
    return tuple(kept.values())


def _sum(one: Verdict, other: Verdict) -> Verdict:
    return Verdict(
        one.direction,
        one.category,
        one.rule,
        one.action,
        max(one.score, other.score),
        one.threshold,
        one.explanation,
        one.count + other.count,
    )
