"""Measurements of the semantic cache: made, told and kept. Without one that passes, no tenant has a semantic cache."""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from apps.routing.caches import measure, minilm
from apps.routing.caches.measure import Similarity
from apps.routing.catalogue_audit import COMMAND_LINE
from apps.routing.models import CacheEvidence
from apps.routing.selectors import invalidate
from apps.tenants import audit
from apps.tenants.audit import Actor


def local_similarity() -> Similarity:
    """Cosines by the model on this machine; each text is read once. Raises `minilm.NotInstalled`."""
    texts = sorted({text for pair in measure.pairs() for text in (pair.one, pair.other)})
    vectors = dict(zip(texts, minilm.embed(texts), strict=True))

    def similarity(one: str, other: str) -> float:
        left, right = vectors[one], vectors[other]
        return -1.0 if left is None or right is None else sum(a * b for a, b in zip(left, right, strict=True))

    return similarity


def similarity_of(vectors: Mapping[str, Sequence[float]]) -> Similarity:
    """Cosines of vectors that were made elsewhere. Raises KeyError for a text without one."""
    for pair in measure.pairs():
        vectors[pair.one], vectors[pair.other]

    def similarity(one: str, other: str) -> float:
        left, right = vectors[one], vectors[other]
        lengths = math.hypot(*left) * math.hypot(*right)
        return sum(a * b for a, b in zip(left, right, strict=True)) / lengths if lengths else -1.0

    return similarity


def store(
    embedding_model: str, report: Mapping[str, Any], *, tenant_id: UUID | None = None, actor: Actor = COMMAND_LINE
) -> None:
    """Keep a measurement for every tenant, or for one; one that does not pass removes an earlier one."""
    with transaction.atomic(using="engine"):
        whose = Q(tenant__isnull=True) if tenant_id is None else Q(tenant_id=tenant_id)
        CacheEvidence.objects.using("engine").filter(whose, embedding_model=embedding_model).delete()
        if report["passes"]:
            CacheEvidence.objects.using("engine").create(
                tenant_id=tenant_id,
                embedding_model=embedding_model,
                fingerprint=report["fingerprint"],
                guards=report["guards"],
                threshold=report["threshold"],
                report=dict(report),
            )
        told = {"passes": report["passes"], "threshold": report["threshold"], "fingerprint": report["fingerprint"]}
        audit.record(
            tenant_id, actor, "cache.measured", target=("embedding_model", embedding_model), data=told, using="engine"
        )
    invalidate()


def table(report: Mapping[str, Any]) -> str:
    """The measurement in plain text."""
    judged, bare = (report["by_threshold"][name] for name in ("held_out", "held_out_without_guards"))
    lines = [
        f"{'':>9}  {'with guards':<46}{'without guards':<30}",
        f"{'threshold':>9}  {'hits':>5} {'precision':>9} {'95 %':<15} {'recall':>6}       {'hits':>5} {'precision':>9} "
        f"{'95 %':<15}",
    ]
    for with_guards, without in zip(judged, bare, strict=True):
        mark = " *" if with_guards["threshold"] == report["threshold"] else "  "
        lines.append(
            f"{with_guards['threshold']:>9.2f}{mark}{_shares(with_guards)} {with_guards['recall']['value'] or 0:>6.1%}"
            f"       {_shares(without)}"
        )
    chosen = report["threshold"]
    verdict = "reaches" if report["passes"] else "misses"
    lines += [
        "",
        f"Held-out half; * chosen on the other half: {'none' if chosen is None else f'{chosen:.2f}'}. It {verdict} the "
        f"target of {report['target']:.0%}.",
        "",
        *_defaults(report["by_default"]),
    ]
    return "\n".join(lines)


def _defaults(by_half: Mapping[str, Any]) -> list[str]:
    """What the default threshold gives, over all pairs and over either half."""
    named = {"all": "all pairs", "tuning": "tuning half", "held_out": "held-out half"}
    lines = [f"At the default threshold of {by_half['all']['threshold']:.2f}, with guards:"]
    for name, text in named.items():
        row = by_half[name]
        hits, recall = row["hits"], row["recall"]
        lines.append(
            f"  {text:<14}{hits['whole']:>4}  precision {_precision(row)}  hits {hits['part']:>3} ({hits['value']:.1%})"
            f"  of {recall['whole']} that ask the same {recall['value']:.1%}"
        )
    return lines


def _precision(row: Mapping[str, Any]) -> str:
    precision = row["precision"]
    value = "-" if precision["value"] is None else f"{precision['value']:.1%}"
    low, high = precision["interval"]
    return f"{value:>6} ({low:.1%} to {high:.1%})"


def _shares(row: Mapping[str, Any]) -> str:
    precision = row["precision"]
    value = "-" if precision["value"] is None else f"{precision['value']:.1%}"
    low, high = precision["interval"]
    return f"{row['hits']['part']:>5} {value:>9} {f'{low:.1%} to {high:.1%}':<15}"
