"""What an answer brings, piece by piece, and the gate that every call to a provider passes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from apps.routing.contracts.caching import CacheHit
from apps.routing.contracts.calls import Candidate, Excluded
from apps.routing.contracts.catalogue import Usage
from apps.routing.contracts.safety import Verdict


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: to connect, to the first token, between two tokens, and in all."""

    connect_seconds: float
    first_token_seconds: float
    gap_seconds: float
    total_seconds: float


# What `stream` yields.


@dataclass(frozen=True, slots=True)
class TextDelta:
    """`logprobs`: what was likely for each of its tokens, in OpenAI's form, where that was asked for."""

    text: str
    logprobs: tuple[Mapping[str, Any], ...] | None = None


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallCompleted:
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """All that was yielded before is void: the attempt died and another begins."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last chunk of a stream that ended well. A stream without it did not.

    `passed_over`: candidates that were not asked because their breakers were open or their pools full. `parts`: earlier
    attempts whose text the answer begins with. `cache`: no attempt was made, an earlier answer was served; `attempt_id`
    and `candidate` are that one's, and nothing was used. `stop_sequence`: the text that ended the answer, where one did
    and the provider told which.
    """

    finish_reason: str
    usage: Usage
    attempt_id: UUID
    candidate: Candidate
    passed_over: tuple[Excluded, ...] = ()
    parts: tuple[UUID, ...] = ()
    cache: CacheHit | None = None
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Screened:
    """What the workspace's rules found in the prompt or in the answer, and what was done about it."""

    verdicts: tuple[Verdict, ...]


Chunk = TextDelta | ReasoningDelta | ToolCallStarted | ToolCallCompleted | Restarted | Screened | Finished


class AttemptState(StrEnum):
    WON = "won"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How one attempt ended. `usage` is the provider's, or an estimate from what was received.

    `number` counts the attempts at the answer, and is 1 for every call beside it. `skipped_events` could not be read.
    """

    attempt_id: UUID
    candidate: Candidate
    number: int
    state: AttemptState
    usage: Usage
    error_code: str | None
    first_token_seconds: float | None
    duration_seconds: float
    skipped_events: int = 0

    @classmethod
    def never_made(cls, attempt_id: UUID, candidate: Candidate, number: int = 1) -> "AttemptEnd":
        """An attempt whose row was written and whose call was then not made: nothing was used."""
        return cls(attempt_id, candidate, number, AttemptState.CANCELLED, Usage(0, 0), None, None, 0.0)


class Gate(Protocol):
    """Stands before every provider call. For a chat it checks fence and cancel and writes the attempt row."""

    async def begin(self, candidate: Candidate) -> UUID:
        """Return the attempt's id, which travels upstream as a header. Raises to forbid the call."""
        ...

    def ended(self, end: AttemptEnd) -> None:
        """Take note of how an attempt ended. Called exactly once for each id that `begin` returned."""
        ...
