"""A knowledge card: one subject, taken apart so that each voice can put it together in its own way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Table:
    """A table of short cells, its first column the name of the row."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self, limit: int | None = None) -> str:
        """The first `limit` rows, or all."""
        lines = ["| " + " | ".join(self.header) + " |", "|" + "---|" * len(self.header)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows[:limit]]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Card:
    """One subject. Empty parts are left out by the voices.

    `points` are (name, sentence); `maths` are (sentence, TeX); `code` maps a language to source, the natural one
    first, and `brief` to a shorter way of doing it; `paragraphs` are prose; `drafts` are finished texts, short to
    long, for when something is to be written.
    """

    cue: str
    title: str
    gist: str
    points: tuple[tuple[str, str], ...] = ()
    steps: tuple[str, ...] = ()
    code: Mapping[str, str] = field(default_factory=dict)
    brief: Mapping[str, str] = field(default_factory=dict)
    table: Table | None = None
    maths: tuple[tuple[str, str], ...] = ()
    paragraphs: tuple[str, ...] = ()
    drafts: tuple[str, ...] = ()
    pitfalls: tuple[str, ...] = ()
    check: str = ""
    verdict: str = ""
    link: tuple[str, str] | None = None
    is_generic: bool = False

    def matches(self, text: str) -> bool:
        return re.search(self.cue, text, re.IGNORECASE | re.DOTALL) is not None

    def snippet(self, language: str, *, is_brief: bool = False) -> str:
        """A fenced block in the wanted language, else in the natural one; empty when the card has no code."""
        source = self.brief if is_brief and (language or next(iter(self.code), "")) in self.brief else self.code
        if not source:
            return ""
        chosen = language if language in source else next(iter(source))
        return f"```{chosen}\n{source[chosen].strip()}\n```"
