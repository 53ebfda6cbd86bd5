"""Passages replaced by what they were: `[e-mail 1]`. The same passage has the same placeholder throughout a call."""

from collections.abc import Iterable

from apps.safety.contracts import Action, Finding
from apps.safety.deciding import Ruling


class Placeholders:
    """Which value has which placeholder. One for each call, so that prompt and answer speak of the same things."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self._counts: dict[str, int] = {}

    def of(self, label: str, value: str) -> str:
        """The placeholder of a value; spaces, hyphens and case make no other value of it."""
        known = (label, "".join(char for char in value.casefold() if char not in " -\t\n\r"))
        if known not in self._numbers:
            self._numbers[known] = self._counts[label] = self._counts.get(label, 0) + 1
        return f"[{label} {self._numbers[known]}]"


def clusters(findings: Iterable[Finding]) -> list[tuple[int, int, str]]:
    """Passages that overlap as one: start, end, and the label of the one with the highest score."""
    joined: list[tuple[int, int, Finding]] = []
    for one in sorted(findings, key=lambda one: (one.start, one.end)):
        if joined and one.start < joined[-1][1]:
            start, end, best = joined[-1]
            joined[-1] = (start, max(end, one.end), max(best, one, key=lambda one: (one.score, one.rule)))
        else:
            joined.append((one.start, one.end, one))
    return [(start, end, best.label) for start, end, best in joined]


def redact(text: str, rulings: Iterable[Ruling], placeholders: Placeholders) -> str:
    """The text with what is to be redacted replaced."""
    parts: list[str] = []
    done = 0
    for start, end, label in clusters(one.finding for one in rulings if one.action is Action.REDACT):
        parts += (text[done:start], placeholders.of(label, text[start:end]))
        done = end
    return "".join((*parts, text[done:]))
