"""What crosses the border of `routing`: calls, plans, chunks and the gate every provider call passes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as lists show it. Prices are US dollars per million tokens, of its first deployment; None if unpriced."""

    slug: str
    name: str
    hue: int
    description: str
    simulated: bool
    reasoning: bool
    context_tokens: int
    max_output_tokens: int
    input_usd_per_mtok: Decimal | None
    output_usd_per_mtok: Decimal | None


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """A price in force, in nano-dollars per million tokens. `free` says that two zeros are meant."""

    id: UUID
    input_nanousd_per_mtok: int
    cached_input_nanousd_per_mtok: int
    output_nanousd_per_mtok: int
    free: bool


@dataclass(frozen=True, slots=True)
class OfferedDeployment:
    """A model at a provider. `enabled` only if deployment and provider both are; `price` None if it has none."""

    id: UUID
    provider: str
    provider_name: str
    adapter: str
    upstream_model: str
    simulated: bool
    priority: int
    enabled: bool
    price: PriceVersion | None


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model offered to a tenant, with all its deployments, first choice first. `created_at` in Unix seconds."""

    slug: str
    name: str
    hue: int
    description: str
    reasoning: bool
    context_tokens: int
    max_output_tokens: int
    created_at: int
    tier: str
    deployments: tuple[OfferedDeployment, ...]

    @property
    def first_deployment(self) -> OfferedDeployment | None:
        return next((one for one in self.deployments if one.enabled), None)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What one tenant, or one caller in it, may use, as it was at one moment: models by slug, in the order of lists.

    `withheld` names the models that the tenant may use and this caller may not, each with its tier.
    """

    tenant_id: UUID
    models: Mapping[str, OfferedModel]
    withheld: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderAccess:
    """Where a deployment's provider is reached, and with which key (None: it asks for none).

    `trusted`: an operator chose the address for everybody; any other is called through `outbound`.
    """

    base_url: str
    key: str | None = field(repr=False)
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class NewPrice:
    """A price to be set, in nano-dollars per million tokens. Two zeros are a price only where `free` says so."""

    input_nanousd_per_mtok: int
    output_nanousd_per_mtok: int
    cached_input_nanousd_per_mtok: int | None = None
    free: bool = False


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """What registering a model left behind. `created` if the deployment is new; `repriced` if a price was appended."""

    model_id: UUID
    deployment_id: UUID
    created: bool
    repriced: bool


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a model, as far as planning needs to know: `prompt_bytes` bounds the input tokens."""

    tenant_id: UUID
    model: str
    prompt_bytes: int
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment that could answer, with its price fixed and the most that one attempt on it can cost."""

    deployment_id: UUID
    provider: str
    provider_name: str
    adapter: str
    model: str
    upstream_model: str
    simulated: bool
    price_id: UUID | None
    input_nanousd_per_mtok: int
    cached_input_nanousd_per_mtok: int
    output_nanousd_per_mtok: int
    input_tokens_bound: int
    output_tokens_bound: int

    def amount_nanousd(self, *, input_tokens: int, cached_tokens: int, output_tokens: int) -> int:
        """Cost of that usage, rounded up to a whole nano-dollar. `cached_tokens` are part of `input_tokens`."""
        fresh = max(0, input_tokens - cached_tokens)
        total = (
            fresh * self.input_nanousd_per_mtok
            + cached_tokens * self.cached_input_nanousd_per_mtok
            + output_tokens * self.output_nanousd_per_mtok
        )
        return -(-total // 1_000_000)

    @property
    def amount_bound_nanousd(self) -> int:
        return self.amount_nanousd(
            input_tokens=self.input_tokens_bound, cached_tokens=0, output_tokens=self.output_tokens_bound
        )


@dataclass(frozen=True, slots=True)
class Excluded:
    """A deployment that was considered and ruled out, and the reason in one word."""

    provider: str
    upstream_model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Candidates in the order they will be tried, and what ruled the others out. Stored with the generation."""

    model: str
    model_name: str
    hue: int
    candidates: tuple[Candidate, ...]
    excluded: tuple[Excluded, ...] = ()

    @property
    def amount_bound_nanousd(self) -> int:
        """What must be set aside: the dearest candidate's bound."""
        return max(candidate.amount_bound_nanousd for candidate in self.candidates)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them; `cached_tokens` is part of input, `reasoning_tokens` part of output."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """The messages in OpenAI's chat form, and parameters passed through (`temperature`, `tools`, ...)."""

    messages: Sequence[Mapping[str, Any]]
    parameters: Mapping[str, Any] = field(default_factory=dict)


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
    text: str


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
    """The last chunk of a stream that ended well. A stream without it did not."""

    finish_reason: str
    usage: Usage
    attempt_id: UUID
    candidate: Candidate


Chunk = TextDelta | ReasoningDelta | ToolCallStarted | ToolCallCompleted | Restarted | Finished


class AttemptState(StrEnum):
    WON = "won"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How one attempt ended. `usage` is the provider's, or an estimate from what was received."""

    attempt_id: UUID
    candidate: Candidate
    number: int
    state: AttemptState
    usage: Usage
    error_code: str | None
    first_token_seconds: float | None
    duration_seconds: float

    @classmethod
    def never_made(cls, attempt_id: UUID, candidate: Candidate, number: int) -> "AttemptEnd":
        """An attempt whose row was written and whose call was then not made: nothing was used."""
        return cls(attempt_id, candidate, number, AttemptState.CANCELLED, Usage(0, 0), None, None, 0.0)


class Gate(Protocol):
    """Stands before every provider call. For a chat it checks fence and cancel and writes the attempt row."""

    async def begin(self, candidate: Candidate, number: int) -> UUID:
        """Return the attempt's id, which travels upstream as a header. Raises to forbid the call."""
        ...

    def ended(self, end: AttemptEnd) -> None:
        """Take note of how an attempt ended. Called exactly once for each id that `begin` returned."""
        ...
