"""Reads a conversation: what is asked, about what, in which language of code, at which turn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simulator.tokens import text_of

_MAX_TOPIC_WORDS = 9
_TOPIC_CHARS = 80
_UNSAFE_MARKUP = re.compile(r"[`*_|<>\[\]\\$#~{}]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n|;\s")
_WORD = re.compile(r"[\w'-]+")
_LEAD_IN = re.compile(
    r"^(?:(?:hi|hello|hey|ok|okay|so|well|now|then|and|please|kindly)\b[\s,!.]*"
    r"|(?:can|could|would|will) you (?:please )?"
    r"|i (?:want|need|would like|'d like) (?:you )?(?:to )?|let's |help me (?:to )?"
    r"|(?:show|tell|give|explain|describe|write|draft|compose|create|make|build|implement|code|generate|compare"
    r"|contrast|discuss|outline|list|summari[sz]e|solve|prove|derive|compute|calculate|find|fill|announce|plan|design"
    r"|fix|translate)(?: (?:me|us|down|up|out|to me))?\b\s*"
    r"|(?:what(?:'s| is| are| was)|who(?:'s| is)|how to|why (?:is|are|do|does|did)?|when (?:is|should)|where (?:is|are)"
    r"|how (?:do|does|did|can|should|would)(?: (?:i|we|you|one|it))?|is|are|should i|which)\b\s+"
    r"|(?:a|an|the|some|about|of|between|me|to|for) )",
    re.IGNORECASE,
)

# The first that matches decides, so the narrow ones come first.
_INTENTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (intent, re.compile(pattern, re.IGNORECASE))
    for intent, pattern in (
        ("title", r"\b(title|name|headline)\b.{0,60}\b(conversation|chat|dialog(ue)?|words)\b"),
        ("thanks", r"^\W*(thanks|thank you|cheers|great|perfect|nice|awesome)\b.{0,40}$"),
        ("greeting", r"^\W*(hi|hello|hey|good (morning|afternoon|evening)|test|ping)\b.{0,30}$"),
        ("summary", r"\b(summari[sz]e|summary|tl;?dr|in short|recap|key points)\b"),
        ("shorter", r"^.{0,30}\b(shorter|more briefly|one sentence|condense)\b.{0,60}$"),
        ("more", r"^\W*(continue|go on|more|and then|elaborate|keep going|tell me more|expand)\b.{0,40}$"),
        (
            "code",
            r"\b(code|function|script|program|class|method|snippet|regex(p)?|query|endpoint|decorator|unit tests?"
            r"|refactor|debug|compile|implement|bug|race|worker pool|stack trace|algorithm)\b|```",
        ),
        (
            "maths",
            r"\b(prove|proof|solve|derive|derivative|integral|integrate|equation|theorem|converges?|diverges?|series|matrix"
            r"|eigenvalues?|probability|bayes|limits? of|sum of"
            r"|factorial|quadratic|logarithm|maths?|mathematics|mathematical"
            r"|formula|latex|geometry|calculus)\b|\bx\^2|\\frac|\$.+\$",
        ),
        (
            "comparison",
            r"\b(compare|comparison|versus|vs\.?|difference(s)? between|trade-?offs?|pros and "
            r"cons|better than"
            r"|table|which (one|is better)|alternatives?|options)\b",
        ),
        (
            "writing",
            r"\b(write|draft|compose|announce|letter|e-?mail|poem|story|essay|blog|post|speech|apology|invitation"
            r"|newsletter|reply|tone|paragraph|haiku|toast|rewrite)\b",
        ),
        (
            "plan",
            r"\b(plan|steps?|checklist|how (do|can|should|to)|guide|roadmap|schedule|set "
            r"?up|migrat\w+|organi[sz]e)\b",
        ),
    )
)

_LANGUAGES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (language, re.compile(pattern, re.IGNORECASE))
    for language, pattern in (
        ("typescript", r"\btypescript\b|\bts\b|\bangular\b"),
        ("javascript", r"\b(javascript|js|node(\.?js)?|react|vue|browser)\b"),
        ("python", r"\b(python|django|flask|fastapi|pandas|numpy|asyncio|pytest|celery)\b"),
        ("go", r"\b(golang|goroutines?)\b|\b(?-i:Go)\b|\bgo (code|program|worker|function|channel)"),
        ("rust", r"\b(rust|cargo|tokio)\b"),
        ("sql", r"\b(sql|postgres(ql)?|mysql|sqlite|select statement|window function)\b"),
        ("bash", r"\b(bash|shell|zsh|awk|sed|cron)\b"),
        ("java", r"\b(java|spring|kotlin)\b"),
        ("html", r"\b(html|web page|form markup)\b"),
        ("css", r"\b(css|flexbox|grid layout|stylesheet)\b"),
    )
)


@dataclass(frozen=True, slots=True)
class Question:
    """The last question of a conversation. `turn` counts the user's messages from 1; `language` may be ""."""

    text: str
    topic: str
    intent: str
    language: str
    turn: int
    earlier_topics: tuple[str, ...]
    tool_result: tuple[str, str] | None  # name and content

    def gist(self) -> str:
        """One honest sentence for callers who want no prose."""
        return f"A simulated answer about {self.topic}."


def words(text: str) -> set[str]:
    """The distinct words of a text, in lower case."""
    return {word.lower() for word in _WORD.findall(text)}


def topic_of(text: str) -> str:
    """A few words that name what a text is about, safe to place inside Markdown."""
    plain = text.split("```")[0] or text
    sentences = [part for part in _SENTENCE_END.split(plain) if part.strip()]
    topic = _UNSAFE_MARKUP.sub(" ", sentences[0] if sentences else plain)
    topic = " ".join(topic.split()).strip(" .,:;!?\"'“”")
    whole = topic
    while (shorter := _LEAD_IN.sub("", topic, count=1)) != topic and shorter:
        topic = shorter
    topic = re.sub(r"\s+works?$", "", topic)
    if len(topic) < 3:
        topic = whole
    topic = " ".join(topic.split()[:_MAX_TOPIC_WORDS])[:_TOPIC_CHARS].rstrip(" .,:;!?")
    return topic or "your question"


def read(messages: Sequence[dict[str, Any]]) -> Question:
    """The question at the end of a conversation."""
    asked = [text_of(m.get("content")) for m in messages if m["role"] == "user"]
    system = [text_of(m.get("content")) for m in messages if m["role"] in ("system", "developer")]
    text = asked[-1] if asked else (system[-1] if system else "")
    intent = _first(_INTENTS, text)
    if intent is None and system and re.search(_INTENTS[0][1], system[-1]):
        intent = "title"
    language = _first(_LANGUAGES, text) or ""
    if language and intent in (None, "plan", "writing"):
        intent = "code"
    return Question(
        text=text,
        topic=topic_of(text),
        intent=intent or "explain",
        language=language,
        turn=max(1, len(asked)),
        earlier_topics=tuple(map(topic_of, asked[:-1])),
        tool_result=_tool_result(messages),
    )


def _first(table: tuple[tuple[str, re.Pattern[str]], ...], text: str) -> str | None:
    return next((name for name, pattern in table if pattern.search(text)), None)


def _tool_result(messages: Sequence[dict[str, Any]]) -> tuple[str, str] | None:
    last = messages[-1]
    if last["role"] not in ("tool", "function"):
        return None
    names = {
        str(call.get("id")): str((call.get("function") or {}).get("name"))
        for message in messages
        for call in message.get("tool_calls") or ()
    }
    name = names.get(str(last.get("tool_call_id"))) or str(last.get("name") or "the tool")
    return name, text_of(last.get("content"))
