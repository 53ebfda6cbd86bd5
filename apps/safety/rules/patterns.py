"""How rules are put together, so that each says when it can begin and what ends it."""

import re
from collections.abc import Sequence

from apps.safety.contracts import BOUND, Category, Judge, Rule, View

# Between two words of a phrase, and up to `count` further words. A sentence's end is never within.
GAP = r"[^\w.!?]{1,8}"
UNBROKEN_SENTENCE = re.compile(r"[^.!?]*+")
UNBROKEN_WORD = re.compile(r"\S*+")
_PHRASE_BOUND = 380


def words(count: int) -> str:
    """Up to `count` words, each with the gap before it."""
    return rf"(?:{GAP}\w{{1,20}}){{0,{count}}}?"


def any_of(*alternatives: str) -> str:
    return f"(?:{'|'.join(alternatives)})"


def opening(*literals: str, behind: str = r"(?<!\w)") -> re.Pattern[str]:
    """Where one of these words begins, or the text ends while it still could be one."""
    return re.compile(behind + any_of(*(_so_far(literal) for literal in literals)))


def _so_far(literal: str) -> str:
    first, rest = re.escape(literal[0]), literal[1:]
    return f"{first}(?:{_so_far(rest)}|\\Z)" if rest else first


def phrase(
    identifier: str,
    category: Category,
    score: int,
    label: str,
    explanation: str,
    openers: Sequence[str],
    rest: str,
    *,
    judge: Judge | None = None,
    needs: tuple[str, ...] = (),
    answers: bool = False,
) -> Rule:
    """A sentence that begins with one of `openers` (plain words, in lower case) and goes on with the pattern `rest`."""
    beginning = r"(?<!\w)" + any_of(*(re.escape(word) for word in openers))
    return Rule(
        identifier,
        category,
        score,
        label,
        explanation,
        re.compile(beginning + rest),
        opening(*openers),
        UNBROKEN_SENTENCE,
        view=View.PHRASE,
        bound=_PHRASE_BOUND,
        judge=judge,
        needs=needs or tuple(openers),
        answers=answers,
    )


def token(
    identifier: str,
    score: int,
    explanation: str,
    prefixes: Sequence[str],
    rest: str,
    *,
    judge: Judge | None = None,
    label: str = "secret",
    behind: str = r"(?<![A-Za-z0-9])",
    bound: int = BOUND,
) -> Rule:
    """A secret without spaces: one of `prefixes`, as its issuer publishes them, and the pattern `rest`."""
    return Rule(
        identifier,
        Category.SECRET,
        score,
        label,
        explanation,
        re.compile(behind + any_of(*(re.escape(prefix) for prefix in prefixes)) + rest),
        opening(*prefixes, behind=behind),
        UNBROKEN_WORD,
        bound=bound,
        judge=judge,
        needs=tuple(prefixes),
    )
