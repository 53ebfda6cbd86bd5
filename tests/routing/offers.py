"""Catalogues written out by hand, for tests of planning."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from apps.routing.contracts import (
    Catalogue,
    FallbackKind,
    OfferedDeployment,
    OfferedModel,
    OfferedPolicy,
    PolicyKind,
    PriceVersion,
    Profile,
)
from apps.routing.health import Health

TENANT = uuid4()


def price(input_usd: float, output_usd: float, *, free: bool = False) -> PriceVersion:
    """Dollars per million tokens."""
    fresh, spoken = round(input_usd * 10**9), round(output_usd * 10**9)
    return PriceVersion(uuid4(), fresh, fresh, fresh, spoken, spoken, free)


def deployment(name: str, *, at: PriceVersion | None = None, **fields: Any) -> OfferedDeployment:
    """A deployment that is switched on, for a dollar in and two out."""
    offered = OfferedDeployment(
        uuid4(), "sim", "Sim", "openai_compatible", name, True, 1, True, price(1, 2) if at is None else at
    )
    return replace(offered, **fields)


def model(
    slug: str, *deployments: OfferedDeployment, profile: Mapping[str, Any] | None = None, **fields: Any
) -> OfferedModel:
    """A model with those deployments, or with one of its own name."""
    offered = OfferedModel(
        slug=slug,
        name=slug.title(),
        hue=1,
        description="",
        reasoning=False,
        context_tokens=10_000,
        max_output_tokens=4_000,
        created_at=0,
        tier="standard",
        deployments=deployments or (deployment(slug),),
        profile=Profile(**(profile or {})),
    )
    if "fallbacks" in fields:
        fields["fallbacks"] = {FallbackKind(kind): tuple(slugs) for kind, slugs in fields["fallbacks"].items()}
    return replace(offered, **fields)


def policy(kind: PolicyKind, *models: str, **fields: Any) -> OfferedPolicy:
    """A policy called “pick”."""
    return OfferedPolicy(slug="pick", name="Pick", hue=2, description="", kind=kind, models=models, **fields)


def catalogue(*models: OfferedModel, policies: tuple[OfferedPolicy, ...] = (), **fields: Any) -> Catalogue:
    return Catalogue(TENANT, {one.slug: one for one in models}, policies={one.slug: one for one in policies}, **fields)


class Speeds(dict[UUID, Health]):
    """What was measured, by deployment; nothing of the others."""

    def __call__(self, deployment_id: UUID) -> Health:
        return self.get(deployment_id, Health())
