"""A tenant's catalogue as single callers find it, made once for all who are bounded alike."""

from dataclasses import replace
from types import MappingProxyType

from apps.billing.contracts import TokenBound
from apps.routing.contracts import Catalogue

Bounds = tuple[TokenBound | None, TokenBound | None]

# Rules for tiers and lists of models that differ. Beyond this, what was made is made again.
_KEPT = 256


class Narrowed:
    """Belongs to one snapshot and goes with it. Two threads may make the same twice, which harms nothing."""

    def __init__(self, whole: Catalogue) -> None:
        self._whole = whole
        self._made: dict[tuple[frozenset[str], frozenset[str] | None, Bounds], Catalogue] = {}

    def get(self, closed: frozenset[str], models: frozenset[str] | None, bounds: Bounds) -> Catalogue:
        """The catalogue without models of the tiers `closed`, within the slugs `models` (None: any), for calls within
        `bounds`: of input, of output."""
        made = self._made.get((closed, models, bounds))
        if made is None:
            if len(self._made) >= _KEPT:
                self._made.clear()
            made = self._made[closed, models, bounds] = _narrow(self._whole, closed, models, bounds)
        return made


def _narrow(whole: Catalogue, closed: frozenset[str], models: frozenset[str] | None, bounds: Bounds) -> Catalogue:
    """What is asked on the side stays: the tenant's settings choose it, and no caller.

    A policy that is left chooses among the models that are left, and falls back to no other.
    """
    offered = {**whole.models, **whole.embedders}
    named = frozenset({*offered, *whole.policies})
    asked = named if models is None else named & models

    def is_left(slug: str, tier: str) -> bool:
        return slug in asked and tier not in closed

    return replace(
        whole,
        models=MappingProxyType({slug: one for slug, one in whole.models.items() if is_left(slug, one.tier)}),
        embedders=MappingProxyType({slug: one for slug, one in whole.embedders.items() if is_left(slug, one.tier)}),
        policies=MappingProxyType({slug: one for slug, one in whole.policies.items() if slug in asked}),
        withheld=MappingProxyType({slug: one.tier for slug, one in offered.items() if one.tier in closed}),
        beyond_key=named - asked,
        input_bound=bounds[0],
        output_bound=bounds[1],
    )
