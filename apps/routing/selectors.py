"""What routing knows, read under the tenant's own scope and kept in the process for a few seconds.

The snapshot saves the hot path a database step per call; a change made elsewhere is seen after `SNAPSHOT_TTL_SECONDS`.
"""

import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now

from apps.billing import services as billing
from apps.billing.bounds import CallBounds
from apps.routing import cache_rules, provider_keys, tier_rules
from apps.routing.contracts import (
    OFF,
    Catalogue,
    FallbackKind,
    ModelCard,
    ModelKind,
    OfferedDeployment,
    OfferedModel,
    OfferedPolicy,
    PolicyKind,
    PriceVersion,
    Profile,
    ProviderAccess,
    SafetySettings,
)
from apps.routing.models import Deployment, LanguageModel, Price, RoutingEvidence, RoutingPolicy, SafetyRules
from apps.routing.narrowing import Narrowed
from apps.routing.safety_rows import of_row, side_uses
from apps.routing.tier_rules import TierRule
from apps.tenants.contracts import OfferedName, Principal
from apps.tenants.models import Tenant
from apps.tenants.scope import tenant_scope

SNAPSHOT_TTL_SECONDS = 5.0
_SNAPSHOTS_KEPT = 1024
_NANOUSD_PER_USD = 1_000_000_000
_TENANTS_OWN = (
    "allowed_models",
    "residency",
    "max_output_tokens",
    "max_cost_nanousd",
    "max_first_token_ms",
    "max_tokens_per_second",
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one tenant may use and how it is reached, as read in one transaction. `expires_at` in monotonic seconds."""

    catalogue: Catalogue
    expires_at: float
    # Deployment id -> provider id, base URL, sealed key, whether an operator chose it; enabled ones alone, so that a
    # switched-off one is not called.
    _routes: Mapping[UUID, tuple[UUID, str, str, bool]] = field(repr=False)
    _bounds: CallBounds = field(repr=False)
    _rules: Mapping[str, TierRule] = field(default_factory=dict, repr=False)
    _opened: dict[UUID, ProviderAccess] = field(default_factory=dict, repr=False)
    safety: SafetySettings = OFF
    # Whether nothing stands between an attempt and its caller: no cache, no screening, no pace.
    is_plain: bool = field(init=False)
    _narrowed: Narrowed = field(init=False, repr=False)

    def __post_init__(self) -> None:
        offered = self.catalogue
        plain = self.safety.is_off and not offered.cache.on and offered.max_tokens_per_second is None
        object.__setattr__(self, "is_plain", plain)
        object.__setattr__(self, "_narrowed", Narrowed(offered))

    def catalogue_for(self, principal: Principal) -> Catalogue:
        """As far as it is open to this caller: by the rules for tiers, and within the models of the caller's key."""
        role, user_id = principal.role, principal.user_id
        closed = frozenset(tier for tier, rule in self._rules.items() if not rule.opens(role, user_id))
        bounds = self._bounds.of(user_id, principal.api_key_id)
        if not closed and principal.models is None and bounds == (None, None):
            return self.catalogue
        return self._narrowed.get(closed, principal.models, bounds)

    def access(self, deployment_id: UUID) -> ProviderAccess | None:
        """Where and with which key to call the deployment; None where it is switched off or no longer there.

        Raises `VaultError` where the key cannot be opened.
        """
        if access := self._opened.get(deployment_id):
            return access
        route = self._routes.get(deployment_id)
        if route is None:
            return None
        provider_id, base_url, sealed_key, trusted = route
        access = ProviderAccess(base_url, provider_keys.open_key(provider_id, sealed_key), trusted)
        self._opened[deployment_id] = access
        return access


_snapshots: OrderedDict[UUID, Snapshot] = OrderedDict()
_guard = threading.Lock()
# How often anything was forgotten.
_forgotten = 0
# Calls of one tenant wait for one reading; a fixed number of locks needs no tidying up.
_reading = tuple(threading.Lock() for _ in range(64))


def catalogue(tenant_id: UUID) -> Catalogue:
    """The models the tenant may use, at most `SNAPSHOT_TTL_SECONDS` old. Reads the database when there is none."""
    return snapshot(tenant_id).catalogue


def catalogue_for(principal: Principal) -> Catalogue:
    """What this caller may use. As old as `catalogue` at most."""
    return snapshot(principal.tenant_id).catalogue_for(principal)


def models_for(principal: Principal) -> list[ModelCard]:
    """Cards of the models this caller may use, in the order lists show them, and then of the policies."""
    return cards_of(catalogue_for(principal))


def names_for(principal: Principal) -> list[OfferedName]:
    """What the caller may name in a request: models, policies, and models that make vectors."""
    offered = catalogue_for(principal)
    found = [OfferedName(card.slug, card.name, answers=not card.policy) for card in cards_of(offered)]
    return [*found, *(OfferedName(one.slug, one.name) for one in offered.embedders.values())]


def models_by_tier(tenant_id: UUID) -> dict[str, list[str]]:
    """Names of the models the tenant may use, by tier."""
    found: dict[str, list[str]] = {}
    for model in catalogue(tenant_id).models.values():
        found.setdefault(model.tier, []).append(model.name)
    return found


def cards(tenant_id: UUID) -> dict[str, ModelCard]:
    """Cards of all models and policies of the tenant, by slug: for what was answered, whoever reads it."""
    return {card.slug: card for card in cards_of(catalogue(tenant_id))}


def snapshot(tenant_id: UUID) -> Snapshot:
    """The tenant's snapshot, read in one database step where there is no fresh one."""
    if known := snapshot_in_memory(tenant_id):
        return known
    with _reading[hash(tenant_id) % len(_reading)]:
        if known := snapshot_in_memory(tenant_id):
            return known
        began = _forgotten
        read = _read(tenant_id)
        with _guard:
            if _forgotten != began:
                return read  # what was forgotten meanwhile may be what was read: the next one reads again
            _snapshots[tenant_id] = read
            _snapshots.move_to_end(tenant_id)
            while len(_snapshots) > _SNAPSHOTS_KEPT:
                _snapshots.popitem(last=False)
        return read


def snapshot_in_memory(tenant_id: UUID, *, older_seconds: float = 0.0) -> Snapshot | None:
    """The fresh snapshot (or one so much older), if this process has one. Never reads the database: a loop may ask.

    Asked several times by each call, so it takes no lock: one look into a dictionary needs none. Which snapshot was
    asked for last is not noted either: those in use are read again every few seconds, and stand last for that.
    """
    known = _snapshots.get(tenant_id)
    return None if known is None or time.monotonic() >= known.expires_at + older_seconds else known


def invalidate(tenant_id: UUID | None = None) -> None:
    """Forget the snapshot of one tenant, or of all, in this process."""
    global _forgotten
    with _guard:
        _forgotten += 1
        if tenant_id is None:
            _snapshots.clear()
        else:
            _snapshots.pop(tenant_id, None)


def card(model: OfferedModel) -> ModelCard:
    """The model as lists show it; its prices and whether it is simulated are those of its first deployment."""
    first = model.first_deployment
    price = first.price if first else None
    return ModelCard(
        slug=model.slug,
        name=model.name,
        hue=model.hue,
        description=model.description,
        simulated=first.simulated if first else False,
        reasoning=model.reasoning,
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        input_usd_per_mtok=_usd(price.input_nanousd_per_mtok) if price else None,
        output_usd_per_mtok=_usd(price.output_nanousd_per_mtok) if price else None,
    )


def policy_card(policy: OfferedPolicy, offered: Catalogue) -> ModelCard | None:
    """The policy as lists show it; None where the caller may use none of its models."""
    models = [offered.models[slug] for slug in policy.models or offered.models if slug in offered.models]
    if not models:
        return None
    return ModelCard(
        slug=policy.slug,
        name=policy.name,
        hue=policy.hue,
        description=policy.description,
        simulated=all(card(model).simulated for model in models),
        reasoning=False,
        context_tokens=max(model.context_tokens for model in models),
        max_output_tokens=max(model.max_output_tokens for model in models),
        input_usd_per_mtok=None,
        output_usd_per_mtok=None,
        policy=True,
    )


def cards_of(offered: Catalogue) -> list[ModelCard]:
    """Cards of everything that can be asked for by name."""
    policies = (policy_card(policy, offered) for policy in offered.policies.values())
    return [*(card(model) for model in offered.models.values()), *(one for one in policies if one is not None)]


def _usd(nanousd: int) -> Decimal:
    return Decimal(nanousd) / _NANOUSD_PER_USD


def _read(tenant_id: UUID) -> Snapshot:
    """One transaction: the tenant's allowance, its models (its own hide global ones of that name), and their routes."""
    expires_at = time.monotonic() + SNAPSHOT_TTL_SECONDS
    with tenant_scope(tenant_id):
        tenant = Tenant.objects.only(*_TENANTS_OWN).filter(id=tenant_id).first()
        allowed, residency = (tenant.allowed_models, tenant.residency) if tenant else (None, [])
        # A switched-off model of the tenant's own hides the global one too: its traffic must not go elsewhere unasked.
        by_slug: dict[str, LanguageModel] = {}
        for row in LanguageModel.objects.order_by(F("tenant").asc(nulls_last=True)):
            by_slug.setdefault(row.slug, row)
        models = [
            row
            for row in by_slug.values()
            # The list is of models to choose from; what is asked on the side, the settings choose.
            if row.enabled and (not allowed or row.slug in allowed or row.kind != ModelKind.CHAT)
        ]
        deployments = list(Deployment.objects.filter(model__in=[row.id for row in models]).select_related("provider"))
        prices = _prices(row.id for row in deployments)
        rules = tier_rules.read(tenant_id)
        bounds = billing.call_bounds(tenant_id)
        policies = list(RoutingPolicy.objects.order_by(F("tenant").asc(nulls_last=True)))
        caches = cache_rules.in_force(tenant_id)
        proven = set(RoutingEvidence.objects.values_list("policy_slug", flat=True))
        safety = of_row(SafetyRules.objects.filter(tenant_id=tenant_id).first())
    of_model: dict[UUID, list[OfferedDeployment]] = defaultdict(list)
    for deployment in deployments:
        of_model[deployment.model_id].append(_offered(deployment, prices.get(deployment.id)))
    offered = {
        row.slug: _model(row, of_model[row.id])
        for row in sorted(models, key=lambda row: (row.position, row.name, row.slug))
        if any(one.enabled for one in of_model[row.id])
    }
    routes = {
        row.id: (row.provider_id, row.provider.base_url, row.provider.sealed_key, row.provider.tenant_id is None)
        for row in deployments
        if row.enabled and row.provider.enabled
    }
    chatting = {slug: model for slug, model in offered.items() if model.kind is ModelKind.CHAT}
    listed = allowed or offered
    embedding = {slug: one for slug, one in offered.items() if one.kind is ModelKind.EMBEDDING and slug in listed}
    read = Catalogue(
        tenant_id,
        MappingProxyType(chatting),
        policies=MappingProxyType(_policies(policies, chatting, proven)),
        residency=frozenset(residency),
        max_output_tokens=tenant.max_output_tokens if tenant else None,
        max_cost_nanousd=tenant.max_cost_nanousd if tenant else None,
        max_first_token_ms=tenant.max_first_token_ms if tenant else None,
        max_tokens_per_second=tenant.max_tokens_per_second if tenant else None,
        side_models=MappingProxyType({slug: model for slug, model in offered.items() if slug not in chatting}),
        embedders=MappingProxyType(embedding),
        cache=caches,
        side_uses=(*cache_rules.side_uses(caches), *side_uses(safety)),
    )
    return Snapshot(read, expires_at, routes, bounds, rules, safety=safety)


def _prices(deployment_ids: Iterable[UUID]) -> dict[UUID, PriceVersion]:
    """The price in force of each deployment; a price of the tenant's own comes before the general one."""
    rows = (
        Price.objects.filter(deployment__in=list(deployment_ids), valid_from__lte=Now())
        .order_by("deployment_id", F("tenant").asc(nulls_last=True), "-valid_from", "-id")
        .distinct("deployment_id")
    )
    return {row.deployment_id: _version(row) for row in rows}


def _version(row: Price) -> PriceVersion:
    def or_else(amount: int | None, otherwise: int) -> int:
        return otherwise if amount is None else amount

    return PriceVersion(
        id=row.id,
        input_nanousd_per_mtok=row.input_nanousd_per_mtok,
        cached_input_nanousd_per_mtok=or_else(row.cached_input_nanousd_per_mtok, row.input_nanousd_per_mtok),
        cache_write_nanousd_per_mtok=or_else(row.cache_write_nanousd_per_mtok, row.input_nanousd_per_mtok),
        output_nanousd_per_mtok=row.output_nanousd_per_mtok,
        reasoning_nanousd_per_mtok=or_else(row.reasoning_nanousd_per_mtok, row.output_nanousd_per_mtok),
        free=row.free,
    )


def _offered(row: Deployment, price: PriceVersion | None) -> OfferedDeployment:
    return OfferedDeployment(
        id=row.id,
        provider=row.provider.slug,
        provider_name=row.provider.name,
        adapter=row.provider.adapter,
        upstream_model=row.upstream_model,
        simulated=row.provider.simulated,
        priority=row.priority,
        enabled=row.enabled and row.provider.enabled,
        price=price,
        region=row.region,
        residency=row.residency,
        weight=row.weight,
        context_tokens=row.context_tokens,
        max_output_tokens=row.max_output_tokens,
        max_parallel=row.max_parallel,
        max_waiting=row.max_waiting,
    )


def _model(row: LanguageModel, deployments: list[OfferedDeployment]) -> OfferedModel:
    return OfferedModel(
        slug=row.slug,
        name=row.name,
        hue=row.hue,
        description=row.description,
        reasoning=row.reasoning,
        context_tokens=row.context_tokens,
        max_output_tokens=row.max_output_tokens,
        created_at=int(row.created_at.timestamp()),
        tier=row.tier,
        deployments=tuple(sorted(deployments, key=_preference)),
        profile=Profile(
            tools=row.tools,
            vision=row.vision,
            json_schema=row.json_schema,
            prefill=row.prefill,
            languages=frozenset(row.languages),
            safety_class=row.safety_class,
            strength=row.strength,
        ),
        fallbacks={FallbackKind(kind): tuple(slugs) for kind, slugs in row.fallbacks.items()},
        kind=ModelKind(row.kind),
    )


def _policies(
    rows: Iterable[RoutingPolicy], models: Mapping[str, OfferedModel], proven: Collection[str]
) -> dict[str, OfferedPolicy]:
    """The policies on offer, from rows of which the tenant's own come first: those hide a general one of that name.

    A model's name is never taken over, and routing by difficulty is on offer only where something speaks for it.
    """
    by_slug: dict[str, RoutingPolicy] = {}
    for row in rows:
        by_slug.setdefault(row.slug, row)
    return {
        row.slug: OfferedPolicy(
            slug=row.slug,
            name=row.name,
            hue=row.hue,
            description=row.description,
            kind=PolicyKind(row.kind),
            models=tuple(row.models_chosen_from),
            weights=row.weights,
            hard_from=row.hard_from,
            safety_class=row.safety_class,
            max_first_token_ms=row.max_first_token_ms,
            max_cost_nanousd=row.max_cost_nanousd,
            created_at=int(row.created_at.timestamp()),
        )
        for row in sorted(by_slug.values(), key=lambda row: (row.position, row.name, row.slug))
        if row.enabled and row.slug not in models and (row.kind != PolicyKind.AUTO or row.slug in proven)
    }


def _preference(deployment: OfferedDeployment) -> tuple[int, bool, int, str]:
    """By priority, then the cheaper first (output price stands for the whole), the unpriced last."""
    price = deployment.price
    cost = price.input_nanousd_per_mtok + price.output_nanousd_per_mtok if price else 0
    return deployment.priority, price is None, cost, deployment.upstream_model
