"""The embedded model as `make install-embedded` installs it: its vectors, its limits, what is measured with it."""

import asyncio
import math

import pytest

from apps.routing import cache_evidence
from apps.routing.caches import embedding, measure, minilm


def test_it_is_installed() -> None:
    assert minilm.installed(), "make install-embedded"


def test_vectors_are_those_that_sentence_transformers_publishes() -> None:
    vector = minilm.embed(["This is an example sentence"])[0]
    assert vector is not None
    assert len(vector) == minilm.DIMENSIONS
    assert vector[:3] == pytest.approx([6.76569119e-02, 6.34959564e-02, 4.87131476e-02], abs=2e-5)
    assert math.sqrt(sum(value**2 for value in vector)) == pytest.approx(1, abs=1e-5)


def test_a_text_that_would_be_cut_has_no_vector() -> None:
    fits, too_long = minilm.embed(["word " * (minilm.MAX_TOKENS - 2), "word " * (minilm.MAX_TOKENS - 1)])
    assert fits is not None
    assert too_long is None


def test_the_shipped_pairs_reach_the_target_with_guards_and_not_without() -> None:
    found = measure.report(cache_evidence.local_similarity(), minilm.FINGERPRINT)
    assert found["passes"]
    assert found["held_out"]["recall"]["value"] > 0.2, "a cache that never hits is always right"
    bare = {row["threshold"]: row for row in found["by_threshold"]["held_out_without_guards"]}
    assert bare[0.9]["precision"]["value"] < measure.TARGET
    assert "reaches the target of 99%" in cache_evidence.table(found)
    everything = found["by_default"]["all"]
    assert (everything["threshold"], everything["hits"]["whole"]) == (0.9, len(measure.pairs()))
    assert everything["hits"]["whole"] >= 200
    assert everything["precision"]["value"] >= measure.TARGET
    assert everything["recall"]["value"] > 0.2


async def test_more_look_ups_than_there_are_places_for_are_misses() -> None:
    texts = [f"What is question number {number} about?" for number in range(40)]
    vectors = await asyncio.gather(*(embedding.embed(text) for text in texts))
    assert any(vector is None for vector in vectors)
    assert await embedding.embed(texts[0]) is not None
