"""What a tenant may use: models, the deployments that serve them, their prices, and the policies between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from uuid import UUID

from apps.billing.contracts import TokenBound
from apps.routing.contracts.caching import NO_CACHES, CacheRules


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


@dataclass(frozen=True)
class PriceVersion:
    """A price in force, in nano-dollars per million tokens. `free` says that zeros are meant.

    Read seldom and asked by every plan: what follows from it is found once, for which it has no slots.
    """

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

    @cached_property
    def is_given(self) -> bool:
        """Whether somebody has set it: a price, or that there is none to pay."""
        return self.free or self.input_nanousd_per_mtok > 0 or self.output_nanousd_per_mtok > 0

    def plain_amount_nanousd(self, input_tokens: int, output_tokens: int) -> int:
        """`amount_nanousd` of so many tokens, none of them cached or of a thought."""
        total = input_tokens * self.input_nanousd_per_mtok + output_tokens * self.output_nanousd_per_mtok
        return -(-total // 1_000_000)

    def amount_bound_nanousd(self, input_tokens: int, output_tokens: int) -> int:
        """The most that so many tokens can cost, whatever kind each turns out to be."""
        return -(-(input_tokens * self._dearest_input + output_tokens * self._dearest_output) // 1_000_000)

    @cached_property
    def _dearest_input(self) -> int:
        return max(self.input_nanousd_per_mtok, self.cached_input_nanousd_per_mtok, self.cache_write_nanousd_per_mtok)

    @cached_property
    def _dearest_output(self) -> int:
        return max(self.output_nanousd_per_mtok, self.reasoning_nanousd_per_mtok)


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

    `withheld` names the models that the tenant may use and this caller may not, each with its tier; `beyond_key` names
    models and policies that the caller's key is not for. `residency` names
    where the tenant's prompts may be processed (none: anywhere). `ratings` are the tenant's own votes, by slug.
    `side_models` are those that do not chat, by slug; of these, `side_uses` are asked beside every answer, and
    `embedders` are those that callers may ask for vectors themselves.
    A call with more than `input_bound`, or that asks for more than `output_bound`, is refused.
    No answer gets more than `max_output_tokens`, whatever is asked for. `max_cost_nanousd` and `max_first_token_ms`
    hold for every call, beside what policy and caller say. All answers together come no faster than
    `max_tokens_per_second`.
    """

    tenant_id: UUID
    models: Mapping[str, OfferedModel]
    withheld: Mapping[str, str] = field(default_factory=dict)
    policies: Mapping[str, OfferedPolicy] = field(default_factory=dict)
    residency: frozenset[str] = frozenset()
    ratings: Mapping[str, float] = field(default_factory=dict)
    side_models: Mapping[str, OfferedModel] = field(default_factory=dict)
    side_uses: tuple[SideUse, ...] = ()
    embedders: Mapping[str, OfferedModel] = field(default_factory=dict)
    max_output_tokens: int | None = None
    cache: CacheRules = NO_CACHES
    max_cost_nanousd: int | None = None
    max_first_token_ms: int | None = None
    max_tokens_per_second: int | None = None
    beyond_key: frozenset[str] = frozenset()
    input_bound: TokenBound | None = None
    output_bound: TokenBound | None = None


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
