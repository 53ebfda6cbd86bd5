"""What a chat request asks for, whichever wire format it came in, and what all formats check alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from simulator.errors import InvalidRequest
from simulator.prompt_cache import Block


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request; its messages are in OpenAI's form. `tool_choice` is none, auto, required or a tool's name.

    `prefill` is the beginning of the answer, where the caller wrote it; `blocks` are the prompt's parts, in order,
    where the format lets a caller say what to cache.
    """

    model: str
    messages: list[dict[str, Any]]
    stream: bool
    include_usage: bool
    choices: int
    stop: tuple[str, ...]
    max_tokens: int | None
    seed: int
    tools: tuple[Tool, ...]
    tool_choice: str
    parallel_tool_calls: bool
    json_schema: dict[str, Any] | None  # None = plain text; {} = any object
    thinks: bool = True
    prefill: str = ""
    blocks: tuple[Block, ...] = ()


def parse_body(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises InvalidRequest."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise InvalidRequest("We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    return body


def model_of(body: dict[str, Any]) -> str:
    """The requested model's whole name. Raises InvalidRequest."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("You must provide a model parameter.", param="model")
    return model


def flag(body: dict[str, Any], key: str) -> bool:
    """A field that is true, or false, or left out. Raises InvalidRequest."""
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"`{key}` must be a boolean.", param=key)
    return bool(value)


def number(body: dict[str, Any], key: str, low: float | None, high: float | None) -> float | None:
    """A number within bounds, or None where it is left out. Raises InvalidRequest."""
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"`{key}` must be a number.", param=key)
    if (low is not None and value < low) or (high is not None and value > high):
        raise InvalidRequest(f"`{key}` = {value} is outside its bounds ({low} to {high}).", param=key)
    return value
