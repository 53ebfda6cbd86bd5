"""What crosses the border of `routing`: calls, plans, chunks and the gate every provider call passes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from apps.routing.cache_contracts import NO_CACHES, CacheHit, CacheRules, CacheUse
from apps.routing.safety_contracts import Verdict


class ModelKind(StrEnum):
    """What a model is asked for: an answer, or a reading of a text on the side."""

    CHAT = "chat"
    EMBEDDING = "embedding"
    MODERATION = "moderation"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model as lists show it. Prices are US dollars per million tokens, of its first deployment; None if unpriced.

    `policy`: it is not a model but chooses one for each question, so it has no price of its own.
    """

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
    policy: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them.

    `cached_tokens` (read from the provider's prompt cache) and `cache_write_tokens` (written into it) are disjoint
    parts of input, `reasoning_tokens` are part of output.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class PriceVersion:
    """A price in force, in nano-dollars per million tokens. `free` says that zeros are meant."""

    id: UUID
    input_nanousd_per_mtok: int
    cached_input_nanousd_per_mtok: int
    cache_write_nanousd_per_mtok: int
    output_nanousd_per_mtok: int
    reasoning_nanousd_per_mtok: int
    free: bool

    def amount_nanousd(self, usage: Usage) -> int:
        """Cost of that usage, rounded up to a whole nano-dollar. Each token is charged once."""
        fresh = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
        spoken = max(0, usage.output_tokens - usage.reasoning_tokens)
        total = (
            fresh * self.input_nanousd_per_mtok
            + usage.cached_tokens * self.cached_input_nanousd_per_mtok
            + usage.cache_write_tokens * self.cache_write_nanousd_per_mtok
            + spoken * self.output_nanousd_per_mtok
            + usage.reasoning_tokens * self.reasoning_nanousd_per_mtok
        )
        return -(-total // 1_000_000)

    def amount_bound_nanousd(self, input_tokens: int, output_tokens: int) -> int:
        """The most that so many tokens can cost, whatever kind each turns out to be."""
        dearest_input = max(
            self.input_nanousd_per_mtok, self.cached_input_nanousd_per_mtok, self.cache_write_nanousd_per_mtok
        )
        dearest_output = max(self.output_nanousd_per_mtok, self.reasoning_nanousd_per_mtok)
        return -(-(input_tokens * dearest_input + output_tokens * dearest_output) // 1_000_000)


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
    region: str = ""
    residency: str = ""
    weight: int = 100
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    max_parallel: int | None = None
    max_waiting: int = 0


class FallbackKind(StrEnum):
    """What must have gone wrong before a model turns to another one."""

    ANY = "any"
    CONTEXT = "context"
    OVERLOADED = "overloaded"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a model can do, wherever it runs. No `languages` means any; `strength` 0 to 100, None where nobody knows."""

    tools: bool = False
    vision: bool = False
    json_schema: bool = False
    prefill: bool = False
    languages: frozenset[str] = frozenset()
    safety_class: int = 1
    strength: int | None = None


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
    profile: Profile = Profile()
    fallbacks: Mapping[FallbackKind, tuple[str, ...]] = field(default_factory=dict)
    kind: ModelKind = ModelKind.CHAT

    @property
    def first_deployment(self) -> OfferedDeployment | None:
        return next((one for one in self.deployments if one.enabled), None)


class PolicyKind(StrEnum):
    """How a routing policy orders its models."""

    FIXED = "fixed"
    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    WEIGHTED = "weighted"
    AUTO = "auto"
    LEADERBOARD = "leaderboard"


@dataclass(frozen=True, slots=True)
class OfferedPolicy:
    """A name that is chosen like a model's and chooses among `models` (none: all that the caller may use).

    `weights` are shares by slug; from the difficulty `hard_from` (0 to 100) on `auto` prefers strength to price;
    models below `safety_class`, or likely to cost more than `max_cost_nanousd`, are left out, and those measured slower
    than `max_first_token_ms` come last.
    """

    slug: str
    name: str
    hue: int
    description: str
    kind: PolicyKind
    models: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    hard_from: int = 50
    safety_class: int = 0
    max_first_token_ms: int | None = None
    max_cost_nanousd: int | None = None
    created_at: int = 0


@dataclass(frozen=True, slots=True)
class SideUse:
    """A model that the tenant's settings want asked beside every answer, at most `calls` times for one answer.

    `reads_answer`: what it reads is as long as the answer becomes; otherwise the prompt bounds it.
    """

    model: str
    calls: int = 1
    reads_answer: bool = False


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What one tenant, or one caller in it, may use, as it was at one moment: models by slug, in the order of lists.

    `withheld` names the models that the tenant may use and this caller may not, each with its tier. `residency` names
    where the tenant's prompts may be processed (none: anywhere). `ratings` are the tenant's own votes, by slug.
    `side_models` are those that do not chat, by slug; of these, `side_uses` are asked beside every answer.
    No answer gets more than `max_output_tokens`, whatever is asked for. `max_cost_nanousd` and `max_first_token_ms`
    hold for every call, beside what policy and caller say.
    """

    tenant_id: UUID
    models: Mapping[str, OfferedModel]
    withheld: Mapping[str, str] = field(default_factory=dict)
    policies: Mapping[str, OfferedPolicy] = field(default_factory=dict)
    residency: frozenset[str] = frozenset()
    ratings: Mapping[str, float] = field(default_factory=dict)
    side_models: Mapping[str, OfferedModel] = field(default_factory=dict)
    side_uses: tuple[SideUse, ...] = ()
    max_output_tokens: int | None = None
    cache: CacheRules = NO_CACHES
    max_cost_nanousd: int | None = None
    max_first_token_ms: int | None = None


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
    cache_write_nanousd_per_mtok: int | None = None
    reasoning_nanousd_per_mtok: int | None = None


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """What registering a model left behind. `created` if the deployment is new; `repriced` if a price was appended."""

    model_id: UUID
    deployment_id: UUID
    created: bool
    repriced: bool


@dataclass(frozen=True, slots=True)
class Needs:
    """What the answering model must be able to do. `language` is an ISO 639-1 code, None where it was not made out."""

    tools: bool = False
    vision: bool = False
    json_schema: bool = False
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How hard a question looks, 0 to 100, and the parts of that sum, each with its name."""

    score: int
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a model or policy, as far as planning needs to know: `prompt_bytes` bounds the input tokens.

    Calls of one `conversation_id` go to the same place while it serves, so that the provider's prompt cache is of use.
    `max_cost_nanousd` and `max_first_token_ms` tighten what the policy says.
    """

    tenant_id: UUID
    model: str
    prompt_bytes: int
    max_output_tokens: int | None = None
    needs: Needs = Needs()
    difficulty: Difficulty | None = None
    conversation_id: UUID | None = None
    max_cost_nanousd: int | None = None
    max_first_token_ms: int | None = None
    cache: CacheUse = CacheUse.USE


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment that could answer, with its price fixed and the most that one attempt on it can cost.

    `after` says that it answers only once something of that kind went wrong with those before it. It takes
    `max_parallel` calls at once (None: any number) while `max_waiting` others stand in line.
    """

    deployment_id: UUID
    provider: str
    provider_name: str
    adapter: str
    model: str
    upstream_model: str
    simulated: bool
    price: PriceVersion
    input_tokens_bound: int
    output_tokens_bound: int
    model_name: str = ""
    hue: int = 1
    region: str = ""
    context_tokens: int = 0
    prefill: bool = False
    after: FallbackKind | None = None
    kind: ModelKind = ModelKind.CHAT
    max_parallel: int | None = None
    max_waiting: int = 0

    @property
    def on_the_side(self) -> bool:
        """Whether it is asked beside the answer and not for it."""
        return self.kind is not ModelKind.CHAT

    @property
    def amount_bound_nanousd(self) -> int:
        return self.price.amount_bound_nanousd(self.input_tokens_bound, self.output_tokens_bound)


@dataclass(frozen=True, slots=True)
class SideCall:
    """A deployment that is asked beside the answer, at most `calls` times."""

    candidate: Candidate
    calls: int = 1

    @property
    def amount_bound_nanousd(self) -> int:
        return self.calls * self.candidate.amount_bound_nanousd


@dataclass(frozen=True, slots=True)
class Excluded:
    """A deployment that was considered and ruled out, and the reason in one word.

    `provider` is the provider's name, `model` the slug.
    """

    provider: str
    upstream_model: str
    reason: str
    model: str = ""


class Ranked(NamedTuple):
    """One model in a policy's order, and the figures that put it there: what an answer is likely to cost, what was
    measured, what is known. None where a figure does not exist."""

    model: str
    likely_cost_nanousd: int
    first_token_ms: int | None = None
    tokens_per_second: float | None = None
    strength: int | None = None
    rating: float | None = None
    share: float | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Why a policy put its models in this order. `rule` says which of its rules applied, in one sentence."""

    kind: PolicyKind
    rule: str
    ranking: tuple[Ranked, ...]
    difficulty: Difficulty | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Candidates in the order they will be tried, and what ruled the others out. Stored with the generation.

    `model` is the name that was asked for, a model's or a policy's; each candidate names its own. `choice` is None
    where a model was asked for.
    """

    model: str
    model_name: str
    hue: int
    candidates: tuple[Candidate, ...]
    excluded: tuple[Excluded, ...] = ()
    choice: Choice | None = None
    side: tuple[SideCall, ...] = ()
    cache: CacheUse = CacheUse.USE

    @property
    def side_bound_nanousd(self) -> int:
        """The most that the calls beside the answer can cost."""
        return sum(one.amount_bound_nanousd for one in self.side)

    @property
    def amount_bound_nanousd(self) -> int:
        """What must be set aside: the dearest candidate's bound, and that of all calls beside the answer."""
        return max(candidate.amount_bound_nanousd for candidate in self.candidates) + self.side_bound_nanousd


@dataclass(frozen=True, slots=True)
class Prompt:
    """The messages in OpenAI's chat form, and parameters passed through (`temperature`, `tools`, ...).

    `prefilled`: the last message is the beginning of the answer, to be gone on from.
    """

    messages: Sequence[Mapping[str, Any]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    prefilled: bool = False


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
    """The last chunk of a stream that ended well. A stream without it did not.

    `passed_over`: candidates that were not asked because their breakers were open or their pools full. `parts`: earlier
    attempts whose text the answer begins with. `cache`: no attempt was made, an earlier answer was served; `attempt_id`
    and `candidate` are that one's, and nothing was used.
    """

    finish_reason: str
    usage: Usage
    attempt_id: UUID
    candidate: Candidate
    passed_over: tuple[Excluded, ...] = ()
    parts: tuple[UUID, ...] = ()
    cache: CacheHit | None = None


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

    `number` counts the attempts at the answer, and is 1 for every call beside it.
    """

    attempt_id: UUID
    candidate: Candidate
    number: int
    state: AttemptState
    usage: Usage
    error_code: str | None
    first_token_seconds: float | None
    duration_seconds: float

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
