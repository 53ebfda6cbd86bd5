"""What a wire adapter takes and gives."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from apps.routing.contracts import (
    Deadlines,
    Prompt,
    ProviderAccess,
    ReasoningDelta,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    Usage,
)

# Ten times the longest context that is known. What is more would not even fit into the ledger.
_MOST_TOKENS = 100_000_000

Delta = TextDelta | ReasoningDelta | ToolCallStarted | ToolCallCompleted


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt: where, what, and at most how much. `attempt_id` travels along, so that bills can be matched."""

    attempt_id: UUID
    access: ProviderAccess
    provider_name: str
    upstream_model: str
    prompt: Prompt
    output_tokens_bound: int
    deadlines: Deadlines


@dataclass(slots=True)
class Progress:
    """What became of an attempt so far: the adapter writes it, and whoever settles the attempt reads it.

    `sent`: the provider may have seen the request; `refused`: it answered with an error instead of a stream.
    `deltas` and `received_bytes` count text, reasoning and tool-call arguments. `usage` is the provider's last word,
    and `usage_is_final` says whether it covers everything received. `skipped_events` could not be read. `stop_sequence`
    is the text that ended the answer.
    """

    sent: bool = False
    refused: bool = False
    first_token_seconds: float | None = None
    deltas: int = 0
    received_bytes: int = 0
    usage: Usage | None = None
    usage_is_final: bool = False
    finish_reason: str | None = None
    skipped_events: int = 0
    stop_sequence: str | None = None

    def received(self, text: str) -> None:
        """Take note of a delta. Raises where `text` is no text, before anything is counted."""
        size_bytes = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if size_bytes:
            self.received_bytes += size_bytes
            self.began()

    def began(self) -> None:
        """Take note of a delta that has no text, such as the beginning of a tool call."""
        self.deltas += 1
        self.usage_is_final = False


def token_count(value: object) -> int:
    """A count as a provider wrote it; none is zero. Raises where it is no count."""
    count = int(value or 0)  # type: ignore[call-overload]  # what is no number raises
    if not 0 <= count <= _MOST_TOKENS:
        raise ValueError("no call has so many tokens")
    return int(count)


class Adapter(Protocol):
    """Speaks one wire format."""

    def answer(self, request: Request, progress: Progress) -> AsyncGenerator[Delta, None]:
        """Deltas of one answer. It is complete when they end; `progress` then holds the finish reason.

        Raises a `ProviderFailed`. Closing the generator, or cancelling whoever awaits it, closes the call upstream at
        once.
        """
        ...
