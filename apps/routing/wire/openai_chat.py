"""OpenAI's chat completions: `POST /v1/chat/completions`."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from apps.routing.contracts import Needs, Prompt
from apps.routing.wire import fields, openai_messages, openai_tools
from apps.routing.wire.asked import Asked, Seen, bytes_of
from apps.routing.wire.errors import WireError
from apps.routing.wire.errors import openai as error_document
from apps.routing.wire.openai_writer import Writer

__all__ = ["Writer", "error_document", "read"]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
VERBOSITIES = ("low", "medium", "high")
MAX_CHOICES = 8
_MAX_STOPS = 4
_TOKEN_ID = re.compile(r"[0-9]{1,9}", re.ASCII)
# Said of a call, and without a word in its answer: whose it is, what a provider may keep of it.
_HINTS = {
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
    "user",
}
_NOT_SERVED = {
    "audio": "Audio is not served here. Leave it out.",
    "function_call": "Name the tool in “tool_choice”.",
    "functions": "Offer functions as “tools”.",
    "moderation": "What may be said is for the workspace's rules. Leave it out.",
    "prediction": "Predicted outputs are not served here. Leave it out.",
    "web_search_options": "Searching the web is not served here. Leave it out.",
}
_NAMES = _HINTS.union(
    _NOT_SERVED,
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "verbosity",
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
    messages = openai_messages.read(body.get("messages"), seen)
    parameters = _parameters(body)
    stream = bool(fields.flag(body, "stream"))
    return Asked(
        model=model,
        prompt=Prompt(messages, parameters),
        needs=Needs(
            tools="tools" in parameters,
            vision=seen.pictures > 0,
            json_schema=parameters.get("response_format", {}).get("type") == "json_schema",
        ),
        max_output_tokens=_max_output_tokens(body),
        stream=stream,
        n=fields.whole(body, "n", 1, MAX_CHOICES) or 1,
        include_usage=_include_usage(body, stream),
        prompt_bytes=bytes_of(messages, parameters),
    )


def _check_modes(body: Mapping[str, Any]) -> None:
    """A better place in the provider's line has another price, and other modes another kind of answer."""
    fields.one_of(body, "service_tier", ("auto", "default"))
    if body.get("modalities") not in (None, ["text"]):
        raise WireError("modalities", "Answers are texts: send [“text”], or leave it out.")


def _max_output_tokens(body: Mapping[str, Any]) -> int | None:
    newer = fields.whole(body, "max_completion_tokens", 1, fields.MOST_OUTPUT_TOKENS)
    older = fields.whole(body, "max_tokens", 1, fields.MOST_OUTPUT_TOKENS)
    if newer is not None and older is not None:
        raise WireError("max_tokens", "Send “max_completion_tokens” alone.")
    return older if newer is None else newer


def _include_usage(body: Mapping[str, Any], stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    fields.known(
        fields.an_object(options, "stream_options"), {"include_usage", "include_obfuscation"}, "stream_options"
    )
    if not stream:
        raise WireError("stream_options", "This is of use only with “stream”: true.")
    fields.flag(options, "include_obfuscation", "stream_options")
    return bool(fields.flag(options, "include_usage", "stream_options"))


def _parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is passed on to the provider, without what is left out."""
    given = {name: read(body) for name, read in _READERS.items() if name in body}
    if not _OF_TOOLS.isdisjoint(body):
        tools = openai_tools.tools(body)
        parallel = fields.flag(body, "parallel_tool_calls")
        given["tools"] = tools or None
        given["tool_choice"] = openai_tools.choice(body.get("tool_choice"), tools)
        given["parallel_tool_calls"] = parallel if tools else None
    given |= _logprobs(body)
    return {name: value for name, value in given.items() if value is not None}


def _stop(body: Mapping[str, Any]) -> list[str] | None:
    given = body.get("stop")
    return None if given is None else fields.texts(given, "stop", most=_MAX_STOPS) or None


def _logit_bias(body: Mapping[str, Any]) -> Mapping[str, float] | None:
    given = body.get("logit_bias")
    if given is None:
        return None
    biases = fields.an_object(given, "logit_bias")
    if len(biases) > 1_024:
        raise WireError("logit_bias", "Send 1,024 entries at most.")
    for token in biases:
        if not isinstance(token, str) or not _TOKEN_ID.fullmatch(token):
            raise WireError("logit_bias", "Each name is the number of a token.")
        if fields.number(biases, token, -100, 100, "logit_bias") is None:
            raise WireError(f"logit_bias.{token}", "Send a number from -100 to 100.")
    return biases or None


def _logprobs(body: Mapping[str, Any]) -> dict[str, Any]:
    wanted, top = fields.flag(body, "logprobs"), fields.whole(body, "top_logprobs", 0, 20)
    if top is not None and not wanted:
        raise WireError("top_logprobs", "This is of use only with “logprobs”: true.")
    return {"logprobs": True, "top_logprobs": top} if wanted else {}


_OF_TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
_READERS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "temperature": lambda body: fields.number(body, "temperature", 0, 2),
    "top_p": lambda body: fields.number(body, "top_p", 0, 1),
    "frequency_penalty": lambda body: fields.number(body, "frequency_penalty", -2, 2),
    "presence_penalty": lambda body: fields.number(body, "presence_penalty", -2, 2),
    "seed": fields.seed,
    "stop": _stop,
    "logit_bias": _logit_bias,
    "reasoning_effort": lambda body: fields.one_of(body, "reasoning_effort", EFFORTS),
    "verbosity": lambda body: fields.one_of(body, "verbosity", VERBOSITIES),
    "response_format": lambda body: openai_tools.response_format(body.get("response_format")),
}
