"""Tools, their choice and the form of the answer, in OpenAI's chat form."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from apps.routing.wire import fields
from apps.routing.wire.errors import WireError
from apps.routing.wire.fields import at
from apps.routing.wire.openai_messages import mark

MAX_TOOLS = 128
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WORDS = ("none", "auto", "required")


def tools(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tools of a request; empty where there are none."""
    given = body.get("tools")
    if given is None:
        return []
    return [_tool(one, f"tools.{place}") for place, one in enumerate(fields.a_list(given, "tools", most=MAX_TOOLS))]


def _tool(value: Any, path: str) -> Mapping[str, Any]:
    tool = fields.an_object(value, path)
    fields.known(tool, {"type", "function", "cache_control"}, path)
    if tool.get("type") != "function":
        raise WireError(at(path, "type"), "Send “function”: other kinds of tools are not served here.")
    where = at(path, "function")
    held = fields.an_object(tool.get("function"), where)
    fields.known(held, {"name", "description", "parameters", "strict"}, where)
    return {"type": "function", "function": function(held, where), **mark(tool, path)}


def function(held: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Name, description and schema of a function, whatever else is held beside them."""
    read: dict[str, Any] = {"name": fields.a_name(held.get("name"), at(path, "name"), NAME)}
    if held.get("description") is not None:
        read["description"] = fields.a_text(held["description"], at(path, "description"))
    if held.get("parameters") is not None:
        read["parameters"] = fields.an_object_of_json(held["parameters"], at(path, "parameters"))
    strict = fields.flag(held, "strict", path)
    return read if strict is None else {**read, "strict": strict}


def choice(given: Any, offered: Sequence[Mapping[str, Any]], path: str = "tool_choice") -> Any:
    """Which tool is to be called; None where nothing is said that matters."""
    if given is None or (not offered and given in ("none", "auto")):
        return None
    if not offered:
        raise WireError(path, "This is of use only where tools are given.")
    if given in _WORDS:
        return given
    if not isinstance(given, Mapping) or given.get("type") != "function":
        raise WireError(path, f"Send one of {', '.join(_WORDS)}, or name a function.")
    fields.known(given, {"type", "function"}, path)
    where = at(path, "function")
    held = fields.an_object(given.get("function"), where)
    fields.known(held, {"name"}, where)
    return named(held.get("name"), offered, at(where, "name"))


def named(name: Any, offered: Sequence[Mapping[str, Any]], path: str) -> Mapping[str, Any]:
    """The choice of one tool by name."""
    if not any(tool["function"]["name"] == name for tool in offered):
        raise WireError(path, "There is no tool of this name in the request.")
    return {"type": "function", "function": {"name": name}}


def response_format(given: Any, path: str = "response_format") -> Mapping[str, Any] | None:
    """The form of the answer; None for plain text."""
    if given is None:
        return None
    wanted = fields.an_object(given, path)
    kind = fields.one_of(wanted, "type", ("text", "json_object", "json_schema"), path)
    if kind == "json_schema":
        fields.known(wanted, {"type", "json_schema"}, path)
        where = at(path, "json_schema")
        held = fields.an_object(wanted.get("json_schema"), where)
        fields.known(held, {"name", "description", "schema", "strict"}, where)
        return {"type": "json_schema", "json_schema": schema(held, where)}
    if kind is None:
        raise WireError(at(path, "type"), "Send text, json_object or json_schema.")
    fields.known(wanted, {"type"}, path)
    return {"type": "json_object"} if kind == "json_object" else None


def schema(held: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Name and schema of an answer, whatever else is held beside them."""
    read: dict[str, Any] = {
        "name": fields.a_name(held.get("name"), at(path, "name"), NAME),
        "schema": fields.an_object_of_json(held.get("schema"), at(path, "schema")),
    }
    if held.get("description") is not None:
        read["description"] = fields.a_text(held["description"], at(path, "description"))
    strict = fields.flag(held, "strict", path)
    return read if strict is None else {**read, "strict": strict}
