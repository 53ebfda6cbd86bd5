"""A tenant's rules for the answer caches as calls obey them, and what speaks for a semantic cache.

Everything here is read in the transaction that its caller has opened for the tenant.
"""

from dataclasses import replace
from uuid import UUID

from django.db.models import F, Q

from apps.routing.caches import guards, minilm
from apps.routing.contracts import CacheRules, CacheScope, Candidate, ModelKind, SideUse
from apps.routing.models import CacheEvidence, CacheSettings, Deployment, LanguageModel


def as_set(row: CacheSettings) -> CacheRules:
    """The rules as they were set."""
    return CacheRules(
        exact=row.exact,
        exact_ttl_seconds=row.exact_ttl_seconds,
        semantic=row.semantic,
        threshold=row.threshold,
        semantic_ttl_seconds=row.semantic_ttl_seconds,
        max_entries=row.max_entries,
        scope=CacheScope(row.scope),
        embedding_model=row.embedding_model,
    )


def in_force(tenant_id: UUID) -> CacheRules:
    """The rules that calls obey: the semantic cache is off where nothing speaks for it any more."""
    row = CacheSettings.objects.filter(tenant_id=tenant_id).first()
    if row is None:
        return CacheRules()
    rules = as_set(row)
    if not rules.semantic:
        return rules
    found = evidence_for(rules.embedding_model)
    if found is None or rules.threshold < found.threshold:
        return replace(rules, semantic=False)
    return replace(rules, embedder=found.fingerprint)


def side_uses(rules: CacheRules) -> tuple[SideUse, ...]:
    """What the rules want asked beside an answer: a provider's embedding of the question."""
    if not rules.semantic or rules.embedding_model == minilm.NAME:
        return ()
    return (SideUse(rules.embedding_model),)


def evidence_for(embedding_model: str) -> CacheEvidence | None:
    """What speaks for a semantic cache by that model as it runs here; a measurement of the tenant's own comes first.

    One of other weights, of another deployment, or with other guards, speaks for nothing.
    """
    fingerprint = fingerprint_of(embedding_model)
    if fingerprint is None:
        return None
    rows = CacheEvidence.objects.filter(embedding_model=embedding_model, fingerprint=fingerprint)
    return rows.filter(guards=guards.VERSION).order_by(F("tenant").asc(nulls_last=True)).first()


def fingerprint_of(embedding_model: str, *, tenant_id: UUID | None = None, using: str = "default") -> str | None:
    """What exactly gives the vectors; None where nothing of that name does.

    `using="engine"` sees every tenant's models: then it looks at those of `tenant_id` and the general ones.
    """
    if embedding_model == minilm.NAME:
        return minilm.FINGERPRINT if minilm.installed() else None
    rows = LanguageModel.objects.using(using).filter(slug=embedding_model, enabled=True, kind=ModelKind.EMBEDDING)
    if using == "engine":
        rows = rows.filter(
            Q(tenant__isnull=True) if tenant_id is None else Q(tenant__isnull=True) | Q(tenant_id=tenant_id)
        )
    model = rows.order_by(F("tenant").asc(nulls_last=True)).first()
    if model is None:
        return None
    places = Deployment.objects.using(using).filter(model=model, enabled=True, provider__enabled=True)
    place = places.select_related("provider").order_by("priority", "upstream_model").first()
    return None if place is None else _of(model.slug, place.provider.slug, place.upstream_model)


def fingerprint_of_candidate(candidate: Candidate) -> str:
    """The same, of what a plan would ask."""
    return _of(candidate.model, candidate.provider, candidate.upstream_model)


def _of(slug: str, provider: str, upstream_model: str) -> str:
    return f"{slug}@{provider}/{upstream_model}"[:200]
