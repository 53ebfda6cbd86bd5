"""OpenAI's chat completions over HTTP: OpenAI itself, Ollama, vLLM, the simulator and many more."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from apps.routing.contracts import ProviderAccess
from apps.routing.providers import http_stream, refusals
from apps.routing.providers.base import Delta, Progress, Request
from apps.routing.providers.chat_chunks import ChunkReader

# What Anthropic has a word for, and OpenAI refuses. Prompts are cached without being asked for.
_FOREIGN = frozenset({"cache_control", "is_error"})
# What is ours to say, whatever parameters a caller passes through; and what is Anthropic's own.
_OURS = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "stream",
        "stream_options",
        "thinking",
        "top_k",
    }
)


_STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
_WHOLE = {"stream": False}


class OpenAICompatible:
    """Implements `base.Adapter`. Has no state: connections belong to the loop's session."""

    def answer(self, request: Request, progress: Progress) -> AsyncGenerator[Delta, None]:
        """See `base.Adapter.answer`."""
        reader = ChunkReader(
            progress, lambda error: refusals.from_error_object(error, request.provider_name, request.access)
        )
        outgoing = http_stream.Outgoing("chat/completions", body_of(request), key_headers(request.access))
        return http_stream.deltas(request, outgoing, reader, progress)


def key_headers(access: ProviderAccess) -> dict[str, str]:
    """How the key travels."""
    return {"Authorization": f"Bearer {access.key}"} if access.key else {}


def body_of(request: Request) -> bytes:
    """The request's body. Usage is always asked for (an answer in one piece has it), and `max_tokens` is what was
    reserved."""
    passed_on = {name: value for name, value in request.prompt.parameters.items() if name not in _OURS}
    if passed_on.get("tools"):
        passed_on["tools"] = [_translated(tool) for tool in passed_on["tools"]]
    if request.prompt.prefilled:
        # As vLLM and SGLang want it said; whoever knows no such thing has no `prefill` in its model's profile.
        passed_on |= {"continue_final_message": True, "add_generation_prompt": False}
    return orjson.dumps(
        {
            **passed_on,
            "model": request.upstream_model,
            "messages": _messages(request.prompt.messages),
            **(_WHOLE if request.prompt.whole else _STREAMED),
            _limit_name(request.access.base_url): request.output_tokens_bound,
        }
    )


def _messages(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The messages without what is Anthropic's own. Pictures that a tool gave are shown by the user: a result can only
    be text."""
    told: list[Mapping[str, Any]] = []
    pictures: list[Mapping[str, Any]] = []
    for message in messages:
        is_result = message.get("role") == "tool"
        if pictures and not is_result:
            told.append({"role": "user", "content": pictures})
            pictures = []
        message = _translated(message)
        parts = message.get("content")
        if is_result and isinstance(parts, list) and any(part["type"] != "text" for part in parts):
            pictures += [part for part in parts if part["type"] != "text"]
            texts = [part for part in parts if part["type"] == "text"]
            message = {**message, "content": texts or "(See the picture.)"}
        told.append(message)
    return [*told, {"role": "user", "content": pictures}] if pictures else told


def _translated(held: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message, part or tool without what is Anthropic's own."""
    if not _FOREIGN.isdisjoint(held):
        held = {name: value for name, value in held.items() if name not in _FOREIGN}
    parts = held.get("content")
    if isinstance(parts, list | tuple) and any(not _FOREIGN.isdisjoint(part) for part in parts):
        return {**held, "content": [_translated(part) for part in parts]}
    return held


def _limit_name(base_url: str) -> str:
    """OpenAI's newer models refuse `max_tokens`; many servers know nothing else."""
    return "max_completion_tokens" if urlsplit(base_url).hostname == "api.openai.com" else "max_tokens"
