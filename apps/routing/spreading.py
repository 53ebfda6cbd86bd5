"""In which order the deployments of one model are tried.

First by priority, then the cheaper. Among equals traffic is spread by weight, and a conversation stays where it was:
its place is drawn by rendezvous hashing, so every process draws the same one, and a deployment that comes or goes moves
only its own share. Calls without a conversation take the less busy of two drawn at random (power of two choices).
"""

import math
from collections.abc import Callable
from hashlib import blake2b
from itertools import groupby
from uuid import UUID

from apps.routing import chance
from apps.routing.health import Health
from apps.routing.places import Place

HealthOf = Callable[[UUID], Health]

# A conversation leaves its place while that is so much busier here than its second choice: a warm prompt cache is worth
# waiting a little for, and not more.
BUSIER_CALLS = 8


def spread(passed: list[Place], conversation_id: UUID | None, health_of: HealthOf) -> list[Place]:
    """The places in the order they are tried."""
    if len(passed) < 2:
        return passed
    ordered: list[Place] = []
    for _, group in groupby(sorted(passed, key=_rank), key=_rank):
        ordered += _among_equals([*group], conversation_id, health_of)
    return ordered


def _rank(place: Place) -> tuple[int, int]:
    return place.deployment.priority, place.bound_nanousd


def _among_equals(equals: list[Place], conversation_id: UUID | None, health_of: HealthOf) -> list[Place]:
    if len(equals) == 1:
        return equals

    def number(place: Place) -> float:
        deployment = place.deployment
        return draw(deployment.weight, None if conversation_id is None else conversation_id.bytes + deployment.id.bytes)

    order = sorted(equals, key=number)
    first, second = (health_of(one.deployment.id).in_flight for one in order[:2])
    patience = 0 if conversation_id is None else BUSIER_CALLS
    if first > second + patience:
        order[:2] = order[1], order[0]
    return order


def draw(weight: float, seed: bytes | None) -> float:
    """A number whose smallest wins with a chance in proportion to the weight (an exponential race).

    The same `seed` (the ids of who draws and what is drawn) draws the same number everywhere; None throws the dice.
    """
    if weight <= 0:
        return math.inf
    # As many bits as a float has, so that the number stays below one.
    share = chance.share() if seed is None else (int.from_bytes(blake2b(seed, digest_size=8).digest()) >> 11) / 2**53
    return -math.log(1.0 - share) / weight
