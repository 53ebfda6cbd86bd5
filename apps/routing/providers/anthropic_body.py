"""The body of a request to Anthropic's Messages API, from a prompt in OpenAI's form."""

from collections.abc import Mapping
from typing import Any

import orjson

from apps.routing.providers.anthropic_messages import conversation, marked, text_block
from apps.routing.providers.anthropic_models import Traits, traits
from apps.routing.providers.base import Request

_MIN_THINKING_TOKENS = 1_024
# Which part of the allowed output may be thoughts.
_THINKING_SHARES = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.9, "max": 0.9}
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_FORCED = frozenset({"any", "tool"})
_JSON_RULE = "Answer with one JSON object and nothing else: no words around it, no code fence."
# What a schema may say to us and not to Anthropic, which refuses the whole request for it.
_UNSUPPORTED = frozenset(
    {
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "uniqueItems",
    }
)


def body_of(request: Request) -> tuple[bytes, str | None]:
    """The body; and the name of the tool whose input is the answer, where a schema can only be asked for like that.

    `max_tokens` is what was reserved. Who asks is never said. Raises `ProviderRejected` for what cannot be said.
    """
    parameters, model = request.prompt.parameters, traits(request.upstream_model)
    talk = conversation(request.prompt.messages)
    body: dict[str, Any] = {
        "model": request.upstream_model,
        "max_tokens": request.output_tokens_bound,
        "stream": not request.prompt.whole,
    }
    tools, choice = _tools(parameters), _tool_choice(parameters)
    text_tool = None
    if wanted := _wanted_schema(parameters):
        name, schema = wanted
        if model.schemas:
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        else:
            text_tool = name
            tools = [*tools, {"name": name, "description": "Gives the answer.", "input_schema": schema}]
            choice = {"type": "tool", "name": name}
    elif (parameters.get("response_format") or {}).get("type") == "json_object":
        talk.system.append(text_block(_JSON_RULE))
    # Four marks are allowed: who says what is to be cached gets no others from us.
    marks_by_caller = talk.is_marked or any("cache_control" in tool for tool in tools)
    if tools:
        body["tools"] = tools if marks_by_caller else [*tools[:-1], marked(tools[-1])]
        if choice:
            body["tool_choice"] = choice
    # Told to think, older models want back the thoughts that led to their calls, and those are not kept.
    forced = (choice or {}).get("type") in _FORCED
    may_think = not forced and not talk.begins_answer and (model.adaptive or not talk.ends_with_results)
    thinks = may_think and _think(body, parameters, model, request.output_tokens_bound)
    if model.samples and not thinks:
        body |= _sampling(parameters)
    if stops := _stops(parameters):
        body["stop_sequences"] = stops
    if not marks_by_caller:
        talk.mark()
    if talk.system:
        body["system"] = talk.system
    body["messages"] = talk.turns
    return orjson.dumps(body), text_tool


def _think(body: dict[str, Any], parameters: Mapping[str, Any], model: Traits, bound_tokens: int) -> bool:
    """Ask for thoughts where an effort is named; whether it was. A caller's own budget goes before the effort's."""
    effort = parameters.get("reasoning_effort")
    if effort not in _EFFORTS:
        return False
    if model.adaptive:
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        body["output_config"] = {**body.get("output_config", {}), "effort": _EFFORTS[effort]}
        return True
    asked_tokens = (parameters.get("thinking") or {}).get("budget_tokens")
    budget_tokens = asked_tokens or max(_MIN_THINKING_TOKENS, int(bound_tokens * _THINKING_SHARES[effort]))
    if budget_tokens >= bound_tokens:
        return False
    body["thinking"] = {"type": "enabled", "budget_tokens": budget_tokens}
    return True


def _sampling(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """One of temperature and top_p: newer models refuse both together."""
    temperature, top_p, top_k = (parameters.get(name) for name in ("temperature", "top_p", "top_k"))
    most_likely = {} if top_k is None else {"top_k": top_k}
    if temperature is not None:
        # OpenAI's go up to 2.
        return {"temperature": min(temperature, 1.0), **most_likely}
    return most_likely if top_p is None else {"top_p": top_p, **most_likely}


def _stops(parameters: Mapping[str, Any]) -> list[str]:
    stop = parameters.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    # White space alone is refused there.
    return [one for one in stops if one.strip()]


def _tools(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    tools = []
    for tool in parameters.get("tools") or ():
        function = tool.get("function") or {}
        named = {"name": function.get("name"), "description": function.get("description")}
        schema = {"type": "object", "properties": {}, **(function.get("parameters") or {})}
        mark = {"cache_control": tool["cache_control"]} if "cache_control" in tool else {}
        tools.append({key: value for key, value in named.items() if value} | {"input_schema": schema} | mark)
    return tools


def _tool_choice(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    choice = parameters.get("tool_choice")
    if isinstance(choice, Mapping):
        said: dict[str, Any] | None = {"type": "tool", "name": (choice.get("function") or {}).get("name")}
    else:
        said = {"type": _CHOICES[choice]} if choice in _CHOICES else None
    if parameters.get("parallel_tool_calls") is False and (said is None or said["type"] != "none"):
        return {**(said or {"type": "auto"}), "disable_parallel_tool_use": True}
    return said


def _wanted_schema(parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Name and schema of the answer, where one is asked for."""
    wanted = parameters.get("response_format") or {}
    held = wanted.get("json_schema") if wanted.get("type") == "json_schema" else None
    if not isinstance(held, Mapping) or not isinstance(held.get("schema"), Mapping):
        return None
    return str(held.get("name") or "answer"), _closed(held["schema"])


def _closed(schema: Any) -> Any:
    """The schema with every object closed, as Anthropic wants it, and without the bounds that it does not know."""
    if isinstance(schema, list | tuple):
        return [_closed(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            # Here the keys are names of the caller's.
            closed[key] = {name: _closed(one) for name, one in value.items()}
        elif key not in _UNSUPPORTED:
            closed[key] = value if key in ("enum", "const", "default", "examples") else _closed(value)
    if closed.get("type") == "object" or "properties" in closed:
        closed["additionalProperties"] = False
    return closed
