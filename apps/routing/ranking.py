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
from apps.routing.spreading import HealthOf, draw

# What an unmeasured model is taken for, so that it is tried and then measured.
HOPED_FIRST_TOKEN_SECONDS = 0.5
HOPED_TOKENS_PER_SECOND = 50.0

# As many are stored with an answer.
MOST_RANKED = 12

Key = Callable[[Ranked], tuple[float, ...]]


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
    rows = [_ranked(policy, place, catalogue, health_of(place.deployment.id), target_ms) for place in places]
    key, rule = _RULES[policy.kind](policy, call)
    rows.sort(key=lambda row: (row.late, *key(row)))  # stable: what is equal stays in the order of the list
    if target_ms is not None:
        rule += f" Models measured slower than {target_ms} ms to the first token come last."
    hard = call.difficulty if policy.kind is PolicyKind.AUTO else None
    return [row.model for row in rows], Choice(policy.kind, rule, tuple(rows[:MOST_RANKED]), hard)


def _ranked(policy: OfferedPolicy, place: Place, catalogue: Catalogue, health: Health, target_ms: int | None) -> Ranked:
    slug = place.model.slug
    first_ms = None if health.first_token_seconds is None else round(health.first_token_seconds * 1000)
    # By position: half the price of naming each, and all models of a policy pass here.
    return Ranked(
        slug,
        place.likely_nanousd,
        first_ms,
        health.tokens_per_second,
        place.model.profile.strength,
        catalogue.ratings.get(slug),
        policy.weights.get(slug, 0.0) if policy.kind is PolicyKind.WEIGHTED else None,
        target_ms is not None and first_ms is not None and first_ms > target_ms,
    )


def _fixed(policy: OfferedPolicy, call: Call) -> tuple[Key, str]:
    return lambda row: (), "The first model of the list that can answer."


def _cheapest(policy: OfferedPolicy, call: Call) -> tuple[Key, str]:
    return lambda row: (row.likely_cost_nanousd,), "The model whose answer is likely to cost least."


def _fastest(policy: OfferedPolicy, call: Call) -> tuple[Key, str]:
    length = tokens.likely_usage(call.prompt_bytes, call.max_output_tokens).output_tokens

    def seconds(row: Ranked) -> tuple[float, ...]:
        first = HOPED_FIRST_TOKEN_SECONDS if row.first_token_ms is None else row.first_token_ms / 1000
        return (first + length / (row.tokens_per_second or HOPED_TOKENS_PER_SECOND),)

    return seconds, "The model measured to answer soonest; one that was not measured yet is taken for a fast one."


def _weighted(policy: OfferedPolicy, call: Call) -> tuple[Key, str]:
    def drawn(row: Ranked) -> tuple[float, ...]:
        seed = None if call.conversation_id is None else call.conversation_id.bytes + row.model.encode()
        return (draw(row.share or 0.0, seed),)

    return drawn, "Drawn by weight; a conversation keeps what was drawn for it."


def _auto(policy: OfferedPolicy, call: Call) -> tuple[Key, str]:
    score = call.difficulty.score if call.difficulty else 0
    if score >= policy.hard_from:
        rule = f"The question looks difficult ({score} of 100, from {policy.hard_from} on): the strongest model."
        return lambda row: (-(row.strength or 0), row.likely_cost_nanousd), rule
    rule = f"The question looks easy ({score} of 100, below {policy.hard_from}): the cheapest model."
    return lambda row: (row.likely_cost_nanousd,), rule


def _leaderboard(policy: OfferedPolicy, call: Call) -> tuple[Key, str]:
    rule = "The model that this workspace's votes put first; those without votes follow in the order of the list."
    return lambda row: (math.inf if row.rating is None else -row.rating,), rule


_RULES: dict[PolicyKind, Callable[[OfferedPolicy, Call], tuple[Key, str]]] = {
    PolicyKind.FIXED: _fixed,
    PolicyKind.CHEAPEST: _cheapest,
    PolicyKind.FASTEST: _fastest,
    PolicyKind.WEIGHTED: _weighted,
    PolicyKind.AUTO: _auto,
    PolicyKind.LEADERBOARD: _leaderboard,
}
