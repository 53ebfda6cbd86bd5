"""What crosses the border of `conversations`: states, requests and read rows. Frozen, no model instance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class GenerationState(StrEnum):
    """`queued -> running -> completed | partial | failed | cancelled`; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self not in (GenerationState.QUEUED, GenerationState.RUNNING)

    @classmethod
    def choices(cls) -> list[tuple[str, str]]:
        return [(state.value, state.value) for state in cls]


class MessageStatus(StrEnum):
    """`pending` until the generation behind an answer is final, then the same word as its state."""

    PENDING = "pending"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @classmethod
    def choices(cls) -> list[tuple[str, str]]:
        return [(status.value, status.value) for status in cls]


@dataclass(frozen=True, slots=True)
class GenerationAccepted:
    """One lane of an accepted turn. `first_model` and `first_provider` say who is asked first."""

    generation_id: UUID
    message_id: UUID
    lane: int
    model: str
    model_name: str
    hue: int
    first_model: str
    first_provider: str


@dataclass(frozen=True, slots=True)
class TurnAccepted:
    """The promise given with a 2xx: every generation named here reaches one final state. `replayed` marks a repeat."""

    conversation_id: UUID
    turn_id: UUID
    question_id: UUID
    title: str
    created: bool
    replayed: bool
    generations: tuple[GenerationAccepted, ...]


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    """What every event of one generation's stream repeats, and where its row stood when it was read."""

    generation_id: UUID
    turn_id: UUID
    conversation_id: UUID
    message_id: UUID
    lane: int
    model: str
    model_name: str
    hue: int
    state: GenerationState
    fence: int


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What an answer may cost and how soon it should begin, for one question or a whole chat. None: no ceiling.

    The workspace's own are in the catalogue; whichever is tightest holds. `max_first_token_ms` is a wish: slower models
    come last.
    """

    max_cost_nanousd: int | None = None
    max_first_token_ms: int | None = None

    @property
    def document(self) -> dict[str, int]:
        """As it is kept, and as a digest stands for it: what is set, by name."""
        found = {"max_cost_nanousd": self.max_cost_nanousd, "max_first_token_ms": self.max_first_token_ms}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def kept(cls, document: Mapping[str, Any]) -> "Ceilings":
        """What `document` was made of."""
        return cls(document.get("max_cost_nanousd"), document.get("max_first_token_ms"))

    def within(self, other: "Ceilings") -> "Ceilings":
        """The tighter of both, ceiling by ceiling."""
        return Ceilings(
            _least(self.max_cost_nanousd, other.max_cost_nanousd),
            _least(self.max_first_token_ms, other.max_first_token_ms),
        )


NO_CEILINGS = Ceilings()


@dataclass(frozen=True, slots=True)
class ConversationRow:
    id: UUID
    title: str
    models: tuple[str, ...]
    created_at: datetime
    last_activity_at: datetime
    instructions: str = ""
    ceilings: Ceilings = NO_CEILINGS


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A line of the sidebar. `hues` are the colours of its lanes, left to right."""

    id: UUID
    title: str
    last_activity_at: datetime
    running: bool
    hues: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LaneRow:
    position: int
    model_slug: str
    model_name: str
    hue: int


@dataclass(frozen=True, slots=True)
class QuestionRow:
    id: UUID
    text: str


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One lane's answer to one question; `text` is empty while the generation runs (its stream has it)."""

    tenant_id: UUID
    lane: int
    generation_id: UUID
    message_id: UUID
    model_slug: str
    model_name: str
    hue: int
    simulated: bool
    state: GenerationState
    text: str
    reasoning: str
    error_code: str | None
    error_message: str | None
    error_retryable: bool
    finish_reason: str | None
    usage: dict[str, Any]
    cost_nanousd: int | None
    first_token_ms: int | None
    total_ms: int | None
    route: dict[str, Any]
    last_event_id: str | None
    text_sha256: str | None
    queued_ms: int | None
    fence: int


@dataclass(frozen=True, slots=True)
class TurnRow:
    id: UUID
    seq: int
    created_at: datetime
    question: QuestionRow
    answers: tuple[AnswerRow, ...]


class Sent(StrEnum):
    """How what was sent to a provider compares with what is shown of it."""

    AS_SHOWN = "as_shown"
    NOT_YET = "not_yet"
    FROM_CACHE = "from_cache"
    REPLACED = "replaced"
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class PromptRow:
    """What the model behind an answer was shown. `messages` in OpenAI's form, as the chat keeps them.

    `is_as_sent` compares them with what was sent, by hash; None where nothing was sent; `sent` says why not. Of the
    chat's turns `turns` are among the messages, and `left_out` before them are not; a summary tells of the first
    `summarised` of those.
    """

    generation_id: UUID
    conversation_id: UUID
    model_name: str
    messages: tuple[dict[str, Any], ...]
    sha256: str
    sent: Sent
    turns: int
    left_out: int
    summarised: int
    max_output_tokens: int | None

    @property
    def is_as_sent(self) -> bool | None:
        return None if self.sent in (Sent.NOT_YET, Sent.FROM_CACHE) else self.sent is Sent.AS_SHOWN


@dataclass(frozen=True, slots=True)
class Timeline:
    """A conversation as a person sees it, oldest turn first; `older` tells that earlier turns exist."""

    conversation: ConversationRow
    lanes: tuple[LaneRow, ...]
    turns: tuple[TurnRow, ...] = field(default_factory=tuple)
    older: bool = False


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)
