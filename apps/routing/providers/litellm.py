"""All other providers (Gemini, Bedrock and many more) through the litellm package: wide in reach, and slow.

A stream costs a worker three times what it costs with the other adapters, and importing the package takes seconds.
So it is imported by `load`, before the event loop runs, and only in worker processes that serve its queue.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from importlib import import_module
from typing import Any

from apps.routing.errors import MalformedStream, ProviderFailed, ProviderMisconfigured
from apps.routing.providers import refusals
from apps.routing.providers.base import Delta, Progress, Request
from apps.routing.providers.chat_chunks import ChunkReader
from apps.routing.providers.clock import Clock
from apps.routing.providers.frames import Frames
from apps.routing.providers.http_stream import ATTEMPT_HEADER, most_bytes, refused_sentence
from apps.routing.providers.litellm_errors import cut, failure_of, filtered
from apps.routing.queues import KNOWN_ADDRESS

_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
    "HF_HUB_OFFLINE": "1",
}
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
        "user",
    }
)
# What they write may hold prompts and addresses; what went wrong is told by the errors it raises.
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "httpx", "httpcore")
_GEMINI = "litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini"
_READ = frozenset({"choices", "error"})
_SKIPPED_CHUNKS_MAX = 20

_library: Any = None


def load() -> None:
    """Import the package: once, at the start of the process, where no loop runs yet. It takes seconds."""
    global _library
    if _library is not None:
        return
    os.environ.update(_ENVIRONMENT)
    library: Any = import_module("litellm")
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    library.callbacks = []
    library.success_callback, library.failure_callback = [], []
    library.disable_streaming_logging = True
    library.suppress_debug_info = True
    library.turn_off_message_logging = True
    library.telemetry = False
    # What a provider has no word for is left out, as the other adapters do.
    library.drop_params = True
    library.num_retries = 0
    # At the end of a stream it puts all chunks together, counts their tokens with a tokenizer of its own (which blocks
    # for seconds) and passes that off as the provider's usage. What the provider did not tell is estimated elsewhere,
    # and said to be an estimate.
    library.stream_chunk_builder = _nothing_built
    # Of Gemini it says “stop” with every chunk, so that a stream which is cut would pass for a finished one.
    gemini: Any = import_module(_GEMINI).VertexGeminiConfig
    gemini._check_finish_reason = staticmethod(_only_if_told(gemini._check_finish_reason))
    _library = library


def loaded() -> bool:
    """Whether this process can call providers through it."""
    return _library is not None


def _only_if_told(finish_reason: Callable[[Any, str | None], str]) -> Callable[[Any, str | None], str | None]:
    return lambda message, told: finish_reason(message, told) if told else None


def _nothing_built(*args: Any, **kwargs: Any) -> None:
    return None


class LiteLLM:
    """Implements `base.Adapter`."""

    async def answer(self, request: Request, progress: Progress) -> AsyncGenerator[Delta, None]:
        """See `base.Adapter.answer`. Deltas of one kind are joined to some thirty frames a second."""
        if not loaded():
            raise RuntimeError("litellm is called in a process that did not load it")
        if not request.access.trusted:
            # Its clients resolve names by themselves, so what `outbound` forbids could be reached through it.
            raise ProviderMisconfigured(refused_sentence(request.provider_name))
        clock = Clock(request.deadlines, progress, request.provider_name)
        frames = Frames()
        reading = asyncio.create_task(_read(request, progress, clock, frames))
        try:
            while (joined := await _next(frames, reading, clock, progress)) is not None:
                for delta in joined:
                    yield delta
            if progress.finish_reason is None:
                raise cut(request.provider_name)
            if progress.finish_reason == "content_filter" and not progress.deltas:
                raise filtered(request.provider_name)
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, ProviderFailed):
                await reading
            if progress.finish_reason is None:
                # Some count as they go: what they had counted by then is less than what will be charged.
                progress.usage_is_final = False


async def _next(frames: Frames, reading: asyncio.Task[None], clock: Clock, progress: Progress) -> list[Delta] | None:
    """The next frame; None at the end. Raises what ended the reading, once all that came before it was given.

    A finished answer may end in any way.
    """
    until = clock.silent_until()
    try:
        async with asyncio.timeout_at(until):
            joined = await frames.next()
    except TimeoutError as error:
        if joined := frames.take():
            return joined  # it came within the time, and waited for its frame
        if progress.finish_reason is not None:
            return None
        raise clock.expired() from error
    if joined is None:
        await reading
    return joined


async def _read(request: Request, progress: Progress, clock: Clock, frames: Frames) -> None:
    """The whole call, as fast as the provider sends; on a task of its own, because a wait for its next chunk that is
    cancelled ends its stream."""
    reader = ChunkReader(
        progress, lambda error: refusals.from_error_object(error, request.provider_name, request.access)
    )
    most = most_bytes(request)
    progress.sent = True
    try:
        stream = await _library.acompletion(**_arguments(request))
        async with aclosing(stream):
            async for chunk in stream:
                before = progress.deltas
                read = reader.take_chunk(_plain(chunk, stream))
                if progress.deltas != before:
                    clock.heard()
                frames.put(read)
                if progress.skipped_events > _SKIPPED_CHUNKS_MAX or progress.received_bytes > most:
                    raise MalformedStream(f"The answer of {request.provider_name} cannot be read. Try again.")
    except ProviderFailed:
        raise
    except Exception as error:
        if progress.finish_reason is None:
            # Not `from` the error: it holds the prompt, and a log may show what an error came from.
            raise failure_of(error, request, progress) from None
    finally:
        frames.end()


def _arguments(request: Request) -> dict[str, Any]:
    from httpx import Timeout  # loaded with the package, and nowhere else

    deadlines, access = request.deadlines, request.access
    passed_on = {name: value for name, value in request.prompt.parameters.items() if name not in _OURS}
    known = access.base_url.rstrip("/") == KNOWN_ADDRESS
    return {
        **passed_on,
        "model": request.upstream_model,
        "messages": [
            {name: value for name, value in message.items() if name != "is_error"}
            for message in request.prompt.messages
        ],
        "api_base": None if known else access.base_url,
        "api_key": access.key,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": request.output_tokens_bound,
        # It repeats a call three times by itself, and none of those would be an attempt that anybody admitted.
        "max_retries": 0,
        "num_retries": 0,
        "timeout": Timeout(deadlines.total_seconds, connect=deadlines.connect_seconds),
        "extra_headers": {ATTEMPT_HEADER: str(request.attempt_id)},
    }


def _plain(chunk: Any, stream: Any) -> dict[str, Any]:
    """One of its chunks as OpenAI's wire has it.

    It takes the provider's usage off every chunk, and keeps it with the chunks that it collects. And it says “stop” of
    every stream that ends, also where the provider did not.
    """
    plain: dict[str, Any] = chunk.model_dump(exclude_none=True, include=_READ)
    told = [kept.usage for kept in stream.chunks if getattr(kept, "usage", None) is not None]
    stream.chunks.clear()
    plain["usage"] = _usage(told[-1]) if told else None
    if stream.received_finish_reason is None and stream.intermittent_finish_reason is None:
        for choice in plain.get("choices", ()):
            choice.pop("finish_reason", None)
    return plain


def _usage(told: Any) -> dict[str, Any] | None:
    """Zeros are what it writes where a provider told nothing."""
    usage: dict[str, Any] = told.model_dump(exclude_none=True)
    if not usage.get("prompt_tokens"):
        return None
    details = usage.get("prompt_tokens_details")
    if details and "cache_creation_tokens" in details:
        details["cache_write_tokens"] = details["cache_creation_tokens"]
    return usage
