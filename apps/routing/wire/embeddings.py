"""OpenAI's embeddings: `POST /v1/embeddings`."""

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.routing import tokens
from apps.routing.contracts import Usage
from apps.routing.wire import fields
from apps.routing.wire.errors import WireError
from apps.routing.wire.errors import openai_embeddings as error_document

__all__ = ["AskedVectors", "document", "error_document", "read", "upstream_body"]

MAX_INPUTS = 2_048
MAX_DIMENSIONS = 8_192
_MAX_TOKENS_OF_ONE = 100_000
_MAX_TOKEN_ID = 10_000_000
_NAMES = {"dimensions", "encoding_format", "input", "model", "user"}


@dataclass(frozen=True, slots=True)
class AskedVectors:
    """One vector is wanted for each input, which is a text or the numbers of its tokens.

    `input_bound_tokens`: no tokenizer makes more of them; `input_tokens`: about so many they are. `packed`: vectors go
    out as base64 of little-endian floats.
    """

    model: str
    inputs: Sequence[str | Sequence[int]]
    dimensions: int | None
    packed: bool
    input_bound_tokens: int
    input_tokens: int = 0


def read(body: Mapping[str, Any]) -> AskedVectors:
    """What the body asks for. Raises `WireError` and nothing else, whatever JSON it is."""
    body = fields.body_of(body)
    fields.known(body, _NAMES)
    model = fields.model(body)
    inputs = _inputs(body.get("input"))
    dimensions = fields.whole(body, "dimensions", 1, MAX_DIMENSIONS)
    encoding = fields.one_of(body, "encoding_format", ("float", "base64"))
    bound, likely = sum(map(_bound_tokens, inputs)), sum(map(_likely_tokens, inputs))
    return AskedVectors(model, inputs, dimensions, encoding == "base64", bound, likely)


def upstream_body(asked: AskedVectors, upstream_model: str) -> dict[str, Any]:
    """What a provider of OpenAI's form is sent."""
    body = {"model": upstream_model, "input": list(asked.inputs), "encoding_format": "float"}
    return body if asked.dimensions is None else {**body, "dimensions": asked.dimensions}


def document(asked: AskedVectors, vectors: Sequence[Sequence[float]], usage: Usage) -> dict[str, Any]:
    """The answer: a vector for each input, in their order."""
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if asked.packed else list(vector)}
        for index, vector in enumerate(vectors)
    ]
    counts = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
    return {"object": "list", "data": data, "model": asked.model, "usage": counts}


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _inputs(given: Any) -> Sequence[str | Sequence[int]]:
    """A text, several, or as many lists of tokens; a list of numbers alone is one of them."""
    if isinstance(given, str):
        return [_text(given, "input")]
    listed = fields.a_list(given, "input", least=1, most=_MAX_TOKENS_OF_ONE)
    if _is_token(listed[0]):
        return [_tokens(listed, "input")]
    if len(listed) > MAX_INPUTS:
        raise WireError("input", f"Send {MAX_INPUTS:,} inputs at most.")
    return [
        _text(one, f"input.{place}") if isinstance(one, str) else _tokens(one, f"input.{place}")
        for place, one in enumerate(listed)
    ]


def _text(value: str, path: str) -> str:
    text = fields.a_text(value, path, empty=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise WireError(path, "The text contains half of a surrogate pair; send valid Unicode.") from error
    return text


def _tokens(value: Any, path: str) -> Sequence[int]:
    tokens = fields.a_list(value, path, least=1, most=_MAX_TOKENS_OF_ONE)
    if not all(_is_token(one) and 0 <= one < _MAX_TOKEN_ID for one in tokens):
        raise WireError(path, "Send a text, or the numbers of its tokens.")
    return tokens


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _likely_tokens(one: str | Sequence[int]) -> int:
    return tokens.likely_input(len(one.encode())) if isinstance(one, str) else len(one)


def _bound_tokens(one: str | Sequence[int]) -> int:
    # A token covers a byte at least; two marks may be put around each input.
    return (len(one.encode()) if isinstance(one, str) else len(one)) + 2
