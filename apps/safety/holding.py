"""A text on its way to be shown: held back where it may yet become something that must not be.

What is let go does not depend on the pieces in which the text came.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from apps.safety.contracts import Action, Limits, Rule
from apps.safety.deciding import Ruling, rule_on
from apps.safety.redaction import Placeholders, clusters
from apps.safety.scanning import Scanner


@dataclass(frozen=True, slots=True)
class Passage:
    """What may be shown now, what was ruled on the way, and whether the text ends here because of `blocked`."""

    text: str
    rulings: tuple[Ruling, ...] = ()
    blocked: Ruling | None = None


@dataclass(slots=True)
class Hold:
    """One text that arrives in pieces. After `blocked` nothing of it is shown any more.

    `margin`: so many characters before what may come are held back as well, and not shown before a blocked passage.
    Places are counted from the beginning of the text.
    """

    rules: Sequence[Rule]
    limits: Limits
    placeholders: Placeholders
    margin: int = 0
    _scanner: Scanner = field(init=False)
    _held: str = field(default="", init=False)
    _shown: int = field(default=0, init=False)
    _end: int = field(default=0, init=False)
    _open: list[Ruling] = field(default_factory=list, init=False)
    _over: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._scanner = Scanner(self.rules)

    def feed(self, piece: str) -> Passage:
        """Take the next piece; gives what has become safe."""
        if self._over:
            return Passage("")
        self._held += piece
        self._end += len(piece)
        found = rule_on(self._scanner.feed(piece), self.limits)
        return self._let_go(found, self._scanner.settled, self.margin)

    def finish(self) -> Passage:
        """The text has ended: gives what was held back."""
        if self._over:
            return Passage("")
        found = rule_on(self._scanner.finish(), self.limits)
        return self._let_go(found, self._end, 0)

    def _let_go(self, found: list[Ruling], settled: int, margin: int) -> Passage:
        """Rule on what is settled, and show what lies before it."""
        self._open += found
        self._open.sort(key=lambda one: (one.finding.start, one.finding.end, one.finding.rule))
        redacted = clusters(one.finding for one in self._open if one.action is Action.REDACT)
        blocked = next((one for one in self._open if one.action is Action.BLOCK), None)
        if blocked is not None and blocked.finding.start > settled:
            blocked = None  # something before it may still be found
        until = settled - margin if blocked is None else blocked.finding.start - self.margin
        for start, end, _ in redacted:
            # A passage is replaced as a whole, once no other can reach into it any more.
            if start < until and (end > settled or end > until):
                until = start
                break
        text = self._show(max(until, self._shown), [one for one in redacted if one[1] <= until])
        told = [one for one in self._open if one.finding.start < until and one is not blocked]
        if blocked is not None:
            self._over = True
            self._held, self._open = "", []
            return Passage(text, (*told, blocked), blocked)
        self._open = [one for one in self._open if one.finding.start >= until]
        return Passage(text, tuple(told))

    def _show(self, until: int, redacted: list[tuple[int, int, str]]) -> str:
        parts: list[str] = []
        at = self._shown
        for start, end, label in redacted:
            if start >= self._shown:
                parts.append(self._passage(at, start))
                parts.append(self.placeholders.of(label, self._passage(start, end)))
                at = end
        parts.append(self._passage(at, until))
        self._held = self._held[until - self._shown :]
        self._shown = until
        return "".join(parts)

    def _passage(self, start: int, end: int) -> str:
        return self._held[start - self._shown : end - self._shown]
