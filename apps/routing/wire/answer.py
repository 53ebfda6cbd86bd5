"""One answer as it was received so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.routing.contracts import Finished, ToolCallCompleted, ToolCallStarted, Usage

# For what else a provider may call the end, OpenAI's SDKs have no word.
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})


@dataclass(slots=True)
class ToolCall:
    call_id: str
    name: str
    arguments: str | None = None


@dataclass(slots=True)
class Answer:
    """What one of the choices said so far."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Usage | None = None

    def started(self, chunk: ToolCallStarted) -> int:
        """The place of a call that begins."""
        self.calls.append(ToolCall(chunk.call_id, chunk.name))
        return len(self.calls) - 1

    def completed(self, chunk: ToolCallCompleted) -> tuple[int, bool]:
        """The place of the call whose arguments are whole, and whether it was told before that it begins."""
        # A function without arguments has none to some providers; readers parse what they are given.
        arguments = chunk.arguments or "{}"
        for place, call in enumerate(self.calls):
            if call.arguments is None and call.call_id == chunk.call_id:
                call.arguments = arguments
                return place, True
        self.calls.append(ToolCall(chunk.call_id, chunk.name, arguments))
        return len(self.calls) - 1, False

    def finished(self, chunk: Finished) -> str:
        """The finish reason in OpenAI's words."""
        reason = chunk.finish_reason if chunk.finish_reason in FINISH_REASONS else "stop"
        self.finish_reason, self.usage = reason, chunk.usage
        return reason
