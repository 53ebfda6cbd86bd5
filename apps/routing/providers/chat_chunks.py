"""The chunks of OpenAI's chat stream, and of those who follow it more or less, as deltas."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from apps.routing.contracts import ReasoningDelta, TextDelta, ToolCallCompleted, ToolCallStarted, Usage
from apps.routing.errors import ProviderFailed
from apps.routing.providers.base import Delta, Progress, token_count

DONE = b"[DONE]"
# Ends that are failures, whatever else the chunk says.
_FAILED = frozenset({"error", "insufficient_system_resource"})
_FINISH_REASONS = {"model_length": "length"}
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,40}\Z")
_NOTHING: tuple[Delta, ...] = ()


@dataclass(slots=True)
class _ToolCall:
    call_id: str
    name: str
    arguments: list[str] = field(default_factory=list)


class ChunkReader:
    """Reads the events of one answer and keeps `progress`. Only the first choice counts.

    An event that cannot be read is skipped and counted. An error event is raised as `failure` makes of it. `ended` says
    that the final marker came.
    """

    __slots__ = ("_calls", "_calls_by_index", "_failure", "_progress", "ended")

    def __init__(self, progress: Progress, failure: Callable[[Any], ProviderFailed]) -> None:
        self.ended = False
        self._progress = progress
        self._failure = failure
        self._calls: list[_ToolCall] = []
        self._calls_by_index: dict[int, _ToolCall] = {}

    def take(self, payload: bytes) -> Sequence[Delta]:
        """The deltas of one event."""
        if payload == DONE:
            self.ended = True
            return _NOTHING
        try:
            chunk = orjson.loads(payload)
        except ValueError:
            self._progress.skipped_events += 1
            return _NOTHING
        return self.take_chunk(chunk)

    def take_chunk(self, chunk: Any) -> Sequence[Delta]:
        """The deltas of one event that is parsed already."""
        deltas: Sequence[Delta] = _NOTHING
        error = None
        try:
            error = chunk if chunk.get("object") == "error" else chunk.get("error")
            if not error and "choices" in chunk and (choices := chunk["choices"]):
                choice = choices[0]
                reason = choice.get("finish_reason")
                if reason is not None and reason in _FAILED:
                    error = {"message": reason}
                else:
                    deltas = self._choice(choice, reason)
            if "usage" in chunk and (told := chunk["usage"]):
                self._progress.usage = _usage(told)
                self._progress.usage_is_final = True
        except (ValueError, TypeError, AttributeError, LookupError):
            self._progress.skipped_events += 1
        if error:
            raise self._failure(error)
        return deltas

    def take_whole(self, document: Any) -> Sequence[Delta]:
        """The deltas of an answer in one piece, which says as a message what a stream says in its deltas."""
        try:
            choices = [{**document["choices"][0], "delta": _numbered(document["choices"][0]["message"])}]
        except (TypeError, AttributeError, LookupError):
            choices = []
        return self.take_chunk({**document, "choices": choices} if isinstance(document, dict) else document)

    def _choice(self, choice: dict[str, Any], reason: Any) -> Sequence[Delta]:
        if choice.get("index"):
            return _NOTHING
        delta = choice.get("delta") or {}
        text = delta.get("content")
        # The common event first: plain text and nothing else.
        if text and reason is None and len(delta) == 1 and text.__class__ is str:
            self._progress.received(text)
            told = choice.get("logprobs")
            return (TextDelta(text, _logprobs(told)) if told else TextDelta(text),)
        deltas: list[Delta] = []
        if isinstance(text, list):
            for part in text:
                deltas += self._part(part)
            text = None
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if thought:
            self._progress.received(thought)
            deltas.append(ReasoningDelta(thought))
        for shown in (text, delta.get("refusal")):
            if shown:
                self._progress.received(shown)
                deltas.append(TextDelta(shown, _logprobs(choice.get("logprobs"))))
        for fragment in delta.get("tool_calls") or ():
            deltas += self._tool_call(fragment)
        if reason:
            self._progress.finish_reason = _FINISH_REASONS.get(reason, _word(reason))
            # vLLM tells which text ended the answer; where a token did, it tells a number.
            if isinstance(stop := choice.get("stop_reason"), str):
                self._progress.stop_sequence = stop
            deltas += [ToolCallCompleted(call.call_id, call.name, "".join(call.arguments)) for call in self._calls]
            self._calls.clear()
        return deltas

    def _part(self, part: dict[str, Any]) -> Sequence[Delta]:
        """Mistral's models that think send lists of parts; a thought is a list of parts itself."""
        thoughts = part.get("thinking")
        if thoughts is not None:
            held = thoughts if isinstance(thoughts, str) else "".join(thought["text"] for thought in thoughts)
            self._progress.received(held)
            return (ReasoningDelta(held),) if held else _NOTHING
        text = part.get("text") or ""
        self._progress.received(text)
        return (TextDelta(text),) if text else _NOTHING

    def _tool_call(self, fragment: dict[str, Any]) -> list[Delta]:
        """Calls come in fragments, told apart by index; some providers repeat index 0 and change the id instead."""
        function = fragment.get("function") or {}
        index, call_id = int(fragment.get("index") or 0), fragment.get("id")
        call = self._calls_by_index.get(index)
        started: list[Delta] = []
        if call is None or (call_id and call_id != call.call_id):
            call = _ToolCall(str(call_id or f"call_{len(self._calls)}"), str(function["name"]))
            self._calls.append(call)
            self._calls_by_index[index] = call
            started = [ToolCallStarted(call.call_id, call.name)]
            self._progress.began()
        arguments = function.get("arguments")
        if arguments:
            if not isinstance(arguments, str):
                arguments = orjson.dumps(arguments).decode()
            self._progress.received(arguments)
            call.arguments.append(arguments)
        return started


def _numbered(message: dict[str, Any]) -> dict[str, Any]:
    """The message with a number on each tool call, as in streams."""
    calls = message.get("tool_calls")
    return (
        {**message, "tool_calls": [{**call, "index": place} for place, call in enumerate(calls)]} if calls else message
    )


def _word(reason: Any) -> str:
    """A reason of the provider's own, as it is stored and shown, where it is a word at all."""
    return reason if isinstance(reason, str) and _WORD.match(reason) else "other"


def _logprobs(told: Any) -> tuple[dict[str, Any], ...] | None:
    """Those of the text; None where there are none, or none that can be read."""
    tokens = (told.get("content") or told.get("refusal")) if isinstance(told, dict) else None
    if not isinstance(tokens, list) or not all(isinstance(one, dict) and "token" in one for one in tokens):
        return None
    return tuple(tokens)


def _usage(told: dict[str, Any]) -> Usage:
    """Raises where the counts are no counts. Thoughts belong to the output, also where a provider counts them apart."""
    input_tokens, completion = token_count(told["prompt_tokens"]), token_count(told.get("completion_tokens"))
    input_details = told.get("prompt_tokens_details") or {}
    output_details = told.get("completion_tokens_details") or {}
    output_tokens = max(completion, token_count(told.get("total_tokens")) - input_tokens)
    cached = input_details.get("cached_tokens") or told.get("prompt_cache_hit_tokens")
    cached_tokens = min(token_count(cached), input_tokens)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        reasoning_tokens=min(token_count(output_details.get("reasoning_tokens")), output_tokens),
        cache_write_tokens=min(token_count(input_details.get("cache_write_tokens")), input_tokens - cached_tokens),
    )
