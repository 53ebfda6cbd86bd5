"""Which deployments could answer a call, in which order, and what each could cost at most. CPU only.

Three steps: what was asked for names models (one, or those of a policy, put in order by `ranking`); each of their
deployments passes every filter or is excluded with the reason; what is left is put in order by `spreading`.
"""

from collections.abc import Iterable
from dataclasses import replace

from apps.routing import ranking, tokens
from apps.routing.contracts import (
    Call,
    Catalogue,
    Excluded,
    FallbackKind,
    Needs,
    OfferedDeployment,
    OfferedModel,
    OfferedPolicy,
    Plan,
    SideCall,
)
from apps.routing.errors import (
    ContextExceeded,
    ModelNotAllowed,
    NoCandidates,
    NotCapable,
    OutputExceeded,
    TooDear,
    UnknownModel,
    Unpriced,
)
from apps.routing.places import Place
from apps.routing.spreading import HealthOf, spread

# Room for an answer when the caller named none; a reasoning model's thoughts come out of the same room.
DEFAULT_OUTPUT_TOKENS = 8_192
DEFAULT_REASONING_OUTPUT_TOKENS = 32_768
# More are never tried, and each is stored with the generation.
MOST_CANDIDATES = 12

NO_NEEDS = Needs()

DISABLED = "disabled"
UNPRICED = "unpriced"
CONTEXT = "context"
RESIDENCY = "residency"
TOOLS = "tools"
VISION = "vision"
JSON_SCHEMA = "json_schema"
LANGUAGE = "language"
SAFETY_CLASS = "safety_class"
COST = "cost"
BUDGET = "budget"
NOT_OFFERED = "not_offered"


def plan(call: Call, catalogue: Catalogue, health_of: HealthOf) -> Plan:
    """The call's candidates in the order they will be tried: the models in the policy's order, then their fallbacks.

    Raises `UnknownModel`, `ModelNotAllowed`, `ContextExceeded` and `OutputExceeded` by the caller's limits, and where
    every deployment was ruled out `Unpriced`, `ContextExceeded`, `NotCapable`, `TooDear` or `NoCandidates`.
    """
    _within_limits(call.max_output_tokens, tokens.likely_input(call.prompt_bytes), catalogue)
    excluded: list[Excluded] = []
    if (model := catalogue.models.get(call.model)) is not None:
        wanted = [model]
        named: OfferedModel | OfferedPolicy = model
        policy = None
    elif (policy := catalogue.policies.get(call.model)) is not None:
        wanted = _of_policy(policy, catalogue, excluded)
        named = policy
    else:
        raise _not_offered(call.model, catalogue)
    considered = _Considered(call, catalogue, policy, health_of, excluded)
    able = {model.slug: found for model in wanted if (found := considered.places(model, None))}
    choice = None
    order = list(able)
    if policy is not None:
        firsts = [found[0] for found in able.values()]
        order, choice = ranking.choose(policy, call, firsts, catalogue, health_of)
    places = [place for slug in order for place in able[slug]]
    if not places:
        raise _nothing_left(named, wanted, excluded)
    places += considered.fallbacks([catalogue.models[slug] for slug in order], taken=set(order))
    return Plan(
        model=named.slug,
        model_name=named.name,
        hue=named.hue,
        candidates=tuple(place.candidate() for place in places[:MOST_CANDIDATES]),
        excluded=tuple(excluded),
        choice=choice,
        side=tuple(_side(call, catalogue)),
        cache=call.cache,
    )


def _within_limits(asked_output_tokens: int | None, input_tokens: int, catalogue: Catalogue) -> None:
    """Raises `ContextExceeded` or `OutputExceeded` where the caller's limits do not allow so large a call.

    As providers do it: who asks for more output than there may be is told so, and who asks for no number gets less.
    """
    bound = catalogue.input_bound
    if bound is not None and input_tokens > bound.tokens:
        raise ContextExceeded(
            f"The limit for {bound.whose} is {bound.tokens:,} tokens of input in one call, and this has about "
            f"{input_tokens:,}. Shorten it."
        )
    bound = catalogue.output_bound
    least_tokens = 1 if asked_output_tokens is None else asked_output_tokens
    if bound is not None and least_tokens > bound.tokens:
        raise OutputExceeded(
            f"The limit for {bound.whose} is {bound.tokens:,} tokens of output in one call, and this asks for "
            f"{least_tokens:,}. Ask for fewer, or for no number."
        )


def require_offered(slug: str, catalogue: Catalogue) -> None:
    """Raises `UnknownModel` or `ModelNotAllowed` where no model or policy of this name is on offer."""
    if slug not in catalogue.models and slug not in catalogue.policies:
        raise _not_offered(slug, catalogue)


def plan_vectors(
    model_slug: str, input_tokens_bound: int, catalogue: Catalogue, health_of: HealthOf, input_tokens: int = 0
) -> Plan:
    """Who could turn texts of so many tokens into vectors, in the order they will be tried. About `input_tokens` they
    are, and never more than the bound.

    Raises `UnknownModel`, `ModelNotAllowed`, `ContextExceeded`, `Unpriced` or `NoCandidates`.
    """
    _within_limits(0, input_tokens, catalogue)
    model = catalogue.embedders.get(model_slug)
    if model is None:
        raise _not_offered(model_slug, catalogue)
    excluded: list[Excluded] = []
    places: list[Place] = []
    for deployment in model.deployments:
        price = deployment.price
        if not deployment.enabled:
            reason = DISABLED
        elif _is_elsewhere(deployment, catalogue):
            reason = RESIDENCY
        elif price is None or not price.is_given:
            reason = UNPRICED
        else:
            bound_nanousd = price.amount_bound_nanousd(input_tokens_bound, 0)
            context_tokens = deployment.context_tokens or model.context_tokens
            places.append(
                Place(
                    model, deployment, price, bound_nanousd, bound_nanousd, input_tokens_bound, 0, context_tokens, None
                )
            )
            continue
        excluded.append(Excluded(deployment.provider_name, deployment.upstream_model, reason, model.slug))
    if not places:
        raise _nothing_left(model, [model], excluded)
    candidates = tuple(place.candidate() for place in spread(places, None, health_of)[:MOST_CANDIDATES])
    return Plan(model.slug, model.name, model.hue, candidates, tuple(excluded))


def least_nanousd(plan: Plan) -> int:
    """What must be set aside at least: the bound of the cheapest first choice, and of the calls beside the answer.

    A fallback alone is no plan: it was declared for when the first choices fail.
    """
    first = [one for one in plan.candidates if one.after is None]
    return min(one.amount_bound_nanousd for one in first) + plan.side_bound_nanousd


def within(plan: Plan, amount_nanousd: int) -> Plan:
    """The plan without the candidates that could cost more than that, which is `least_nanousd` at least."""
    left_nanousd = amount_nanousd - plan.side_bound_nanousd
    dropped = [one for one in plan.candidates if one.amount_bound_nanousd > left_nanousd]
    if not dropped:
        return plan
    excluded = (Excluded(one.provider_name, one.upstream_model, BUDGET, one.model) for one in dropped)
    kept = tuple(one for one in plan.candidates if one.amount_bound_nanousd <= left_nanousd)
    return replace(plan, candidates=kept, excluded=(*plan.excluded, *excluded))


def _side(call: Call, catalogue: Catalogue) -> Iterable[SideCall]:
    """What the tenant's settings want asked beside the answer, where a deployment may be asked and has a price.

    A wish that cannot be met is no reason to refuse the call: whoever wanted it sees that it is not there.
    """
    for use in catalogue.side_uses:
        model = catalogue.side_models.get(use.model)
        if model is None:
            continue
        for deployment in model.deployments:
            price = deployment.price
            if price is None or not price.is_given:
                continue
            if not deployment.enabled or _is_elsewhere(deployment, catalogue):
                continue
            context_tokens = deployment.context_tokens or model.context_tokens
            bound = context_tokens if use.reads_answer else tokens.input_bound(call.prompt_bytes, context_tokens)
            place = Place(model, deployment, price, 0, 0, bound, 0, context_tokens, None)
            yield SideCall(place.candidate(), use.calls)
            break


def _is_elsewhere(deployment: OfferedDeployment, catalogue: Catalogue) -> bool:
    """Whether prompts would be processed where this workspace's may not be."""
    return bool(catalogue.residency) and deployment.residency not in catalogue.residency


class _Considered:
    """The filters that every deployment passes, whether first choice or fallback."""

    def __init__(
        self,
        call: Call,
        catalogue: Catalogue,
        policy: OfferedPolicy | None,
        health_of: HealthOf,
        excluded: list[Excluded],
    ) -> None:
        self._call = call
        self._catalogue = catalogue
        self._safety_class = policy.safety_class if policy else 0
        ceilings = (call.max_cost_nanousd, policy.max_cost_nanousd if policy else None, catalogue.max_cost_nanousd)
        self._max_cost_nanousd = min((one for one in ceilings if one is not None), default=None)
        self._health_of = health_of
        self._excluded = excluded
        limit = catalogue.output_bound
        wanted = (call.max_output_tokens, catalogue.max_output_tokens, limit.tokens if limit else None)
        self._max_output_tokens = min((max(1, one) for one in wanted if one is not None), default=None)
        likely = tokens.likely_usage(call.prompt_bytes, self._max_output_tokens)
        # Fifty deployments are looked at as often as one: what is the same for all of them is found once.
        self._likely = likely.input_tokens, likely.output_tokens
        self._residency = catalogue.residency
        self._input_bounds: dict[int, int] = {}
        self._asked = self._output_asked(DEFAULT_OUTPUT_TOKENS)
        self._asked_of_thinkers = self._output_asked(DEFAULT_REASONING_OUTPUT_TOKENS)
        self._is_particular = call.needs != NO_NEEDS or self._safety_class > 0

    def _output_asked(self, default: int) -> int:
        asked = self._max_output_tokens or default
        return asked if self._call.max_output_tokens is not None else min(asked, default)

    def _input_bound(self, context_tokens: int) -> int:
        bound = self._input_bounds[context_tokens] = tokens.input_bound(self._call.prompt_bytes, context_tokens)
        return bound

    def places(self, model: OfferedModel, after: FallbackKind | None) -> list[Place]:
        """The model's deployments that passed, in the order they will be tried."""
        incapable = self._incapable(model) if self._is_particular else None
        passed: list[Place] = []
        for deployment in model.deployments:
            outcome = incapable or self._outcome(model, deployment, after)
            if isinstance(outcome, Place):
                passed.append(outcome)
            else:
                self._excluded.append(
                    Excluded(deployment.provider_name, deployment.upstream_model, outcome, model.slug)
                )
        return spread(passed, self._call.conversation_id, self._health_of)

    def fallbacks(self, models: Iterable[OfferedModel], taken: set[str]) -> list[Place]:
        """Places of the models that these turn to, each once, after the first choices."""
        found: list[Place] = []
        turning = [model for model in models if model.fallbacks]
        for kind in FallbackKind if turning else ():
            for model in turning:
                for slug in model.fallbacks.get(kind, ()):
                    if slug in taken and kind is not FallbackKind.CONTENT_FILTER:
                        continue
                    target = self._catalogue.models.get(slug)
                    if target is None:
                        self._excluded.append(Excluded("", slug, NOT_OFFERED, slug))
                    else:
                        found += self.places(target, kind)
                    taken.add(slug)
        return found

    def _incapable(self, model: OfferedModel) -> str | None:
        """What the call needs and the model lacks, in one word."""
        needs, profile = self._call.needs, model.profile
        if needs.tools and not profile.tools:
            return TOOLS
        if needs.vision and not profile.vision:
            return VISION
        if needs.json_schema and not profile.json_schema:
            return JSON_SCHEMA
        if needs.language and profile.languages and needs.language not in profile.languages:
            return LANGUAGE
        return SAFETY_CLASS if profile.safety_class < self._safety_class else None

    def _outcome(self, model: OfferedModel, deployment: OfferedDeployment, after: FallbackKind | None) -> Place | str:
        """The place, or the word for what rules the deployment out."""
        if not deployment.enabled:
            return DISABLED
        if self._residency and deployment.residency not in self._residency:
            return RESIDENCY
        price = deployment.price
        if price is None or not price.is_given:
            return UNPRICED
        # Ruled out by the likely size, not by the bound: the bound is several times too high for most texts, and a
        # prompt that does not fit after all is refused by the provider for nothing.
        context_tokens = deployment.context_tokens or model.context_tokens
        likely_input, likely_output = self._likely
        room = context_tokens - likely_input
        if room < 1:
            return CONTEXT
        likely_nanousd = price.plain_amount_nanousd(likely_input, likely_output)
        if self._max_cost_nanousd is not None and likely_nanousd > self._max_cost_nanousd:
            return COST
        input_bound = self._input_bounds.get(context_tokens) or self._input_bound(context_tokens)
        asked = self._asked_of_thinkers if model.reasoning else self._asked
        output_bound = min(asked, deployment.max_output_tokens or model.max_output_tokens, room)
        return Place(
            model,
            deployment,
            price,
            likely_nanousd,
            price.amount_bound_nanousd(input_bound, output_bound),
            input_bound,
            output_bound,
            context_tokens,
            after,
        )


def _of_policy(policy: OfferedPolicy, catalogue: Catalogue, excluded: list[Excluded]) -> list[OfferedModel]:
    """The models a policy chooses from; those that the caller may not use are noted."""
    if not policy.models:
        return list(catalogue.models.values())
    excluded += [Excluded("", slug, NOT_OFFERED, slug) for slug in policy.models if slug not in catalogue.models]
    return [catalogue.models[slug] for slug in policy.models if slug in catalogue.models]


def _not_offered(slug: str, catalogue: Catalogue) -> Exception:
    if tier := catalogue.withheld.get(slug):
        return ModelNotAllowed(
            f"“{slug}” is of the tier “{tier}”, which this workspace opens to other roles or teams. "
            "An administrator of the workspace can change that."
        )
    if slug in catalogue.beyond_key:
        return ModelNotAllowed(f"This API key is not for “{slug}”. GET /v1/models lists what it is for.")
    return UnknownModel(f"There is no model “{slug}” here. Choose one of the list.")


_LACKS = {
    TOOLS: "cannot call tools",
    VISION: "cannot look at pictures",
    JSON_SCHEMA: "cannot be held to a JSON schema",
    LANGUAGE: "does not answer well in this language",
    SAFETY_CLASS: "is not of the safety class that is asked for",
    RESIDENCY: "is not offered where this workspace's prompts may be processed",
}


def _nothing_left(
    named: OfferedModel | OfferedPolicy, wanted: list[OfferedModel], excluded: list[Excluded]
) -> Exception:
    reasons = {one.reason for one in excluded}
    if CONTEXT in reasons:
        longest = max((model.context_tokens for model in wanted), default=0)
        return ContextExceeded(
            f"The conversation is longer than {named.name} can read ({longest:,} tokens). "
            "Shorten it, or choose a model with a larger context."
        )
    if UNPRICED in reasons:
        return Unpriced(f"{named.name} has no price. An administrator must set one, or mark the model as free.")
    if COST in reasons:
        return TooDear(
            f"An answer of {named.name} is likely to cost more than the ceiling allows. Raise it, or ask less."
        )
    if lacks := next((text for reason, text in _LACKS.items() if reason in reasons), None):
        return NotCapable(f"{named.name} {lacks}. Choose another model.")
    return NoCandidates(f"{named.name} is switched off everywhere. Choose another model.")
