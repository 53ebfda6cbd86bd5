"""A workspace's rules for its answer caches, by every door: REST, the settings' page, both administrations."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.db import ProgrammingError, connections
from django.test import Client

from apps.routing import cache_settings, selectors
from apps.routing.caches import semantic
from apps.routing.caches.entry import Entry
from apps.routing.contracts import NO_CACHES, CacheRules, CacheScope, Usage
from apps.routing.errors import CacheRulesRefused
from apps.routing.models import CacheSettings, SemanticAnswer
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry
from apps.tenants.scope import tenant_scope
from tests.people import new_member, prove_second_factor

ClientOf = Callable[[Principal], Client]
DOOR = "/api/v1/caches/"
PAGE = "/settings/workspace/caches/"
FORM = {
    "exact": "on",
    "exact_ttl_minutes": 5,
    "scope": "own",
    "threshold": 0.9,
    "semantic_ttl_days": 7,
    "max_entries": 100,
}


def test_everything_is_off_at_first_and_a_change_is_obeyed_and_told(
    alice: Principal, mallory: Principal, client_of: ClientOf
) -> None:
    client = client_of(alice)
    first = client.get(DOOR).json()
    assert (first["exact"], first["semantic"], first["scope"]) == (False, False, "own")
    assert selectors.catalogue(alice.tenant_id).cache == NO_CACHES
    changed = client.patch(DOOR, {"exact": True, "exact_ttl_seconds": 600}, content_type="application/json")
    assert changed.json() == {**first, "exact": True, "exact_ttl_seconds": 600}
    assert client.get(DOOR).json() == changed.json()
    rules = selectors.catalogue(alice.tenant_id).cache
    assert (rules.exact, rules.exact_ttl_seconds, rules.scope) == (True, 600, CacheScope.OWN)
    assert selectors.catalogue(mallory.tenant_id).cache == NO_CACHES
    with tenant_scope(alice.tenant_id):
        entry = AuditEntry.objects.filter(action="answer_caches.changed").get()
    assert entry.data["exact"] == {"from": False, "to": True}


def test_who_may_only_read_changes_nothing(alice: Principal, bob: Principal, client_of: ClientOf) -> None:
    client = client_of(bob)
    assert client.get(DOOR).status_code == 200
    assert client.patch(DOOR, {"exact": True}, content_type="application/json").status_code == 403
    assert "Owners and administrators change this" in client.get(PAGE).content.decode()
    assert client.post(PAGE, FORM).status_code == 403
    assert selectors.catalogue(alice.tenant_id).cache == NO_CACHES


@pytest.mark.parametrize(
    "body", [{}, {"exact": "on"}, {"exact_ttl_seconds": 1}, {"scope": "world"}, {"threshold": 2}, {"semantic": True}]
)
def test_what_is_not_understood_is_refused(alice: Principal, client_of: ClientOf, body: dict[str, object]) -> None:
    assert client_of(alice).patch(DOOR, body, content_type="application/json").status_code == 400
    assert CacheSettings.objects.using("engine").filter(tenant_id=alice.tenant_id).exists() is False


def test_the_service_checks_what_any_door_passes_on(alice: Principal) -> None:
    with pytest.raises(CacheRulesRefused) as refused:
        cache_settings.change_rules(alice, exact_ttl_seconds=5, scope="world")
    assert set(refused.value.fields or {}) == {"exact_ttl_seconds", "scope"}


def test_the_page_shows_and_changes_the_rules(alice: Principal, client_of: ClientOf) -> None:
    client = client_of(alice)
    form = {**FORM, "exact_ttl_minutes": 30, "scope": "workspace"}
    assert client.post(PAGE, form).status_code == 302
    rules = cache_settings.rules_of(alice)
    assert (rules.exact, rules.exact_ttl_seconds, rules.scope) == (True, 1_800, CacheScope.WORKSPACE)
    shown = client.get(PAGE).content.decode()
    assert 'name="exact" checked' in shown
    assert "Not measured" in shown
    assert 'value="30"' in shown
    assert client.post(PAGE, {**form, "exact_ttl_minutes": 0}).status_code == 400
    unmeasured = client.post(PAGE, {**form, "semantic": "on"})
    assert unmeasured.status_code == 400
    assert "Nothing speaks for a semantic cache here yet" in unmeasured.content.decode()
    assert cache_settings.rules_of(alice) == rules


def test_the_workspaces_own_administration_makes_one_row_and_changes_it(alice: Principal, client_of: ClientOf) -> None:
    client = client_of(alice)
    prove_second_factor(client, alice.user_id)
    address = "/manage/routing/cachesettings/"
    given: dict[str, object] = {"exact": "on", "exact_ttl_seconds": 120, "scope": "own"}
    given |= {"threshold": 0.9, "semantic_ttl_seconds": 600, "max_entries": 100, "embedding_model": "m"}
    assert client.post(f"{address}add/", {**given, "exact_ttl_seconds": 5}).status_code == 200
    assert not selectors.catalogue(alice.tenant_id).cache.exact
    assert client.post(f"{address}add/", given).status_code == 302
    assert selectors.catalogue(alice.tenant_id).cache.exact
    assert client.post(f"{address}add/", given).status_code == 403
    row = CacheSettings.objects.using("engine").get(tenant_id=alice.tenant_id)
    assert client.post(f"{address}{row.id}/change/", {**given, "scope": "workspace"}).status_code == 302
    assert selectors.catalogue(alice.tenant_id).cache.scope is CacheScope.WORKSPACE


def keep_in_other_words(principal: Principal) -> None:
    place = semantic.Place(principal.tenant_id, principal.user_id, b"k" * 8, "e", "What is kept?")
    entry = Entry("Kept.", "", Usage(1, 1), uuid4(), uuid4(), "m", 1.0)
    semantic.keep(place, [1.0, 0.0], entry, CacheRules(semantic=True))


def test_where_the_semantic_cache_is_off_nothing_is_kept_in_it(alice: Principal, client_of: ClientOf) -> None:
    kept = SemanticAnswer.objects.using("engine").filter(tenant_id=alice.tenant_id)
    cache_settings.change_rules(alice, exact=True)
    row = CacheSettings.objects.using("engine").get(tenant_id=alice.tenant_id)
    keep_in_other_words(alice)
    row.semantic = True
    cache_settings.forget_if_off(row, "engine")
    assert kept.count() == 1
    row.semantic = False
    cache_settings.forget_if_off(row, "engine")
    assert kept.count() == 0
    keep_in_other_words(alice)
    client = client_of(alice)
    prove_second_factor(client, alice.user_id)
    given: dict[str, object] = {"exact": "on", "exact_ttl_seconds": 120, "scope": "workspace", "embedding_model": "m"}
    given |= {"threshold": 0.9, "semantic_ttl_seconds": 600, "max_entries": 100}
    assert client.post(f"/manage/routing/cachesettings/{row.id}/change/", given).status_code == 302
    assert kept.count() == 0


def test_a_member_meets_the_same_wall_in_the_database(alice: Principal, mallory: Principal) -> None:
    cache_settings.change_rules(alice, exact=True)
    with tenant_scope(mallory.tenant_id):
        assert not CacheSettings.objects.exists()
        assert not CacheSettings.objects.update(exact=False)
    assert cache_settings.rules_of(new_member(alice, "Carol")).exact
    with pytest.raises(ProgrammingError), tenant_scope(mallory.tenant_id), connections["default"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO routing_cachesettings (id, tenant_id, exact, exact_ttl_seconds, scope, semantic, "
            "embedding_model, threshold, semantic_ttl_seconds, max_entries, changed_at) "
            "VALUES (gen_random_uuid(), %s, true, 60, 'own', false, 'm', 0.9, 60, 10, now())",
            [alice.tenant_id],
        )
