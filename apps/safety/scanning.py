"""Find in a text that arrives in pieces exactly what would be found in the whole.

A rule's match is final once nothing that may still come could change it: the rule's bound lies within the text, or a
character came that no match of it can contain. Until then the place is unsettled, and whoever shows the text holds it
back from there. Each piece costs a look at what is new and at most a bound of what came before.
"""

import re
from collections.abc import Sequence

from apps.safety.contracts import LOOK_BEHIND, Finding, Rule, View
from apps.safety.folding import Strand

# Below this many new characters a plain search is as fast as looking for words first.
_WORTH_A_LOOK = 400


class Scanner:
    """Rules at work on one text. `settled`: every finding that begins before it has been given."""

    __slots__ = ("_cursors", "_end", "_of_view", "_reach", "_rules", "_strands", "settled")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        numbers = {view: [number for number, rule in enumerate(rules) if rule.view is view] for view in View}
        self._of_view = {view: mine for view, mine in numbers.items() if mine}
        self._strands = {view: Strand(view) for view in self._of_view}
        self._reach = {view: max(rules[number].bound for number in mine) for view, mine in self._of_view.items()}
        self._cursors = [0] * len(self._rules)
        self._end = 0
        self.settled = 0

    def feed(self, piece: str) -> list[Finding]:
        """Take the next piece; gives what became final."""
        for strand in self._strands.values():
            strand.append(piece, self._end)
        self._end += len(piece)
        return self._scan(final=False)

    def finish(self) -> list[Finding]:
        """The text has ended: gives what is left."""
        return self._scan(final=True)

    def _scan(self, *, final: bool) -> list[Finding]:
        found: list[Finding] = []
        settled = self._end
        backwards = {view: strand.text[: -self._reach[view] - 1 : -1] for view, strand in self._strands.items()}
        for number, rule in enumerate(self._rules):
            strand = self._strands[rule.view]
            size = len(strand.text)
            limit = size
            if not final:
                run = rule.unbroken.match(backwards[rule.view])
                limit = max(size - rule.bound, size - (run.end() if run else 0), 0)
            cursor = self._decided(rule, strand, self._cursors[number], limit, found)
            if not final:
                cursor = self._undecided(rule, strand, cursor, found)
            self._cursors[number] = cursor
            settled = min(settled, strand.begin_of(cursor, self._end))
        self.settled = settled
        self._trim()
        found.sort(key=lambda one: (one.start, one.end, one.rule))
        return found

    def _decided(self, rule: Rule, strand: Strand, cursor: int, limit: int, found: list[Finding]) -> int:
        """Take every match that begins before `limit`; the cursor afterwards."""
        text = strand.text
        if (
            limit - cursor > _WORTH_A_LOOK
            and rule.needs
            and not any(text.find(word, cursor) >= 0 for word in rule.needs)
        ):
            return limit
        while cursor < limit:
            match = rule.pattern.search(text, cursor)
            if match is None or match.start() >= limit:
                return limit
            cursor = self._take(rule, strand, match, found)
        return cursor

    def _undecided(self, rule: Rule, strand: Strand, cursor: int, found: list[Finding]) -> int:
        """The first place at or after the cursor where a match may yet begin; the text's end where there is none."""
        text, size = strand.text, len(strand.text)
        while cursor < size:
            opening = rule.opener.search(text, cursor)
            if opening is None:
                return size
            cursor = opening.start()
            match = rule.pattern.match(text, cursor) if rule.ends_visibly else None
            if match is None or match.end() == size:
                return cursor
            cursor = self._take(rule, strand, match, found)
        return cursor

    def _take(self, rule: Rule, strand: Strand, match: re.Match[str], found: list[Finding]) -> int:
        """Judge a match; where to go on from."""
        score = rule.score if rule.judge is None else rule.judge(match)
        if score is None:
            return match.start() + 1
        start, end = match.span("it" if "it" in rule.pattern.groupindex else 0)
        found.append(
            Finding(
                rule=rule.id,
                category=rule.category,
                score=score,
                start=strand.begin_of(start, self._end),
                end=strand.end_of(end),
                label=rule.label,
                explanation=rule.explanation,
            )
        )
        return max(match.end(), match.start() + 1)

    def _trim(self) -> None:
        """Forget what no rule will look at again."""
        for view, strand in self._strands.items():
            mine = self._of_view[view]
            count = min(self._cursors[number] for number in mine) - LOOK_BEHIND
            if count > 0:
                strand.trim(count)
                for number in mine:
                    self._cursors[number] -= count


def scan(text: str, rules: Sequence[Rule]) -> list[Finding]:
    """All findings in a whole text, in its order."""
    scanner = Scanner(rules)
    found = scanner.feed(text)
    found += scanner.finish()
    return sorted(found, key=lambda one: (one.start, one.end, one.rule))
