"""Anthropic's messages: `POST /v1/messages`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from apps.routing.contracts import Needs, Prompt
from apps.routing.wire import anthropic_blocks, fields
from apps.routing.wire.anthropic_writer import Writer
from apps.routing.wire.asked import Asked, Seen, bytes_of
from apps.routing.wire.errors import WireError
from apps.routing.wire.errors import anthropic as error_document
from apps.routing.wire.fields import at

__all__ = ["Writer", "error_document", "read", "read_to_count"]

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_MAX_TOOLS = 128
_MAX_STOPS = 16
_LEAST_BUDGET_TOKENS = 1_024
# From which budget of thoughts on it is which effort, for models that know efforts alone.
_EFFORT_FROM_TOKENS = ((16_384, "high"), (4_096, "medium"), (0, "low"))
_HINTS = {"metadata", "service_tier"}
_NOT_SERVED = {
    "container": "Containers are not served here. Leave it out.",
    "diagnostics": "Diagnostics are not served here. Leave it out.",
    "inference_geo": "Where answers are made is for the workspace's rules. Leave it out.",
    "mcp_servers": "Servers of tools are not called from here. Leave it out.",
    "user_profile_id": "Send the key of whom the call is for. Leave it out.",
}
_NAMES = _HINTS.union(
    _NOT_SERVED,
    {
        "cache_control",
        "max_tokens",
        "messages",
        "model",
        "output_config",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    },
)
# How a tool is offered to Anthropic's own programs and in which pieces its input comes: nothing here depends on it.
_TOOL_HINTS = {"allowed_callers", "defer_loading", "eager_input_streaming", "input_examples"}


def read(body: Mapping[str, Any]) -> Asked:
    """What the body asks for. Raises `WireError` and nothing else, whatever JSON it is."""
    body = fields.body_of(body)
    fields.known(body, _NAMES)
    fields.refuse(body, _NOT_SERVED)
    # A faster place has another price.
    fields.one_of(body, "speed", ("standard",))
    seen = Seen()
    model = fields.model(body)
    max_tokens = fields.whole(body, "max_tokens", 1, fields.MOST_OUTPUT_TOKENS)
    if max_tokens is None:
        raise WireError("max_tokens", "Say how long the answer may become, in tokens.")
    parameters = _parameters(body, max_tokens, seen)
    messages = _messages(body, seen)
    return Asked(
        model=model,
        prompt=Prompt(messages, parameters),
        needs=Needs(tools="tools" in parameters, vision=seen.pictures > 0, json_schema="response_format" in parameters),
        max_output_tokens=max_tokens,
        stream=bool(fields.flag(body, "stream")),
        include_usage=True,
        prompt_bytes=bytes_of(messages, parameters),
    )


def read_to_count(body: Mapping[str, Any]) -> Asked:
    """The same for a request whose tokens are to be counted: it says nothing of the answer's length."""
    return read({**fields.body_of(body), "max_tokens": fields.MOST_OUTPUT_TOKENS})


def _messages(body: Mapping[str, Any], seen: Seen) -> list[Mapping[str, Any]]:
    system = body.get("system")
    told = [] if system is None else [{"role": "system", "content": anthropic_blocks.texts(system, "system", seen)}]
    messages = anthropic_blocks.read(body.get("messages"), seen)
    # A mark of the whole request is one of its last block.
    if marked := anthropic_blocks.marked(body, "", seen):
        messages[-1] = {**messages[-1], **marked}
    return [*told, *messages]


def _parameters(body: Mapping[str, Any], max_tokens: int, seen: Seen) -> dict[str, Any]:
    tools = _tools(body, seen)
    stops = body.get("stop_sequences")
    given: dict[str, Any] = {
        "temperature": fields.number(body, "temperature", 0, 1),
        "top_p": fields.number(body, "top_p", 0, 1),
        "top_k": fields.whole(body, "top_k", 1, 100_000),
        "stop": None if stops is None else _stops(stops) or None,
        "tools": tools or None,
        **_choice(body, tools),
        **_thinking(body, max_tokens),
    }
    return {name: value for name, value in given.items() if value is not None}


def _stops(given: Any) -> list[str]:
    return fields.texts(fields.a_list(given, "stop_sequences", most=_MAX_STOPS), "stop_sequences", most=_MAX_STOPS)


def _tools(body: Mapping[str, Any], seen: Seen) -> list[Mapping[str, Any]]:
    given = body.get("tools")
    if given is None:
        return []
    return [
        _tool(one, f"tools.{place}", seen) for place, one in enumerate(fields.a_list(given, "tools", most=_MAX_TOOLS))
    ]


def _tool(value: Any, path: str, seen: Seen) -> Mapping[str, Any]:
    tool = fields.an_object(value, path)
    if tool.get("type") not in (None, "custom"):
        raise WireError(at(path, "type"), "Tools that run at a provider are not served here. Describe one of your own.")
    names = _TOOL_HINTS | {"type", "name", "description", "input_schema", "strict", "cache_control"}
    fields.known(tool, names, path)
    function: dict[str, Any] = {"name": fields.a_name(tool.get("name"), at(path, "name"), _NAME)}
    if tool.get("description") is not None:
        function["description"] = fields.a_text(tool["description"], at(path, "description"))
    function["parameters"] = fields.an_object_of_json(tool.get("input_schema"), at(path, "input_schema"))
    strict = fields.flag(tool, "strict", path)
    if strict is not None:
        function["strict"] = strict
    return {"type": "function", "function": function, **anthropic_blocks.marked(tool, path, seen)}


def _choice(body: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    given = body.get("tool_choice")
    if given is None:
        return {}
    choice = fields.an_object(given, "tool_choice")
    fields.known(choice, {"type", "name", "disable_parallel_tool_use"}, "tool_choice")
    kind = fields.one_of(choice, "type", (*_CHOICES, "tool"), "tool_choice")
    one_only = fields.flag(choice, "disable_parallel_tool_use", "tool_choice")
    if kind is None:
        raise WireError("tool_choice.type", f"Send one of: {', '.join((*_CHOICES, 'tool'))}.")
    if not tools:
        if kind in ("auto", "none"):
            return {}
        raise WireError("tool_choice", "This is of use only where tools are given.")
    chosen: Any = _CHOICES.get(kind)
    if kind == "tool":
        name = choice.get("name")
        if not any(tool["function"]["name"] == name for tool in tools):
            raise WireError("tool_choice.name", "There is no tool of this name in the request.")
        chosen = {"type": "function", "function": {"name": name}}
    return {"tool_choice": chosen, "parallel_tool_calls": False if one_only else None}


def _thinking(body: Mapping[str, Any], max_tokens: int) -> dict[str, Any]:
    """Effort, budget of thoughts and schema of the answer. Efforts are known to all; a budget to Anthropic alone."""
    config = fields.an_object(body.get("output_config") or {}, "output_config")
    fields.known(config, {"effort", "format"}, "output_config")
    effort = fields.one_of(config, "effort", _EFFORTS, "output_config")
    asked: dict[str, Any] = {"response_format": _format(config.get("format"))}
    given = body.get("thinking")
    if given is None:
        return {**asked, "reasoning_effort": effort}
    thinking = fields.an_object(given, "thinking")
    fields.known(thinking, {"type", "budget_tokens", "display"}, "thinking")
    kind = fields.one_of(thinking, "type", ("enabled", "disabled", "adaptive"), "thinking")
    fields.one_of(thinking, "display", ("summarized", "omitted"), "thinking")
    if kind is None:
        raise WireError("thinking.type", "Send enabled, adaptive or disabled.")
    if kind == "disabled":
        return asked
    if kind == "adaptive":
        return {**asked, "reasoning_effort": effort or "high"}
    budget_tokens = fields.whole(thinking, "budget_tokens", _LEAST_BUDGET_TOKENS, fields.MOST_OUTPUT_TOKENS, "thinking")
    if budget_tokens is None or budget_tokens >= max_tokens:
        raise WireError("thinking.budget_tokens", "Send a whole number below “max_tokens”.")
    of_budget = next(name for least_tokens, name in _EFFORT_FROM_TOKENS if budget_tokens >= least_tokens)
    kept = {"type": "enabled", "budget_tokens": budget_tokens}
    return {**asked, "reasoning_effort": effort or of_budget, "thinking": kept}


def _format(given: Any, path: str = "output_config.format") -> Mapping[str, Any] | None:
    if given is None:
        return None
    wanted = fields.an_object(given, path)
    fields.known(wanted, {"type", "schema", "name"}, path)
    if wanted.get("type") != "json_schema":
        raise WireError(at(path, "type"), "Send “json_schema”.")
    schema = fields.an_object_of_json(wanted.get("schema"), at(path, "schema"))
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
