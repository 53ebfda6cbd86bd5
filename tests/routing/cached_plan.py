"""A plan with one candidate, written out: for what needs no tenant, no catalogue and no provider."""

from uuid import uuid4

from apps.routing.contracts import Candidate, Plan, PriceVersion

CANDIDATE = Candidate(
    deployment_id=uuid4(),
    provider="sim",
    provider_name="Sim",
    adapter="openai_compatible",
    model="m",
    upstream_model="m",
    simulated=True,
    price=PriceVersion(uuid4(), 1, 1, 1, 1, 1, free=False),
    input_tokens_bound=10,
    output_tokens_bound=10,
)
PLAN = Plan("m", "M", 1, (CANDIDATE,))
