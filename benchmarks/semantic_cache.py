"""`python -m benchmarks.semantic_cache [--write]`: how often the semantic cache is right, and what it costs in time.

The quality comes from the pairs that ship with the product, the times from a PostgreSQL of this run's own.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import django

from benchmarks.figures import percentile
from tests import servers

SIZES = (1_000, 10_000)
# An answer of common size, at the price of a small model.
TOKENS = (300, 400)
PRICE_USD_PER_MTOK = (0.15, 0.60)
NANOUSD_PER_USD = 10**9
_LOOK_UPS = 200
_REPORT = Path(__file__).parent.parent / "docs" / "semantic-cache.md"
_BEGIN, _END = "<!-- figures: make bench-cache -->", "<!-- end of figures -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.semantic_cache", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"put the figures into {_REPORT.name}")
    options = parser.parse_args()
    own = servers.Servers()
    addresses = own.start()
    try:
        urls = servers.new_database(addresses, "bench")
        os.environ.update(servers.environment(addresses, urls, "bench", 0))
        os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
        django.setup()
        text = "\n".join(line.rstrip() for line in ("```", *_quality(), "", *_times(), "```"))
    finally:
        own.stop()
    print(text)
    if options.write:
        page = _REPORT.read_text(encoding="utf-8")
        before, rest = page.split(_BEGIN)
        _REPORT.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{rest.split(_END)[1]}", encoding="utf-8")


def _quality() -> list[str]:
    from apps.routing import cache_evidence
    from apps.routing.caches import measure, minilm

    report = measure.report(cache_evidence.local_similarity(), minilm.FINGERPRINT)
    return [
        f"{len(measure.pairs())} pairs, {minilm.FINGERPRINT}, guards {report['guards']}",
        "",
        *cache_evidence.table(report).splitlines(),
        "",
        *_saved(report["by_default"]["all"]),
    ]


def _saved(row: dict[str, Any]) -> list[str]:
    """What the hits of all pairs save, asked one after the other, at the price that hits are counted by."""
    from apps.routing.contracts import PriceVersion, Usage

    input_usd, output_usd = PRICE_USD_PER_MTOK
    fresh, spoken = (round(usd * NANOUSD_PER_USD) for usd in PRICE_USD_PER_MTOK)
    price = PriceVersion(uuid4(), fresh, fresh, fresh, spoken, spoken, free=False)
    each_usd = price.amount_nanousd(Usage(*TOKENS)) / NANOUSD_PER_USD
    questions, hits = 2 * row["hits"]["whole"], row["hits"]["part"]
    return [
        f"Asked one after the other, their {questions} questions save {hits} calls, {hits / questions:.1%} of them. At",
        f"{TOKENS[0]} tokens in and {TOKENS[1]} out for ${input_usd} and ${output_usd} per million: "
        f"${hits * each_usd:.5f} of ${questions * each_usd:.5f}.",
    ]


def _times() -> list[str]:
    from apps.accounts import services as accounts
    from apps.routing.caches import measure, minilm, semantic
    from apps.routing.contracts import CacheRules
    from apps.tenants import services as tenants

    questions = sorted({text for pair in measure.pairs() for text in (pair.one, pair.other)})
    minilm._model.cache_clear()
    began = time.monotonic()
    minilm.embed(["first"])
    lines = [f"load the model                    {1000 * (time.monotonic() - began):8.1f} ms, once per process"]
    vectors, taken = [], []
    for question in questions:
        began = time.monotonic()
        vectors.append(minilm.embed([question])[0] or [])
        taken.append(time.monotonic() - began)
    lines.append(_line("embed a question", taken))
    person = accounts.register(f"bench-{uuid4().hex[:8]}@example.org", "Bench", "correct horse battery staple")
    tenant = tenants.open_tenant("Bench", person)
    rules = CacheRules(semantic=True, threshold=0.9)
    for size in SIZES:
        for apart in (True, False):
            place = semantic.Place(tenant.id, uuid4(), b"one context" + bytes(21), "bench", "What is it?")
            _fill(place, vectors, size, apart=apart)
            taken = []
            for number in range(_LOOK_UPS):
                began = time.monotonic()
                semantic.look_up(place, vectors[number % len(vectors)], rules)
                taken.append(time.monotonic() - began)
            where = "each with words of its own" if apart else "all in one place (the worst)"
            lines.append(_line(f"look up among {size:,}, {where}", taken))
    return lines


def _fill(place: Any, vectors: list[list[float]], size: int, *, apart: bool) -> None:
    """That many entries of one owner; `apart`: as the guards leave them, no two in one place."""
    from django.db import connections
    from uuid6 import uuid7

    from apps.routing.caches.semantic import literal
    from apps.tenants.scope import tenant_scope

    with tenant_scope(place.tenant_id), connections["default"].cursor() as cursor:
        cursor.execute("DELETE FROM routing_semanticanswer WHERE tenant_id = %s", [place.tenant_id])
        cursor.executemany(
            "INSERT INTO routing_semanticanswer (id, tenant_id, owner_id, context, embedder, model, question, vector, "
            "entry) VALUES (%s, %s, %s, %s, 'bench', 'm', 'q', %s::halfvec, '{}')",
            [
                (
                    uuid7(),
                    place.tenant_id,
                    place.owner_id,
                    number.to_bytes(32, "big") if apart and number else place.context,
                    literal([value + number * 1e-6 for value in vectors[number % len(vectors)]]),
                )
                for number in range(size)
            ],
        )


def _line(name: str, seconds: list[float]) -> str:
    p50, p95 = (1000 * percentile(seconds, share) for share in (0.5, 0.95))
    return f"{name:<60} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms"


if __name__ == "__main__":
    main()
