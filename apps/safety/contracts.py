"""The words of safety: categories, actions, findings, and the form of a rule."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """What a rule looks for."""

    SECRET = "secret"  # noqa: S105 - a word
    PII = "pii"
    ABUSE = "abuse"
    INJECTION = "injection"


class Direction(StrEnum):
    """Which way a text goes: to a model, or from it."""

    PROMPT = "prompt"
    ANSWER = "answer"


class Action(StrEnum):
    """What is done about a finding, the mildest first."""

    ALLOW = "allow"
    FLAG = "flag"
    REDACT = "redact"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Limit:
    """From which score (1 to 100) on something is done about a category, and what."""

    action: Action
    threshold: int


Limits = Mapping[Category, Limit]


@dataclass(frozen=True, slots=True)
class Finding:
    """A passage that a rule found: `start` to `end` in code points of the text. `score` is 1 to 100.

    `label` is what stands for such a passage once it is redacted. Nothing here repeats the passage itself.
    """

    rule: str
    category: Category
    score: int
    start: int
    end: int
    label: str
    explanation: str


class View(StrEnum):
    """The form of the text that a rule reads."""

    RAW = "raw"  # as it came
    PLAIN = "plain"  # compatibility forms folded, accents and invisible characters dropped
    PHRASE = "phrase"  # plain, in lower case, and letters that only look Latin made Latin


# Of a match: the score, or None where it is none after all. The span is the group `it` where the pattern has one.
Judge = Callable[[re.Match[str]], int | None]

# No rule needs to see more than this many characters from where its match begins, unless it says so.
BOUND = 200
# What stands before a match and is looked at by its pattern.
LOOK_BEHIND = 32


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern and what it means.

    `opener` matches wherever `pattern` can begin, and also where the text ends before that can be told: it decides what
    is held back. `bound` is the most characters that a match, with all it looks ahead to, can span, and `unbroken` a
    run of characters that can be part of one. `score` is the highest that `judge` gives. `needs`: one of these must be
    in the text. `answers`: it makes sense in what a model says, too. `ends_visibly`: a match with another character
    after it stays the same whatever follows.
    """

    id: str
    category: Category
    score: int
    label: str
    explanation: str
    pattern: re.Pattern[str]
    opener: re.Pattern[str]
    unbroken: re.Pattern[str]
    view: View = View.PLAIN
    bound: int = BOUND
    judge: Judge | None = None
    needs: tuple[str, ...] = ()
    answers: bool = True
    ends_visibly: bool = False
