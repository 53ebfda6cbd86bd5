"""OpenAI's responses: `POST /v1/responses`. Nothing is kept between two of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from apps.routing.contracts import Needs, Prompt
from apps.routing.wire import fields, openai_tools
from apps.routing.wire.asked import Asked, Seen, bytes_of
from apps.routing.wire.errors import WireError
from apps.routing.wire.errors import openai_responses as error_document
from apps.routing.wire.fields import at
from apps.routing.wire.openai_chat import EFFORTS, VERBOSITIES
from apps.routing.wire.responses_input import Reader
from apps.routing.wire.responses_writer import Writer

__all__ = ["Writer", "error_document", "read"]

_LOGPROBS = "message.output_text.logprobs"
_INCLUDED = (_LOGPROBS, "reasoning.encrypted_content")
_HINTS = {
    "max_tool_calls",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
    "user",
}
_NOT_SERVED = {
    "context_management": "Prompts are not cut short here. Leave it out.",
    "conversation": "Nothing is kept between two responses. Send the whole conversation as “input”.",
    "moderation": "What may be said is for the workspace's rules. Leave it out.",
    "previous_response_id": "Nothing is kept between two responses. Send the whole conversation as “input”.",
    "prompt": "Prompts that a provider keeps are not served here. Send it as “input”.",
}
_NAMES = _HINTS.union(
    _NOT_SERVED,
    {
        "background",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "metadata",
        "model",
        "parallel_tool_calls",
        "reasoning",
        "service_tier",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
    },
)


def read(body: Mapping[str, Any]) -> Asked:
    """What the body asks for. Raises `WireError` and nothing else, whatever JSON it is."""
    body = fields.body_of(body)
    fields.known(body, _NAMES)
    fields.refuse(body, _NOT_SERVED)
    _check_modes(body)
    seen = Seen()
    model = fields.model(body)
    instructions = body.get("instructions")
    reader = Reader(seen)
    if instructions is not None:
        reader.messages.append({"role": "system", "content": fields.a_text(instructions, "instructions")})
    reader.read(body.get("input"))
    parameters = _parameters(body)
    max_output_tokens = fields.whole(body, "max_output_tokens", 1, fields.MOST_OUTPUT_TOKENS)
    return Asked(
        model=model,
        prompt=Prompt(reader.messages, parameters),
        needs=Needs(
            tools="tools" in parameters,
            vision=seen.pictures > 0,
            json_schema=parameters.get("response_format", {}).get("type") == "json_schema",
        ),
        max_output_tokens=max_output_tokens,
        stream=bool(fields.flag(body, "stream")),
        include_usage=True,
        prompt_bytes=bytes_of(reader.messages, parameters),
        details=_details(body, parameters),
    )


def _check_modes(body: Mapping[str, Any]) -> None:
    fields.one_of(body, "service_tier", ("auto", "default"))
    fields.one_of(body, "truncation", ("disabled",))
    if fields.flag(body, "background"):
        raise WireError("background", "Answers are given while you wait. Leave it out.")
    options = body.get("stream_options")
    if options is not None:
        fields.known(fields.an_object(options, "stream_options"), {"include_obfuscation"}, "stream_options")
    included = body.get("include")
    for place, one in enumerate(() if included is None else fields.a_list(included, "include", most=16)):
        if one not in _INCLUDED:
            raise WireError(f"include.{place}", f"Send one of: {', '.join(_INCLUDED)}.")


def _parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is passed on to the provider, in the chat form's words."""
    tools = _tools(body)
    parallel = fields.flag(body, "parallel_tool_calls")
    reasoning = fields.an_object(body.get("reasoning") or {}, "reasoning")
    fields.known(reasoning, {"effort", "summary", "generate_summary"}, "reasoning")
    text = fields.an_object(body.get("text") or {}, "text")
    fields.known(text, {"format", "verbosity"}, "text")
    top = fields.whole(body, "top_logprobs", 0, 20)
    probable = top is not None or _LOGPROBS in (body.get("include") or ())
    given: dict[str, Any] = {
        "temperature": fields.number(body, "temperature", 0, 2),
        "top_p": fields.number(body, "top_p", 0, 1),
        "reasoning_effort": fields.one_of(reasoning, "effort", EFFORTS, "reasoning"),
        "verbosity": fields.one_of(text, "verbosity", VERBOSITIES, "text"),
        "response_format": _format(text.get("format")),
        "tools": tools or None,
        "tool_choice": _choice(body.get("tool_choice"), tools),
        "parallel_tool_calls": parallel if tools else None,
        "logprobs": True if probable else None,
        "top_logprobs": top,
    }
    return {name: value for name, value in given.items() if value is not None}


def _tools(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Functions lie flat here, and inside of another object in the chat form."""
    given = body.get("tools")
    tools: list[Mapping[str, Any]] = []
    for place, one in enumerate(() if given is None else fields.a_list(given, "tools", most=openai_tools.MAX_TOOLS)):
        path = f"tools.{place}"
        tool = fields.an_object(one, path)
        if tool.get("type") != "function":
            raise WireError(at(path, "type"), "Send “function”: other kinds of tools are not served here.")
        fields.known(tool, {"type", "name", "description", "parameters", "strict"}, path)
        tools.append({"type": "function", "function": openai_tools.function(tool, path)})
    return tools


def _choice(given: Any, tools: Sequence[Mapping[str, Any]]) -> Any:
    if tools and isinstance(given, Mapping) and given.get("type") == "function":
        fields.known(given, {"type", "name"}, "tool_choice")
        return openai_tools.named(given.get("name"), tools, "tool_choice.name")
    return openai_tools.choice(given, tools)


def _format(given: Any) -> Mapping[str, Any] | None:
    """A schema lies flat here too."""
    if not isinstance(given, Mapping) or given.get("type") != "json_schema":
        return openai_tools.response_format(given, "text.format")
    fields.known(given, {"type", "name", "description", "schema", "strict"}, "text.format")
    return {"type": "json_schema", "json_schema": openai_tools.schema(given, "text.format")}


def _details(body: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What a response repeats of its request."""
    metadata = fields.an_object_of_json(body.get("metadata") or {}, "metadata")
    if len(metadata) > 16 or not all(isinstance(value, str) and len(value) <= 512 for value in metadata.values()):
        raise WireError("metadata", "Send 16 texts of 512 characters at most.")
    reasoning, text = body.get("reasoning") or {}, body.get("text") or {}
    return {
        "background": False,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": metadata,
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": {"effort": reasoning.get("effort"), "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": parameters.get("temperature", 1.0),
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": [{"type": "function", "strict": None, **one["function"]} for one in parameters.get("tools", ())],
        "top_p": parameters.get("top_p", 1.0),
        "truncation": "disabled",
    }
