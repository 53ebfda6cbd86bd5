"""A deployment that passed every filter, with the figures that put it in order.

Planning looks at many of these and keeps a few: only those become candidates, which cost more to make.
"""

from typing import NamedTuple

from apps.routing.contracts import Candidate, FallbackKind, OfferedDeployment, OfferedModel, PriceVersion


class Place(NamedTuple):
    """`likely_nanousd` compares places with each other; `bound_nanousd` is the most that an answer can cost there."""

    model: OfferedModel
    deployment: OfferedDeployment
    price: PriceVersion
    likely_nanousd: int
    bound_nanousd: int
    input_tokens_bound: int
    output_tokens_bound: int
    context_tokens: int
    after: FallbackKind | None

    def candidate(self) -> Candidate:
        model, deployment = self.model, self.deployment
        return Candidate(
            deployment_id=deployment.id,
            provider=deployment.provider,
            provider_name=deployment.provider_name,
            adapter=deployment.adapter,
            model=model.slug,
            upstream_model=deployment.upstream_model,
            simulated=deployment.simulated,
            price=self.price,
            input_tokens_bound=self.input_tokens_bound,
            output_tokens_bound=self.output_tokens_bound,
            model_name=model.name,
            hue=model.hue,
            region=deployment.region,
            context_tokens=self.context_tokens,
            prefill=model.profile.prefill,
            after=self.after,
            kind=model.kind,
            max_parallel=deployment.max_parallel,
            max_waiting=deployment.max_waiting,
        )
