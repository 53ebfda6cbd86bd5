"""Deterministic scores by the words of a text: enough to see what a caller makes of them."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

from simulator.catalogue import Model
from simulator.errors import InvalidRequest
from simulator.tokens import count

_MAX_INPUTS = 32
# Words that raise a category's score, each to the same height; what is said twice is no worse.
_WORDS = {
    "harassment": ("idiot", "loser", "worthless"),
    "harassment/threatening": ("threaten", "hunt"),
    "hate": ("vermin", "subhuman"),
    "hate/threatening": ("exterminate",),
    "illicit": ("counterfeit", "smuggle"),
    "illicit/violent": ("bomb", "explosives"),
    "self-harm": ("suicide", "overdose"),
    "self-harm/instructions": ("noose",),
    "self-harm/intent": ("myself",),
    "sexual": ("erotic", "porn"),
    "sexual/minors": ("underage",),
    "violence": ("murder", "kill", "stab"),
    "violence/graphic": ("gore", "dismember"),
}
_SCORE = 0.92
_BACKGROUND = 0.004
_FLAGGED_FROM = 0.5
# `moderate:violence=0.61` in a text sets a score outright.
_SET = re.compile(r"moderate:([a-z/-]{3,30})=(0(?:\.\d{1,4})?|1(?:\.0{1,4})?)(?![\d.])")
_WORD = re.compile(r"[a-z]+")


def scores(text: str) -> dict[str, float]:
    """The score of each category, 0 to 1."""
    words = set(_WORD.findall(text.lower()))
    found = {name: _SCORE if words & set(marks) else _BACKGROUND for name, marks in _WORDS.items()}
    found.update((name, float(score)) for name, score in _SET.findall(text) if name in found)
    return found


def moderations_body(body: dict[str, Any], model: Model, requested: str) -> tuple[dict[str, Any], int]:
    """The answer to `POST /v1/moderations` and its input tokens, which it does not tell. Raises InvalidRequest."""
    if not model.is_moderation:
        raise InvalidRequest(f"The model `{requested}` does not moderate.", param="model")
    texts = _texts(body.get("input"))
    results = []
    for text in texts:
        found = scores(text)
        flagged = {name: score >= _FLAGGED_FROM for name, score in found.items()}
        results.append({"flagged": any(flagged.values()), "categories": flagged, "category_scores": found})
    named = blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return {"id": f"modr-{named}", "model": requested, "results": results}, sum(count(text) for text in texts)


def _texts(given: Any) -> list[str]:
    """A text, texts, or parts of which each is a text."""
    parts = [given] if isinstance(given, str) else given
    if not isinstance(parts, list) or not 1 <= len(parts) <= _MAX_INPUTS:
        raise InvalidRequest(f"`input` must be a text or 1 to {_MAX_INPUTS} texts.", param="input")
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else part for part in parts]
    if not all(isinstance(text, str) and text for text in texts):
        raise InvalidRequest("Each `input` must be a text that is not empty.", param="input")
    return [str(text) for text in texts]
