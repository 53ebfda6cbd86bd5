"""What is asked of models, and the plan that answers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from apps.routing.contracts.caching import CacheUse
from apps.routing.contracts.catalogue import FallbackKind, ModelKind, PolicyKind, PriceVersion


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


class Candidate(NamedTuple):
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
    def tokens_bound(self) -> int:
        return self.input_tokens_bound + self.output_tokens_bound

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
    def tokens_bound(self) -> int:
        """The most tokens that one attempt, and all calls beside the answer, can use, in and out."""
        return max(one.tokens_bound for one in self.candidates) + sum(
            one.calls * one.candidate.tokens_bound for one in self.side
        )

    @property
    def amount_bound_nanousd(self) -> int:
        """What must be set aside: the dearest candidate's bound, and that of all calls beside the answer."""
        return max(candidate.amount_bound_nanousd for candidate in self.candidates) + self.side_bound_nanousd


@dataclass(frozen=True, slots=True)
class Prompt:
    """The messages in OpenAI's chat form, and parameters passed through (`temperature`, `tools`, ...).

    `prefilled`: the last message is the beginning of the answer, to be gone on from. `whole`: nobody reads along, so a
    provider may answer in one piece.
    """

    messages: Sequence[Mapping[str, Any]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    prefilled: bool = False
    whole: bool = False
