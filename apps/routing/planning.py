"""Which deployments could answer a call, in which order, and what each could cost at most. CPU only."""

from apps.routing import tokens
from apps.routing.contracts import (
    Call,
    Candidate,
    Catalogue,
    Excluded,
    OfferedDeployment,
    OfferedModel,
    Plan,
    PriceVersion,
)
from apps.routing.errors import ContextExceeded, ModelNotAllowed, NoCandidates, UnknownModel, Unpriced

# Room for an answer when the caller named none; a reasoning model's thoughts come out of the same room.
DEFAULT_OUTPUT_TOKENS = 8_192
DEFAULT_REASONING_OUTPUT_TOKENS = 32_768

DISABLED = "disabled"
UNPRICED = "unpriced"
CONTEXT = "context"


def plan(call: Call, catalogue: Catalogue) -> Plan:
    """The call's candidates, by priority and then by the most they can cost.

    Raises `UnknownModel`, `ModelNotAllowed`, and where every deployment was ruled out `Unpriced`, `ContextExceeded` or
    `NoCandidates`.
    """
    model = catalogue.models.get(call.model)
    if tier := catalogue.withheld.get(call.model):
        raise ModelNotAllowed(
            f"“{call.model}” is of the tier “{tier}”, which this workspace opens to other roles or teams. "
            "An administrator of the workspace can change that."
        )
    if model is None:
        raise UnknownModel(f"There is no model “{call.model}” here. Choose one of the list.")
    candidates: list[tuple[int, Candidate]] = []
    excluded: list[Excluded] = []
    for deployment in model.deployments:
        outcome = _consider(call, model, deployment)
        if isinstance(outcome, Candidate):
            candidates.append((deployment.priority, outcome))
        else:
            excluded.append(Excluded(deployment.provider, deployment.upstream_model, outcome))
    if not candidates:
        raise _nothing_left(model, excluded)
    candidates.sort(key=lambda entry: (entry[0], entry[1].amount_bound_nanousd))
    return Plan(
        model=model.slug,
        model_name=model.name,
        hue=model.hue,
        candidates=tuple(candidate for _, candidate in candidates),
        excluded=tuple(excluded),
    )


def _consider(call: Call, model: OfferedModel, deployment: OfferedDeployment) -> Candidate | str:
    """The candidate, or the word for what rules the deployment out."""
    if not deployment.enabled:
        return DISABLED
    price = deployment.price
    if price is None or not _is_a_price(price):
        return UNPRICED
    # Ruled out by the likely size, not by the bound: the bound is several times too high for most texts, and a prompt
    # that does not fit after all is refused by the provider for nothing.
    room = model.context_tokens - tokens.likely_input(call.prompt_bytes)
    if room < 1:
        return CONTEXT
    default = DEFAULT_REASONING_OUTPUT_TOKENS if model.reasoning else DEFAULT_OUTPUT_TOKENS
    asked = default if call.max_output_tokens is None else max(1, call.max_output_tokens)
    return Candidate(
        deployment_id=deployment.id,
        provider=deployment.provider,
        provider_name=deployment.provider_name,
        adapter=deployment.adapter,
        model=model.slug,
        upstream_model=deployment.upstream_model,
        simulated=deployment.simulated,
        price_id=price.id,
        input_nanousd_per_mtok=price.input_nanousd_per_mtok,
        cached_input_nanousd_per_mtok=price.cached_input_nanousd_per_mtok,
        output_nanousd_per_mtok=price.output_nanousd_per_mtok,
        input_tokens_bound=tokens.input_bound(call.prompt_bytes, model.context_tokens),
        output_tokens_bound=min(asked, model.max_output_tokens, room),
    )


def _is_a_price(price: PriceVersion) -> bool:
    return price.free or price.input_nanousd_per_mtok > 0 or price.output_nanousd_per_mtok > 0


def _nothing_left(model: OfferedModel, excluded: list[Excluded]) -> Exception:
    reasons = {one.reason for one in excluded}
    if CONTEXT in reasons:
        return ContextExceeded(
            f"The conversation is longer than {model.name} can read ({model.context_tokens:,} tokens). "
            "Shorten it, or choose a model with a larger context."
        )
    if UNPRICED in reasons:
        return Unpriced(f"{model.name} has no price. An administrator must set one, or mark the model as free.")
    return NoCandidates(f"{model.name} is switched off everywhere. Choose another model.")
