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
        # By position, in the order of the class: by name it takes twice as long, and each plan makes a dozen.
        return Candidate(
            deployment.id,
            deployment.provider,
            deployment.provider_name,
            deployment.adapter,
            model.slug,
            deployment.upstream_model,
            deployment.simulated,
            self.price,
            self.input_tokens_bound,
            self.output_tokens_bound,
            model.name,
            model.hue,
            deployment.region,
            self.context_tokens,
            model.profile.prefill,
            self.after,
            model.kind,
            deployment.max_parallel,
            deployment.max_waiting,
        )
