"""Short exchanges that need no card: greetings, thanks, titles, summaries, results of tools."""

from __future__ import annotations

import random

from simulator.corpus.question import Question

_GREETINGS = {
    "swift": ("Hello! What shall we look at?", "Hi. Ask away; I keep it short."),
    "steady": (
        "Good day. I can:\n\n1. **explain** something, with headings;\n2. **compare** things in a "
        "table;\n3. **plan** something, "
        "step by step.\n\nWhere shall we begin?",
    ),
    "cedar": ("Hello. Ask me something with a catch in it; I will think first and show you how.",),
    "harbor": ("Hi. Give me a task:\n\n```text\nlanguage: any\ninput:    what you have\noutput:   what you want\n```",),
    "atlas": (
        "Welcome. I take my time and try to say where my knowledge ends. A good question for me is "
        "one that deserves a page: "
        "a decision with several sides, a concept, a plan.\n\n> What would you like to understand by "
        "the end of this?",
    ),
    "quill": (
        "Good to hear from you. Shall we write something? A letter, a difficult sentence, a toast for Saturday?",
    ),
}
_THANKS = {
    "swift": "You're welcome.",
    "steady": "You are welcome. If it does not work as described, tell me at which step.",
    "cedar": "With pleasure. One thing I would still check: whether the assumption I named holds in your case.",
    "harbor": "`exit 0` — glad it runs.",
    "atlas": "You are very welcome. Do come back with what you find in practice; it is usually more "
    "interesting than what one plans.",
    "quill": "The pleasure was mine. Thank you for saying so.",
}


def speak(voice: str, asked: Question, dice: random.Random) -> str | None:
    """The short answer, or None when the question wants more than that."""
    if asked.tool_result is not None:
        return _from_tool(voice, *asked.tool_result)
    if asked.intent == "title":
        return _a_title(asked)
    if asked.intent == "greeting":
        return dice.choice(_GREETINGS[voice])
    if asked.intent == "thanks" and asked.turn > 1:
        return _THANKS[voice]
    if asked.intent == "summary" and asked.turn > 1:
        return _summary(asked)
    return None


def _from_tool(voice: str, name: str, content: str) -> str:
    quoted = "\n".join(f"> {line}" for line in content.strip().splitlines()[:12]) or "> (nothing)"
    if voice == "harbor":
        return f"```json\n{content.strip()[:2000]}\n```\n\nThat is what `{name}` returned, unchanged."
    if voice == "swift":
        return f"`{name}` says:\n\n{quoted}"
    return f"I asked `{name}`, and this is its answer:\n\n{quoted}\n\nWhat I say rests on that result alone."


def _a_title(asked: Question) -> str:
    about = asked.earlier_topics[0] if asked.earlier_topics else asked.topic
    _, colon, quoted = asked.text.rpartition(":")
    words = (quoted if colon and quoted.strip() else about).split()[:6]
    title = " ".join(words).strip(" .,:;!?\"'“”`#*")
    return (title[:1].upper() + title[1:]) or "A new conversation"


def _summary(asked: Question) -> str:
    lines = "\n".join(f"{number}. {topic}" for number, topic in enumerate(asked.earlier_topics, 1))
    return f"So far you asked about:\n\n{lines}\n\nThis is turn {asked.turn}; the next question is yours."
