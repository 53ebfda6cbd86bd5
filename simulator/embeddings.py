"""Deterministic unit vectors: texts that share words lie close together, others nearly at right angles."""

from __future__ import annotations

import base64
import math
import random
import re
import struct
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from simulator.catalogue import Model
from simulator.errors import InvalidRequest
from simulator.tokens import count, tokenize

_WORD = re.compile(r"\w+")
_MAX_INPUTS = 2048
_MAX_DIMENSIONS = 4096


@lru_cache(maxsize=20_000)
def _word_vector(word: str, dimensions: int) -> tuple[float, ...]:
    seed = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    gauss = random.Random(seed).gauss
    return tuple(gauss(0.0, 1.0) for _ in range(dimensions))


def embed(text: str, dimensions: int) -> list[float]:
    """The text's vector, of length 1: the sum of its words' directions, rare repeats damped."""
    words = _WORD.findall(text.lower()) or tokenize(text) or ["\0"]
    total = [0.0] * dimensions
    for word in sorted(set(words)):
        weight = 1.0 + math.log(words.count(word))
        for position, value in enumerate(_word_vector(word, dimensions)):
            total[position] += weight * value
    norm = math.sqrt(sum(value * value for value in total))
    return [value / norm for value in total]


def embeddings_body(body: dict[str, Any], model: Model, requested: str) -> tuple[dict[str, Any], int]:
    """The answer to `POST /v1/embeddings` and its input tokens. Raises InvalidRequest."""
    if not model.dimensions:
        raise InvalidRequest(f"The model `{requested}` does not make embeddings.", param="model")
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 1 <= len(texts) <= _MAX_INPUTS:
        raise InvalidRequest(f"`input` must be a text or 1 to {_MAX_INPUTS} texts.", param="input")
    if not all(isinstance(text, str) and text for text in texts):
        raise InvalidRequest("Each `input` must be a text that is not empty.", param="input")
    dimensions = body.get("dimensions", model.dimensions)
    if isinstance(dimensions, bool) or not isinstance(dimensions, int) or not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise InvalidRequest(f"`dimensions` must be 1 to {_MAX_DIMENSIONS}.", param="dimensions")
    encoding = body.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise InvalidRequest("`encoding_format` must be float or base64.", param="encoding_format")
    data = []
    for index, text in enumerate(texts):
        vector: Any = embed(text, dimensions)
        if encoding == "base64":
            vector = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    prompt_tokens = sum(count(text) for text in texts)
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    return {"object": "list", "data": data, "model": requested, "usage": usage}, prompt_tokens
