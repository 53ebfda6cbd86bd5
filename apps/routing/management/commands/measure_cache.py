"""`manage.py measure_cache [--store]`: how often would the semantic cache be right with what compares here?"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.routing import cache_evidence, cache_rules
from apps.routing.caches import measure, minilm
from apps.routing.caches.measure import Similarity
from apps.tenants import selectors


class Command(BaseCommand):
    help = (
        "Measures the semantic cache on the pairs that come with the product: half of them ask the same in other "
        "words, half look alike and ask something else. With --store, a result at or above the target becomes the "
        "evidence without which no workspace can switch the semantic cache on; one below it takes the evidence away. "
        "A provider's embedding model is measured by its vectors: --texts prints what to embed, one JSON text per "
        'line, and --vectors reads lines like {"text": ..., "vector": [...]}.'
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--model", default=minilm.NAME, help=f"slug of an embedding model ({minilm.NAME})")
        parser.add_argument("--tenant", help="slug of the tenant whose model it is, and whose evidence it becomes")
        parser.add_argument("--texts", action="store_true", help="print the texts of the pairs, and nothing else")
        parser.add_argument("--vectors", type=Path, help="what the model made of these texts")
        parser.add_argument("--store", action="store_true", help="keep the result")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["texts"]:
            texts = sorted({text for pair in measure.pairs() for text in (pair.one, pair.other)})
            self.stdout.write("\n".join(json.dumps(text, ensure_ascii=False) for text in texts))
            return
        tenant_id = None
        if options["tenant"] and (tenant_id := selectors.tenant_id_by_slug(options["tenant"])) is None:
            raise CommandError(f"There is no tenant “{options['tenant']}”.")
        name = options["model"]
        similarity = _similarity(name, options["vectors"])
        fingerprint = cache_rules.fingerprint_of(name, tenant_id=tenant_id, using="engine")
        if fingerprint is None:
            raise CommandError(f"No embedding model “{name}” is on offer there.")
        found = measure.report(similarity, fingerprint)
        self.stdout.write(cache_evidence.table(found))
        if not options["store"]:
            return
        cache_evidence.store(name, found, tenant_id=tenant_id)
        if not found["passes"]:
            raise CommandError("Below the target: the semantic cache stays off.")
        self.stdout.write("Stored: workspaces can switch the semantic cache on.")


def _similarity(name: str, vectors: Path | None) -> Similarity:
    if name == minilm.NAME:
        try:
            return cache_evidence.local_similarity()
        except minilm.NotInstalled as error:
            raise CommandError(str(error)) from error
    if vectors is None:
        raise CommandError("Give --vectors: what the provider made of the texts that --texts prints.")
    try:
        rows = [json.loads(line) for line in vectors.read_text(encoding="utf-8").splitlines() if line.strip()]
        return cache_evidence.similarity_of({row["text"]: [float(one) for one in row["vector"]] for row in rows})
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CommandError(f"{vectors} cannot be used: {error!r}.") from error
