"""Reads and checks the body of Anthropic's `POST /v1/messages`: its blocks become messages in OpenAI's form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from simulator import tokens
from simulator.errors import InvalidRequest
from simulator.prompt_cache import Block
from simulator.request import ChatRequest, Tool, flag, model_of, number

_MAX_MARKERS = 4
_MIN_THINKING_TOKENS = 1024
_PARTS = {
    "user": frozenset({"text", "image", "document", "tool_result"}),
    "assistant": frozenset({"text", "thinking", "redacted_thinking", "tool_use"}),
}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}

Part = dict[str, Any]


def parse_messages(body: dict[str, Any], *, counting: bool = False) -> ChatRequest:
    """Checks a request as Anthropic does. Raises InvalidRequest naming the field. To count, no limit is needed."""
    longest = number(body, "max_tokens", 1, None)
    if longest is None and not counting:
        raise InvalidRequest("max_tokens: Field required", param="max_tokens")
    number(body, "temperature", 0, 1)
    number(body, "top_p", 0, 1)
    system, turns = _system(body), _turns(body)
    tools = _tools(body)
    prefill = _prefill(turns)
    thinks = _thinks(body, longest, prefilled=bool(prefill))
    choice, in_parallel = _tool_choice(body, tools)
    return ChatRequest(
        model=model_of(body),
        messages=_openai_form(system, turns[:-1] if prefill else turns),
        stream=flag(body, "stream"),
        include_usage=True,
        choices=1,
        stop=_stops(body),
        max_tokens=None if longest is None else int(longest),
        seed=0,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=in_parallel,
        json_schema=_json_schema(body),
        thinks=thinks,
        prefill=prefill,
        blocks=_blocks(body.get("tools") or [], system, turns),
    )


def _parts(content: Any, where: str, kinds: frozenset[str]) -> list[Part]:
    """The blocks of a `content`; a string is one of text."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list) or not content:
        raise InvalidRequest(f"{where}: Input should be a valid list", param=where)
    for place, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") not in kinds:
            raise InvalidRequest(f"{where}.{place}: Input tag should be one of {', '.join(sorted(kinds))}", param=where)
        if part["type"] == "text" and not (isinstance(part.get("text"), str) and part["text"]):
            raise InvalidRequest(f"{where}.{place}: text content blocks must be non-empty", param=where)
    return list(content)


def _system(body: dict[str, Any]) -> list[Part]:
    system = body.get("system")
    return [] if not system else _parts(system, "system", frozenset({"text"}))


def _turns(body: dict[str, Any]) -> list[tuple[str, list[Part]]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages: at least one message is required", param="messages")
    turns: list[tuple[str, list[Part]]] = []
    for place, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _PARTS:
            raise InvalidRequest(f"messages.{place}.role: Input should be 'user' or 'assistant'", param="messages")
        parts = _parts(message.get("content"), f"messages.{place}.content", _PARTS[role])
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(parts)
        else:
            turns.append((role, parts))
    if turns[0][0] != "user":
        raise InvalidRequest('messages: first message must use the "user" role', param="messages")
    _check_results(turns)
    return turns


def _check_results(turns: list[tuple[str, list[Part]]]) -> None:
    """Every call of a tool has its result in the message that follows, and no result is without its call."""
    asked: set[str] = set()
    for role, parts in turns:
        given = {str(part.get("tool_use_id")) for part in parts if part["type"] == "tool_result"}
        if role == "user" and given != asked:
            if missing := asked - given:
                said = f"`tool_use` ids were found without `tool_result` blocks immediately after: {sorted(missing)}"
            else:
                said = f"unexpected `tool_use_id` found in `tool_result` blocks: {sorted(given - asked)}"
            raise InvalidRequest(f"messages: {said}", param="messages")
        asked = {str(part.get("id")) for part in parts if part["type"] == "tool_use"}


def _prefill(turns: list[tuple[str, list[Part]]]) -> str:
    """The beginning of the answer that a trailing message of the assistant is."""
    role, parts = turns[-1]
    if role != "assistant":
        return ""
    text = "".join(part["text"] for part in parts if part["type"] == "text")
    if text != text.rstrip():
        said = "final assistant content cannot end with trailing whitespace"
        raise InvalidRequest(f"messages: {said}", param="messages")
    return text


def _thinks(body: dict[str, Any], longest: float | None, *, prefilled: bool) -> bool:
    thinking = body.get("thinking")
    thinking = thinking if isinstance(thinking, dict) else {}
    kind = thinking.get("type")
    if kind in (None, "disabled"):
        return False
    budget = number(thinking, "budget_tokens", None, None) if kind == "enabled" else _MIN_THINKING_TOKENS
    if budget is None or budget < _MIN_THINKING_TOKENS:
        said = f"Input should be greater than or equal to {_MIN_THINKING_TOKENS}"
        raise InvalidRequest(f"thinking.enabled.budget_tokens: {said}", param="thinking")
    if kind == "enabled" and longest is not None and budget >= longest:
        raise InvalidRequest("`max_tokens` must be greater than `thinking.budget_tokens`", param="max_tokens")
    if body.get("temperature") not in (None, 1) or body.get("top_k") is not None:
        raise InvalidRequest("`temperature` may only be set to 1 when thinking is enabled", param="temperature")
    if prefilled or (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise InvalidRequest("Thinking may not be enabled with a prefill or a forced tool", param="thinking")
    return True


def _tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    found = []
    for place, tool in enumerate(body.get("tools") or ()):
        schema = tool.get("input_schema") if isinstance(tool, dict) else None
        if not isinstance(schema, dict) or schema.get("type") != "object" or not isinstance(tool.get("name"), str):
            raise InvalidRequest(
                f"tools.{place}: a name and an input_schema of type object are required", param="tools"
            )
        found.append(Tool(tool["name"], str(tool.get("description") or ""), schema))
    return tuple(found)


def _tool_choice(body: dict[str, Any], tools: tuple[Tool, ...]) -> tuple[str, bool]:
    """None, auto, required or the name of a tool; and whether several may be called at once."""
    choice = body.get("tool_choice")
    if choice is None:
        return ("auto" if tools else "none"), True
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool" and choice.get("name") in {tool.name for tool in tools}:
        return str(choice["name"]), not choice.get("disable_parallel_tool_use")
    if kind not in _CHOICES or not tools:
        raise InvalidRequest("tool_choice: Input should be auto, any, none or a tool of this request", param="tools")
    return _CHOICES[kind], not choice.get("disable_parallel_tool_use")


def _stops(body: dict[str, Any]) -> tuple[str, ...]:
    stops = body.get("stop_sequences") or []
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop.strip() for stop in stops):
        said = "each stop sequence must contain non-whitespace"
        raise InvalidRequest(f"stop_sequences: {said}", param="stop_sequences")
    return tuple(stops)


def _json_schema(body: dict[str, Any]) -> dict[str, Any] | None:
    wanted = (body.get("output_config") or {}).get("format")
    if wanted is None:
        return None
    schema = wanted.get("schema") if isinstance(wanted, dict) and wanted.get("type") == "json_schema" else None
    if not isinstance(schema, dict):
        raise InvalidRequest("output_config.format: Input should be a json_schema with a schema", param="output_config")
    return schema


def _openai_form(system: list[Part], turns: list[tuple[str, list[Part]]]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if system:
        messages.append({"role": "system", "content": _content(system)})
    for role, parts in turns:
        messages += _user(parts) if role == "user" else [_assistant(parts)]
    return messages


def _user(parts: list[Part]) -> Iterator[dict[str, Any]]:
    said = []
    for part in parts:
        if part["type"] == "tool_result":
            text = tokens.text_of(part.get("content"))
            yield {"role": "tool", "tool_call_id": part.get("tool_use_id"), "content": text}
        else:
            said.append(part)
    if said:
        yield {"role": "user", "content": _content(said)}


def _assistant(parts: list[Part]) -> dict[str, Any]:
    said = [part for part in parts if part["type"] == "text"]
    message: dict[str, Any] = {"role": "assistant", "content": _content(said) if said else None}
    calls = [
        {
            "id": part.get("id"),
            "type": "function",
            "function": {"name": part.get("name"), "arguments": orjson.dumps(part.get("input")).decode()},
        }
        for part in parts
        if part["type"] == "tool_use"
    ]
    return {**message, "tool_calls": calls} if calls else message


def _content(parts: list[Part]) -> str | list[Part]:
    """As OpenAI's callers write it, so that the same question is answered alike over either format."""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return [{key: value for key, value in part.items() if key != "cache_control"} for part in parts]


def _blocks(tools: list[Part], system: list[Part], turns: list[tuple[str, list[Part]]]) -> tuple[Block, ...]:
    """The prompt's parts in the order in which they are cached."""
    found = []
    for role, parts in (("tools", tools), ("system", system), *turns):
        for part in parts:
            content = {key: value for key, value in part.items() if key != "cache_control"}
            size = 0 if role == "tools" else tokens.count_part(content)
            found.append(Block(orjson.dumps([role, content]), size, part.get("cache_control") is not None))
    if (markers := sum(block.marked for block in found)) > _MAX_MARKERS:
        said = f"A maximum of {_MAX_MARKERS} blocks with cache_control may be provided. Found {markers}."
        raise InvalidRequest(said, param="cache_control")
    return tuple(found)
