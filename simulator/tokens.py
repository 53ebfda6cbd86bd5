"""A small deterministic tokenizer. Usage, limits and pacing all count in its tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

# Every character belongs to exactly one token, so joining the tokens of a text gives the text back, and any
# prefix of the token list is itself tokenised into that same prefix.
_TOKEN = re.compile(r" ?\w{1,10}| ?[^\w\s]{1,3}|\s+")

_PER_MESSAGE_TOKENS = 3
_REPLY_PRIMER_TOKENS = 3
_IMAGE_TOKENS = 85


def tokenize(text: str) -> list[str]:
    """The tokens of a text, in order; joined they are the text."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """How many tokens a text has."""
    return len(_TOKEN.findall(text))


def text_of(content: Any) -> str:
    """The text of a message's `content`: a string, null, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            str(part.get("text") or part.get("refusal") or "") for part in content if isinstance(part, Mapping)
        )
    return ""


def count_part(part: Mapping[str, Any]) -> int:
    """Input tokens of one part of a message: text, an image, a call of a tool or its result."""
    if "image" in str(part.get("type")):
        return _IMAGE_TOKENS
    if part.get("type") == "tool_use":
        return count(str(part.get("name"))) + count(orjson.dumps(part.get("input")).decode())
    return count(str(part.get("text") or "")) + count(text_of(part.get("content")))


def count_prompt(messages: Iterable[Mapping[str, Any]]) -> int:
    """Input tokens of a whole conversation, its framing, images and tool calls included."""
    total = _REPLY_PRIMER_TOKENS
    for message in messages:
        content = message.get("content")
        total += _PER_MESSAGE_TOKENS + count(text_of(content)) + count(str(message.get("name") or ""))
        if isinstance(content, list):
            total += _IMAGE_TOKENS * sum(1 for part in content if "image" in str(part.get("type")))
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            total += count(str(function.get("name"))) + count(str(function.get("arguments")))
    return total
