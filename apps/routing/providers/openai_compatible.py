"""OpenAI's chat completions over HTTP: OpenAI itself, Ollama, vLLM, the simulator and many more."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from apps.routing.contracts import ProviderAccess
from apps.routing.providers import http_stream, refusals
from apps.routing.providers.base import Delta, Progress, Request
from apps.routing.providers.chat_chunks import ChunkReader

_MARK = "cache_control"
# What is ours to say, whatever parameters a caller passes through.
_OURS = frozenset({"model", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens"})


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
    """The request's body. Usage is always asked for, and `max_tokens` is what was reserved."""
    passed_on = {name: value for name, value in request.prompt.parameters.items() if name not in _OURS}
    if passed_on.get("tools"):
        passed_on["tools"] = [_unmarked(tool) for tool in passed_on["tools"]]
    if request.prompt.prefilled:
        # As vLLM and SGLang want it said; whoever knows no such thing has no `prefill` in its model's profile.
        passed_on |= {"continue_final_message": True, "add_generation_prompt": False}
    return orjson.dumps(
        {
            **passed_on,
            "model": request.upstream_model,
            "messages": [_unmarked(message) for message in request.prompt.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            _limit_name(request.access.base_url): request.output_tokens_bound,
        }
    )


def _unmarked(held: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message, part or tool without the mark for Anthropic's prompt cache, which OpenAI refuses; others cache by
    themselves."""
    if _MARK in held:
        held = {name: value for name, value in held.items() if name != _MARK}
    parts = held.get("content")
    if isinstance(parts, list | tuple) and any(_MARK in part for part in parts):
        return {**held, "content": [_unmarked(part) for part in parts]}
    return held


def _limit_name(base_url: str) -> str:
    """OpenAI's newer models refuse `max_tokens`; many servers know nothing else."""
    return "max_completion_tokens" if urlsplit(base_url).hostname == "api.openai.com" else "max_tokens"
