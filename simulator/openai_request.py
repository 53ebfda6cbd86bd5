"""Reads and checks the body of `POST /v1/chat/completions`."""

from __future__ import annotations

from typing import Any

from simulator.errors import InvalidRequest
from simulator.request import ChatRequest, Tool, flag, model_of, number

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_MAX_CHOICES = 8
_MAX_STOPS = 4


def parse_chat(body: dict[str, Any]) -> ChatRequest:
    """Checks a chat request as OpenAI does. Raises InvalidRequest naming the field."""
    stream = flag(body, "stream")
    stream_options = body.get("stream_options") or {}
    if stream_options and not stream:
        raise InvalidRequest("`stream_options` is only allowed with `stream`.", param="stream_options")
    number(body, "temperature", 0, 2)
    number(body, "top_p", 0, 1)
    tools = _tools(body)
    longest = number(body, "max_completion_tokens", 1, None) or number(body, "max_tokens", 1, None)
    messages = [*_messages(body)]
    prefill = ""
    if flag(body, "continue_final_message") and messages[-1]["role"] == "assistant":
        prefill = str(messages.pop().get("content") or "")
    return ChatRequest(
        model=model_of(body),
        messages=messages,
        prefill=prefill,
        stream=stream,
        include_usage=bool(stream_options.get("include_usage")),
        choices=int(number(body, "n", 1, _MAX_CHOICES) or 1),
        stop=_stop(body),
        max_tokens=None if longest is None else int(longest),
        seed=int(number(body, "seed", None, None) or 0),
        tools=tools,
        tool_choice=_tool_choice(body, tools),
        parallel_tool_calls=body.get("parallel_tool_calls") is not False,
        json_schema=_json_schema(body),
    )


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("`messages` must be a list with at least one message.", param="messages")
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise InvalidRequest(f"`{where}.role` must be one of {', '.join(sorted(_ROLES))}.", param=where)
        content = message.get("content")
        if content is None and message["role"] != "assistant":
            raise InvalidRequest(f"`{where}.content` must not be null.", param=where)
        if isinstance(content, list) and not all(isinstance(part, dict) and "type" in part for part in content):
            raise InvalidRequest(f"Each part of `{where}.content` needs a `type`.", param=where)
        if content is not None and not isinstance(content, str | list):
            raise InvalidRequest(f"`{where}.content` must be a string or a list of parts.", param=where)
        if message["role"] == "tool" and not message.get("tool_call_id"):
            raise InvalidRequest(f"`{where}.tool_call_id` is missing.", param=where)
        calls = message.get("tool_calls")
        if calls is not None and not (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)):
            raise InvalidRequest(f"`{where}.tool_calls` must be a list of objects.", param=where)
    return messages


def _stop(body: dict[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    stops = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or len(stops) > _MAX_STOPS or not all(isinstance(s, str) and s for s in stops):
        raise InvalidRequest(f"`stop` must be a string or up to {_MAX_STOPS} strings.", param="stop")
    return tuple(stops)


def _tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    tools = body.get("tools")
    if tools is None:
        return ()
    if not isinstance(tools, list):
        raise InvalidRequest("`tools` must be a list.", param="tools")
    found = []
    for position, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidRequest(f"`tools[{position}]` must be a function with a name.", param="tools")
        parameters = function.get("parameters")
        found.append(
            Tool(
                function["name"],
                str(function.get("description") or ""),
                parameters if isinstance(parameters, dict) else {},
            )
        )
    return tuple(found)


def _tool_choice(body: dict[str, Any], tools: tuple[Tool, ...]) -> str:
    choice = body.get("tool_choice")
    if choice is None:
        return "auto" if tools else "none"
    if not tools:
        raise InvalidRequest("`tool_choice` is only allowed when `tools` are given.", param="tool_choice")
    if choice in ("none", "auto", "required"):
        return str(choice)
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if name not in {tool.name for tool in tools}:
        raise InvalidRequest("`tool_choice` names no tool of this request.", param="tool_choice")
    return str(name)


def _json_schema(body: dict[str, Any]) -> dict[str, Any] | None:
    response_format = body.get("response_format")
    if response_format is None:
        return None
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {}
    if kind == "json_schema":
        holder = response_format.get("json_schema")
        schema = holder.get("schema") if isinstance(holder, dict) else None
        if isinstance(schema, dict):
            return schema
    raise InvalidRequest(
        "`response_format` must be text, json_object or json_schema with a schema.", param="response_format"
    )
