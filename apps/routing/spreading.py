"""In which order the deployments of one model are tried.

First by priority, then the cheaper. Among equals traffic is spread by weight, and a conversation stays where it was:
its place is drawn by rendezvous hashing, so every process draws the same one, and a deployment that comes or goes moves
only its own share. Calls without a conversation take the less busy of two drawn at random (power of two choices).
"""

import math
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from apps.routing import chance
from apps.routing.health import Health
from apps.routing.places import Place

HealthOf = Callable[[UUID], Health]

# A conversation leaves its place while that is so much busier here than its second choice: a warm prompt cache is worth
# waiting a little for, and not more.
BUSIER_CALLS = 8

_PRIME = 2**61 - 1

_first = itemgetter(0)


def spread(passed: list[Place], conversation_id: UUID | None, health_of: HealthOf) -> list[Place]:
    """The places in the order they are tried."""
    if len(passed) < 2:
        return passed
    ranks = [(place.deployment.priority, place.bound_nanousd) for place in passed]
    if ranks.count(ranks[0]) == len(ranks):
        return _among_equals(passed, conversation_id, health_of)
    ranked = sorted(zip(ranks, passed, strict=True), key=_first)
    ordered: list[Place] = []
    for _, group in groupby(ranked, _first):
        ordered += _among_equals([place for _, place in group], conversation_id, health_of)
    return ordered


def _among_equals(equals: list[Place], conversation_id: UUID | None, health_of: HealthOf) -> list[Place]:
    if len(equals) == 1:
        return equals
    who = None if conversation_id is None else conversation_id.int
    drawn = [(draw(place.deployment.weight, who, place.deployment.id.int), place) for place in equals]
    drawn.sort(key=_first)
    order = [place for _, place in drawn]
    patience = 0 if who is None else BUSIER_CALLS
    running = health_of(order[0].deployment.id).in_flight
    if running > patience and running > health_of(order[1].deployment.id).in_flight + patience:
        order[:2] = order[1], order[0]
    return order


def draw(weight: float, who: int | None, what: int) -> float:
    """A number whose smallest wins with a chance in proportion to the weight (an exponential race).

    The same ids of who draws and what is drawn, both random, draw the same everywhere; with None for the former, dice
    are thrown.
    """
    if weight <= 0:
        return math.inf
    # Multiplicative hashing modulo a prime (Carter and Wegman, "Universal classes of hash functions", 1979): a fifth of
    # what a cryptographic hash takes, and nobody gains from guessing it. Eight bits are dropped: a float holds the rest
    # exactly, so that the share stays below one.
    share = chance.share() if who is None else (who * what % _PRIME >> 8) / 2**53
    return -math.log(1.0 - share) / weight


@lru_cache(maxsize=1024)
def named(name: str) -> int:
    """The id of what is drawn, where it has only a name."""
    return int.from_bytes(blake2b(name.encode(), digest_size=16).digest())
