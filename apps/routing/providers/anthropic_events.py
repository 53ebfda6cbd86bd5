"""The events of Anthropic's stream as deltas."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from apps.routing.contracts import ReasoningDelta, TextDelta, ToolCallCompleted, ToolCallStarted, Usage
from apps.routing.errors import ProviderFailed
from apps.routing.providers.base import Delta, Progress, token_count

_NOTHING: tuple[Delta, ...] = ()
# What it calls the end, in OpenAI's words.
_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_INPUT_PARTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


@dataclass(slots=True)
class _ToolCall:
    call_id: str
    name: str
    given: Any
    arguments: list[str] = field(default_factory=list)

    @property
    def whole(self) -> str:
        """The arguments; a provider that does not stream them gives them at once."""
        return "".join(self.arguments) or orjson.dumps(self.given or {}).decode()


class EventReader:
    """Reads the events of one answer and keeps `progress`.

    An event that cannot be read is skipped and counted; kinds that are not known are passed over, as Anthropic asks. An
    error event is raised as `failure` makes of it. Calls of `text_tool` are the answer itself, so they come as text.
    """

    __slots__ = ("_calls", "_failure", "_parts", "_progress", "_text_tool", "ended")

    def __init__(
        self, progress: Progress, failure: Callable[[Any], ProviderFailed], *, text_tool: str | None = None
    ) -> None:
        self.ended = False
        self._progress = progress
        self._failure = failure
        self._text_tool = text_tool
        self._calls: dict[int, _ToolCall] = {}
        self._parts: dict[str, int] = {}

    def take(self, payload: bytes) -> Sequence[Delta]:
        """The deltas of one event."""
        error = None
        try:
            event = orjson.loads(payload)
            kind = event["type"]
            # The common event first.
            if kind == "content_block_delta":
                return self._delta(event["delta"], event)
            if kind == "content_block_start":
                return self._start(int(event["index"]), event["content_block"])
            if kind == "content_block_stop":
                return self._completed([int(event["index"])])
            if kind == "message_start":
                self._usage(event["message"].get("usage"))
            elif kind == "message_delta":
                return self._message_delta(event)
            elif kind == "message_stop":
                self.ended = True
            elif kind == "error":
                error = event.get("error") or event
        except (ValueError, TypeError, AttributeError, LookupError):
            self._progress.skipped_events += 1
        if error:
            raise self._failure(error)
        return _NOTHING

    def take_whole(self, document: Any) -> Sequence[Delta]:
        """The deltas of a message in one piece: each block begins and ends at once."""
        deltas: list[Delta] = []
        error = None
        try:
            if document["type"] == "error":
                error = document.get("error") or document
            else:
                for index, block in enumerate(document["content"]):
                    deltas += self._start(index, block)
                    deltas += self._answer_of(index)
                    deltas += self._completed([index])
                self._message_delta({"delta": document, "usage": document.get("usage")})
        except (ValueError, TypeError, AttributeError, LookupError):
            self._progress.skipped_events += 1
        if error:
            raise self._failure(error)
        return deltas

    def _answer_of(self, index: int) -> Sequence[Delta]:
        """The text of an answer that was asked for as a tool's input and came at once."""
        call = self._calls.get(index)
        return self._said(call.whole, TextDelta) if call is not None and call.name == self._text_tool else _NOTHING

    def _delta(self, delta: dict[str, Any], event: dict[str, Any]) -> Sequence[Delta]:
        kind = delta["type"]
        if kind == "text_delta":
            return self._said(delta["text"], TextDelta)
        if kind == "thinking_delta":
            return self._said(delta["thinking"], ReasoningDelta)
        if kind == "input_json_delta":
            call, fragment = self._calls[int(event["index"])], delta["partial_json"]
            self._progress.received(fragment)
            if call.name == self._text_tool:
                return (TextDelta(fragment),) if fragment else _NOTHING
            call.arguments.append(fragment)
        return _NOTHING

    def _start(self, index: int, block: dict[str, Any]) -> Sequence[Delta]:
        kind = block["type"]
        if kind == "text":
            return self._said(block.get("text") or "", TextDelta)
        if kind == "thinking":
            return self._said(block.get("thinking") or "", ReasoningDelta)
        if kind != "tool_use":
            return _NOTHING
        call = self._calls[index] = _ToolCall(str(block["id"]), str(block["name"]), block.get("input"))
        if call.name == self._text_tool:
            return _NOTHING
        self._progress.began()
        return (ToolCallStarted(call.call_id, call.name),)

    def _said(self, text: str, delta: type[TextDelta] | type[ReasoningDelta]) -> Sequence[Delta]:
        if text == "":
            return _NOTHING
        self._progress.received(text)
        return (delta(text),)

    def _completed(self, indices: Sequence[int]) -> Sequence[Delta]:
        calls = [call for index in indices if (call := self._calls.pop(index, None)) is not None]
        told = [call for call in calls if call.name != self._text_tool]
        return [ToolCallCompleted(call.call_id, call.name, call.whole) for call in told]

    def _message_delta(self, event: dict[str, Any]) -> Sequence[Delta]:
        told = event.get("usage")
        self._usage(told)
        if told and told.get("output_tokens") is not None:
            self._progress.usage_is_final = True
        delta = event.get("delta") or {}
        reason = delta.get("stop_reason")
        if not reason:
            return _NOTHING
        if isinstance(stop := delta.get("stop_sequence"), str):
            self._progress.stop_sequence = stop
        finish_reason = _FINISH_REASONS.get(str(reason), "stop")
        if finish_reason == "tool_calls" and self._text_tool is not None:
            finish_reason = "stop"
        self._progress.finish_reason = finish_reason
        return self._completed(list(self._calls))

    def _usage(self, told: dict[str, Any] | None) -> None:
        """The counts so far. Input comes in three parts that do not overlap; output is the sum up to here."""
        if not told:
            return
        for name in (*_INPUT_PARTS, "output_tokens"):
            if told.get(name) is not None:
                self._parts[name] = token_count(told[name])
        output_tokens = self._parts.get("output_tokens", 0)
        thinking = (told.get("output_tokens_details") or {}).get("thinking_tokens")
        self._progress.usage = Usage(
            input_tokens=sum(self._parts.get(name, 0) for name in _INPUT_PARTS),
            output_tokens=output_tokens,
            cached_tokens=self._parts.get("cache_read_input_tokens", 0),
            reasoning_tokens=min(token_count(thinking), output_tokens),
            cache_write_tokens=self._parts.get("cache_creation_input_tokens", 0),
        )
