"""Six voices. Each takes the same card apart and puts it together in its own way."""

from __future__ import annotations

import random
from collections.abc import Callable

from simulator.corpus import algorithms, comparisons, explaining, generic, maths, programs, smalltalk, writing
from simulator.corpus.card import Card
from simulator.corpus.question import Question

# A card is looked for among those of the intent first: comparing databases and migrating one differ.
_SHELVES = {
    "code": algorithms.CARDS + programs.CARDS,
    "maths": maths.CARDS,
    "comparison": comparisons.CARDS,
    "writing": writing.CARDS,
    "plan": explaining.CARDS,
    "explain": explaining.CARDS,
}
_ALL_CARDS = tuple(dict.fromkeys(card.title for shelf in _SHELVES.values() for card in shelf))
_BY_TITLE = {card.title: card for shelf in _SHELVES.values() for card in shelf}


def speak(voice: str, asked: Question, dice: random.Random) -> tuple[str, str]:
    """Reasoning (empty for most voices) and the answer in Markdown."""
    if short := smalltalk.speak(voice, asked, dice):
        return (f"A short exchange. {asked.topic}: no need to think long." if voice == "cedar" else ""), short
    card = _card(asked)
    reasoning, parts = _VOICES[voice](card, asked, dice)
    if card.is_generic and asked.turn == 1:
        parts.append(
            f"*This is a simulated model: it shows what an answer looks like, not what is true about “{asked.topic}”.*"
        )
    return reasoning, "\n\n".join(part.strip("\n") for part in parts if part)


def _card(asked: Question) -> Card:
    # "Continue" and "shorter" are about what was asked before.
    text = asked.text
    if asked.intent in ("more", "shorter", "summary") and asked.earlier_topics:
        text = f"{asked.earlier_topics[-1]} {text}"
    shelf = _SHELVES.get(asked.intent, ())
    found = next((card for card in shelf if card.matches(text)), None)
    if found is None and asked.intent != "writing":
        found = next((_BY_TITLE[title] for title in _ALL_CARDS if _BY_TITLE[title].matches(text)), None)
    return found or generic.card_for(asked)


def _before(asked: Question) -> str:
    return f"“{asked.earlier_topics[-1]}”" if asked.earlier_topics else ""


def _numbered(items: tuple[str, ...]) -> str:
    return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))


def _bullets(card: Card, limit: int | None = None) -> str:
    return "\n".join(f"- **{name}**: {text}" for name, text in card.points[:limit])


def _formulas(card: Card, limit: int | None = None) -> str:
    return "\n\n".join(f"{lead}\n\n$$\n{tex}\n$$" for lead, tex in card.maths[:limit])


def _wants(asked: Question, card: Card) -> str:
    """Which part of the card answers the question: draft, code, maths, table or points."""
    parts = {"writing": card.drafts, "code": card.code, "maths": card.maths, "comparison": card.table}
    wanted = {"writing": "draft", "code": "code", "maths": "maths", "comparison": "table"}
    if parts.get(asked.intent):
        return wanted[asked.intent]
    for name, part in (
        ("draft", card.drafts),
        ("maths", card.maths),
        ("table", card.table),
        ("code", card.code),
    ):
        if part and not card.is_generic:
            return name
    return "points"


def _main_part(asked: Question, card: Card, *, draft: int, limit: int | None = None, is_brief: bool = False) -> str:
    match _wants(asked, card):
        case "draft":
            return card.drafts[min(draft, len(card.drafts) - 1)]
        case "code":
            return card.snippet(asked.language, is_brief=is_brief)
        case "maths":
            return _formulas(card, limit)
        case "table" if card.table:
            return card.table.markdown(limit)
    return _bullets(card, limit)


def _swift(card: Card, asked: Question, dice: random.Random) -> tuple[str, list[str]]:
    turn = f"(Turn {asked.turn}, after {_before(asked)}.) " if asked.turn > 1 else ""
    if asked.intent == "shorter":
        return "", [turn + card.verdict]
    lead = card.gist if _wants(asked, card) != "draft" else dice.choice(("Here you go:", "Try this:"))
    closing = dice.choice((f"**Check:** {card.check}", f"In short: {card.verdict[:1].lower()}{card.verdict[1:]}"))
    return "", [turn + lead, _main_part(asked, card, draft=0, limit=3, is_brief=True), closing]


def _steady(card: Card, asked: Question, dice: random.Random) -> tuple[str, list[str]]:
    parts = [f"## {card.title}"]
    if asked.turn > 1:
        parts.append(f"We are at turn {asked.turn}; this follows on from {_before(asked)}.")
    else:
        parts.append(f"You asked about *{asked.topic}*. Here it is in order.")
    parts.append(card.gist)
    kind = _wants(asked, card)
    main = {
        "draft": "The text",
        "code": "The code",
        "maths": "The argument",
        "table": "Side by side",
        "points": "The parts",
    }
    parts += [f"### {main[kind]}", _main_part(asked, card, draft=1)]
    if card.steps and kind != "maths":
        parts += [
            f"### {dice.choice(('Step by step', 'In order', 'How to go about it'))}",
            _numbered(card.steps),
        ]
    if kind != "points":
        parts += [f"### {dice.choice(('What matters', 'Worth knowing'))}", _bullets(card)]
    if card.table and kind not in ("table", "draft"):
        parts += ["### At a glance", card.table.markdown()]
    parts += ["### How to check", f"- [ ] {card.check}", f"**Conclusion.** {card.verdict}"]
    return "", parts


def _cedar(card: Card, asked: Question, dice: random.Random) -> tuple[str, list[str]]:
    thoughts = [
        f"The question is “{asked.topic}”. "
        + dice.choice(("Let me see what is really asked.", "What would settle it?")),
        f"It is turn {asked.turn}; before that came {_before(asked)}, so I should not start from nothing."
        if asked.turn > 1
        else "Nothing came before it, so I must say what I assume.",
    ]
    starts = ("First thought.", "Then there is this.", "And a third thing.")
    thoughts += [f"{start} {name}: {text}" for start, (name, text) in zip(starts, card.points, strict=False)]
    if card.pitfalls:
        thoughts.append(f"Where could this go wrong? {card.pitfalls[0]}")
    thoughts.append(f"I can test it: {card.check} That holds, so I answer: {card.verdict}")
    parts = [f"**{card.verdict}** {card.gist}"]
    if asked.turn > 1:
        parts.append(f"(This builds on {_before(asked)}; we are at turn {asked.turn}.)")
    if asked.intent != "shorter":
        parts.append(_main_part(asked, card, draft=2, is_brief=dice.random() < 0.5))
        reasons = [f"{number}. *{name}*: {text}" for number, (name, text) in enumerate(card.points[:2], 1)]
        parts += ["Two reasons carry this:", "\n".join(reasons)]
        if card.pitfalls:
            parts.append(f"What could change my mind: {card.pitfalls[0]}")
    return "\n\n".join(thoughts), parts


def _harbor(card: Card, asked: Question, dice: random.Random) -> tuple[str, list[str]]:
    parts = []
    if asked.turn > 1:
        parts.append(f"`turn {asked.turn}`, continuing from {_before(asked)}.")
    kind = _wants(asked, card)
    if kind == "draft":
        parts += [
            "```text\n" + card.drafts[0].replace("**", "").replace("> ", "") + "\n```",
            "Plain text, ready to paste.",
        ]
    else:
        parts.append(card.snippet(asked.language))
    if kind == "table" and card.table:
        parts.append(card.table.markdown())
    if kind == "maths":
        parts.append(_formulas(card, 2))
    parts += [f"**{dice.choice(('What it does', 'Why like this'))}.** {card.gist}", _bullets(card, 3)]
    if card.pitfalls:
        heading = "Mind" if kind == "draft" else "Edge cases"
        parts.append(f"**{heading}**\n\n" + "\n".join(f"- {pitfall}" for pitfall in card.pitfalls))
    parts.append(f"**{'Try it' if kind in ('draft', 'points') else 'Run it'}.** {card.check}")
    return "", parts


def _atlas(card: Card, asked: Question, dice: random.Random) -> tuple[str, list[str]]:
    parts = [f"# {card.title}"]
    if asked.turn > 1:
        parts.append(
            f"We have come to turn {asked.turn} of this conversation, by way of {_before(asked)}; I keep that in mind."
        )
    opening = (
        "Before the answer, a word on the question, because a slightly different one would get a different reply.",
        "I shall give the short answer first and then take it apart, so that you can stop reading where you like.",
    )
    parts += [
        f"You ask about *{asked.topic}*. {dice.choice(opening)}",
        f"> {card.gist}",
        f"## {dice.choice(('At length', 'The longer answer'))}",
    ]
    kind = _wants(asked, card)
    if kind == "draft" and len(card.drafts) > 1:
        parts += ["### Short and plain", card.drafts[0], "### With more room", card.drafts[1]]
    else:
        parts.append(_main_part(asked, card, draft=0))
    if card.paragraphs and kind != "draft":
        parts.append(card.paragraphs[0])
    parts += ["## What it rests on", _nested(card)]
    if card.maths and kind != "maths":
        parts += ["## In symbols", _formulas(card)]
    if card.table and kind != "table":
        parts += ["## For comparison", card.table.markdown()]
    if card.steps:
        parts += ["## If you want to act on it", _numbered(card.steps)]
    if card.code and kind != "code" and not card.is_generic:
        parts += ["## As a program", card.snippet(asked.language)]
    doubt = (
        card.pitfalls[0]
        if card.pitfalls
        else "I know of no serious objection, which is itself a reason to look for one."
    )
    parts += [
        "## Where I would be careful",
        doubt,
        f"A good test: {card.check[:1].lower()}{card.check[1:]}",
        f"**{card.verdict}**",
    ]
    if card.link:
        parts.append(f"Further reading: [{card.link[0]}]({card.link[1]})")
    return "", parts


def _nested(card: Card) -> str:
    lines = []
    for place, (name, text) in enumerate(card.points):
        lines.append(f"- **{name}**\n  - {text[:1].upper()}{text[1:]}")
        if place < len(card.pitfalls):
            lines.append(f"  - *Mind:* {card.pitfalls[place]}")
    return "\n".join(lines)


def _quill(card: Card, asked: Question, dice: random.Random) -> tuple[str, list[str]]:
    parts = []
    if asked.turn > 1:
        parts.append(f"To go on from {_before(asked)}, at what is now our turn {asked.turn}:")
    kind = _wants(asked, card)
    if kind == "draft":
        parts += [card.drafts[-1], "---", f"*A note on the draft:* {card.check}"]
        return "", parts
    opening = (
        "Let me put it the way I would in a letter.",
        "It can be said in a few sentences.",
        "Here is how I would tell it.",
    )
    parts.append(f"On “{asked.topic}”. {dice.choice(opening)} {card.gist}")
    parts += card.paragraphs or (_as_prose(card),)
    if kind in ("code", "maths"):
        parts.append(_main_part(asked, card, draft=0, limit=2, is_brief=True))
    elif kind == "table" and card.table:
        parts += ["Side by side, it looks like this:", card.table.markdown(4)]
    if card.pitfalls:
        parts.append(f"One caution, offered lightly. {card.pitfalls[-1]}")
    parts.append(f"*{card.verdict}*")
    return "", parts


def _as_prose(card: Card) -> str:
    joints = (
        "There is, first, the matter of",
        "Then comes",
        "Beside it stands",
        "And last,",
        "Not to forget",
    )
    said = []
    for joint, (name, text) in zip(joints, card.points, strict=False):
        ending = "" if text.endswith((".", "?", "!")) else "."
        said.append(f"{joint} *{name[:1].lower() + name[1:] if name[1:2].islower() else name}*: {text}{ending}")
    return " ".join(said)


_VOICES: dict[str, Callable[[Card, Question, random.Random], tuple[str, list[str]]]] = {
    "swift": _swift,
    "steady": _steady,
    "cedar": _cedar,
    "harbor": _harbor,
    "atlas": _atlas,
    "quill": _quill,
}
