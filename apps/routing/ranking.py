"""In which order a policy would have its models answer, and the figures behind it."""

import math
from collections.abc import Callable, Sequence

from apps.routing import tokens
from apps.routing.contracts import (
    Call,
    Catalogue,
    Choice,
    OfferedPolicy,
    PolicyKind,
    Ranked,
)
from apps.routing.health import Health
from apps.routing.places import Place
from apps.routing.spreading import HealthOf, draw, named

# What an unmeasured model is taken for, so that it is tried and then measured.
HOPED_FIRST_TOKEN_SECONDS = 0.5
HOPED_TOKENS_PER_SECOND = 50.0

# As many are stored with an answer.
MOST_RANKED = 12

Key = Callable[[Place], tuple[float, ...]]


def choose(
    policy: OfferedPolicy,
    call: Call,
    places: Sequence[Place],
    catalogue: Catalogue,
    health_of: HealthOf,
) -> tuple[list[str], Choice]:
    """Slugs in the policy's order, from each model's first place, and why they stand so.

    Models slower than the latency target come last, in the same order.
    """
    targets = (policy.max_first_token_ms, call.max_first_token_ms, catalogue.max_first_token_ms)
    target_ms = min((one for one in targets if one is not None), default=None)
    key, rule = _RULES[policy.kind](policy, call, catalogue, health_of)
    ordered = sorted(places, key=key)  # stable: what is equal stays in the order of the list
    if target_ms is not None:
        ordered.sort(key=lambda place: _is_late(health_of(place.deployment.id), target_ms))
        rule += f" Models measured slower than {target_ms} ms to the first token come last."
    hard = call.difficulty if policy.kind is PolicyKind.AUTO else None
    rows = tuple(_ranked(policy, place, catalogue, health_of, target_ms) for place in ordered[:MOST_RANKED])
    return [place.model.slug for place in ordered], Choice(policy.kind, rule, rows, hard)


def _ranked(
    policy: OfferedPolicy, place: Place, catalogue: Catalogue, health_of: HealthOf, target_ms: int | None
) -> Ranked:
    slug = place.model.slug
    health = health_of(place.deployment.id)
    return Ranked(
        model=slug,
        likely_cost_nanousd=place.likely_nanousd,
        first_token_ms=_first_token_ms(health),
        tokens_per_second=health.tokens_per_second,
        strength=place.model.profile.strength,
        rating=catalogue.ratings.get(slug),
        share=policy.weights.get(slug, 0.0) if policy.kind is PolicyKind.WEIGHTED else None,
        late=target_ms is not None and _is_late(health, target_ms),
    )


def _first_token_ms(health: Health) -> int | None:
    return None if health.first_token_seconds is None else round(health.first_token_seconds * 1000)


def _is_late(health: Health, target_ms: int) -> bool:
    return (_first_token_ms(health) or 0) > target_ms


def _fixed(policy: OfferedPolicy, call: Call, catalogue: Catalogue, health_of: HealthOf) -> tuple[Key, str]:
    return lambda place: (), "The first model of the list that can answer."


def _cheapest(policy: OfferedPolicy, call: Call, catalogue: Catalogue, health_of: HealthOf) -> tuple[Key, str]:
    return lambda place: (place.likely_nanousd,), "The model whose answer is likely to cost least."


def _fastest(policy: OfferedPolicy, call: Call, catalogue: Catalogue, health_of: HealthOf) -> tuple[Key, str]:
    length = tokens.likely_usage(call.prompt_bytes, call.max_output_tokens).output_tokens

    def seconds(place: Place) -> tuple[float, ...]:
        health = health_of(place.deployment.id)
        first = HOPED_FIRST_TOKEN_SECONDS if health.first_token_seconds is None else health.first_token_seconds
        return (first + length / (health.tokens_per_second or HOPED_TOKENS_PER_SECOND),)

    return seconds, "The model measured to answer soonest; one that was not measured yet is taken for a fast one."


def _weighted(policy: OfferedPolicy, call: Call, catalogue: Catalogue, health_of: HealthOf) -> tuple[Key, str]:
    who = None if call.conversation_id is None else call.conversation_id.int
    weights = policy.weights

    def drawn(place: Place) -> tuple[float, ...]:
        slug = place.model.slug
        return (draw(weights.get(slug, 0.0), who, named(slug)),)

    return drawn, "Drawn by weight; a conversation keeps what was drawn for it."


def _auto(policy: OfferedPolicy, call: Call, catalogue: Catalogue, health_of: HealthOf) -> tuple[Key, str]:
    score = call.difficulty.score if call.difficulty else 0
    if score >= policy.hard_from:
        rule = f"The question looks difficult ({score} of 100, from {policy.hard_from} on): the strongest model."
        return lambda place: (-(place.model.profile.strength or 0), place.likely_nanousd), rule
    rule = f"The question looks easy ({score} of 100, below {policy.hard_from}): the cheapest model."
    return lambda place: (place.likely_nanousd,), rule


def _leaderboard(policy: OfferedPolicy, call: Call, catalogue: Catalogue, health_of: HealthOf) -> tuple[Key, str]:
    ratings = catalogue.ratings
    rule = "The model that this workspace's votes put first; those without votes follow in the order of the list."
    return lambda place: (-ratings.get(place.model.slug, -math.inf),), rule


_RULES: dict[PolicyKind, Callable[[OfferedPolicy, Call, Catalogue, HealthOf], tuple[Key, str]]] = {
    PolicyKind.FIXED: _fixed,
    PolicyKind.CHEAPEST: _cheapest,
    PolicyKind.FASTEST: _fastest,
    PolicyKind.WEIGHTED: _weighted,
    PolicyKind.AUTO: _auto,
    PolicyKind.LEADERBOARD: _leaderboard,
}
