"""Which workers can serve a plan. Those with litellm have every adapter; the others have all but that one.

A plan whose first choice only litellm can call waits for such a worker. One that turns to litellm only as a fallback
goes to such a worker first, because its whole chain can be tried there. If none takes it within
`PATIENCE_SECONDS`, any worker does and passes those candidates over: a fallback must not be what an answer hangs on.
"""

from typing import Final

from apps.routing.contracts import Plan

# The adapter, and the queue of the workers that load it.
LITELLM: Final = "litellm"
DEFAULT: Final = "default"
EITHER: Final = "either"
PATIENCE_SECONDS: Final = 2.0
# Stands for the address that litellm knows of the provider itself.
KNOWN_ADDRESS: Final = "https://litellm.invalid/v1"


def queue_of(plan: Plan) -> str:
    """The queue that a generation with this plan waits in."""
    needs = [candidate.adapter == LITELLM for candidate in plan.candidates]
    if not any(needs):
        return DEFAULT
    return LITELLM if needs[0] else EITHER
