"""API keys: made, shown once, looked up quickly, revoked."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.limits.contracts import Call, Stale
from apps.problems import Forbidden
from apps.tenants import epochs, key_secrets, membership, selectors, services, teams
from apps.tenants.contracts import Principal, Via
from apps.tenants.errors import InvalidApiKey, NotFound
from apps.tenants.known_keys import KnownKey, KnownKeys
from apps.tenants.models import ApiKey, Membership, Tenant
from tests.people import new_member

KeyOf = Callable[[Principal], str]


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every lookup asks the database."""
    monkeypatch.setattr(selectors, "known_keys", KnownKeys())
    monkeypatch.setattr(KnownKeys, "TTL_SECONDS", 0.0)
    monkeypatch.setattr(KnownKeys, "REFUSED_TTL_SECONDS", 0.0)


def is_outdated(tenant_id: UUID) -> bool:
    """Whether an admission on what was known long ago is refused as such."""
    call = Call(str(uuid4()), 0)
    return isinstance(epochs._limits().admit(tenant_id, [], [call], lease_seconds=1, epoch=1), Stale)


def row(key_id: UUID) -> ApiKey:
    return ApiKey.objects.using("engine").get(id=key_id)


def test_only_a_digest_is_kept(alice: Principal) -> None:
    key = services.create_api_key(alice, " deploy ", {"chat"})
    kept = row(key.id)
    assert key.secret.startswith(f"{key.prefix}-")
    assert len(key.prefix) == 16
    assert len(key.secret) >= 16 + 1 + 43
    assert (kept.name, kept.scopes, kept.prefix) == ("deploy", ["chat"], key.prefix)
    assert bytes(kept.digest) == key_secrets.digest(key.secret)
    assert key.secret not in repr(key)
    assert key.secret.encode() not in bytes(kept.digest)


def test_a_key_speaks_for_its_person_in_its_tenant(alice: Principal, api_key_of: KeyOf) -> None:
    principal = selectors.principal_for_api_key(api_key_of(alice))
    assert principal is not None
    assert (principal.user_id, principal.tenant_id, principal.role) == (alice.user_id, alice.tenant_id, "owner")
    assert (principal.via, principal.scopes) == (Via.API_KEY, frozenset())


def test_near_misses_are_nobody(alice: Principal, api_key_of: KeyOf) -> None:
    secret = api_key_of(alice)
    wrong_end = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    for guess in (wrong_end, secret.upper(), secret[:-5], secret + "x" * 60, f"{secret}\0", secret[:16], "sk-sb-", ""):
        assert selectors.principal_for_api_key(guess) is None


@pytest.mark.usefixtures("forgetful")
def test_whatever_ends_access_ends_the_key(alice: Principal, bob: Principal, api_key_of: KeyOf) -> None:
    secrets = {who: api_key_of(who) for who in (alice, bob)}
    carol, dave = new_member(alice, "Carol"), new_member(alice, "Dave")
    carols, daves = api_key_of(carol), api_key_of(dave)
    User.objects.filter(id=bob.user_id).update(is_active=False)
    assert selectors.principal_for_api_key(secrets[bob]) is None
    Membership.objects.using("engine").filter(user_id=carol.user_id).delete()
    assert selectors.principal_for_api_key(carols) is None
    ApiKey.objects.using("engine").filter(user_id=dave.user_id).update(revoked_at=datetime.now(UTC))
    assert selectors.principal_for_api_key(daves) is None
    assert selectors.principal_for_api_key(secrets[alice]) is not None
    Tenant.objects.using("engine").filter(id=alice.tenant_id).update(status="suspended")
    assert selectors.principal_for_api_key(secrets[alice]) is None


def test_an_expired_key_is_refused_although_remembered(alice: Principal) -> None:
    key = services.create_api_key(alice, "brief", expires_at=datetime.now(UTC) + timedelta(seconds=1.5))
    assert selectors.principal_for_api_key(key.secret) is not None
    time.sleep(1.55)
    assert selectors.principal_for_api_key(key.secret) is None


def test_lookups_are_remembered_for_two_seconds_and_refusals_for_one(alice: Principal, api_key_of: KeyOf) -> None:
    known, unknown = api_key_of(alice), f"sk-sb-{'q' * 10}-{'x' * 43}"
    for secret, found in ((known, True), (unknown, False)):
        with CaptureQueriesContext(connections["engine"]) as first:
            assert (selectors.principal_for_api_key(secret) is not None) is found
        with CaptureQueriesContext(connections["engine"]) as again:
            assert (selectors.principal_for_api_key(secret) is not None) is found
        assert (len(first) > 0, len(again)) == (True, 0)
    # Made invisible behind this process's back, as another process would: it is noticed when the memory ends.
    ApiKey.objects.using("engine").filter(user_id=alice.user_id).update(revoked_at=datetime.now(UTC))
    assert selectors.principal_for_api_key(known) is not None
    time.sleep(2.05)
    assert selectors.principal_for_api_key(known) is None


def test_memory_is_bounded_and_guesses_evict_no_real_key(monkeypatch: pytest.MonkeyPatch, alice: Principal) -> None:
    monkeypatch.setattr(KnownKeys, "LIMIT", 3)
    keys = KnownKeys()
    keys.put(b"real", KnownKey(alice), keys.generation)
    for number in range(10):
        keys.put(b"guess %d" % number, KnownKey(None), keys.generation)
    assert keys.get(b"real") == KnownKey(alice)
    assert (keys.get(b"guess 6"), keys.get(b"guess 7")) == (None, KnownKey(None))


def test_what_was_read_before_a_key_was_forgotten_is_not_remembered(alice: Principal) -> None:
    keys = KnownKeys()
    began_at = keys.generation
    keys.drop_tenant(alice.tenant_id)
    assert keys.put(b"revoked meanwhile", KnownKey(alice), began_at) is None
    assert keys.remembered(b"revoked meanwhile") == (None, False)


def test_a_tenants_keys_are_forgotten_together_and_no_others(alice: Principal, mallory: Principal) -> None:
    keys = KnownKeys()
    for digest, whose in ((b"hers", alice), (b"hers too", alice), (b"his", mallory)):
        keys.put(digest, KnownKey(whose), keys.generation)
    keys.drop_tenant(alice.tenant_id)
    assert [keys.get(digest) for digest in (b"hers", b"hers too", b"his")] == [None, None, KnownKey(mallory)]


def test_one_of_all_who_use_an_old_key_looks_it_up_again(monkeypatch: pytest.MonkeyPatch, alice: Principal) -> None:
    monkeypatch.setattr(KnownKeys, "TTL_SECONDS", 0.05)
    keys = KnownKeys()
    keys.put(b"key", KnownKey(alice), keys.generation)
    assert keys.remembered(b"key") == (KnownKey(alice), False)
    time.sleep(0.06)
    assert keys.get(b"key") is None
    assert [keys.remembered(b"key") for _ in range(3)] == [(KnownKey(alice), stale) for stale in (True, False, False)]


@pytest.mark.parametrize("change", ["revoke", "role", "suspend"])
def test_a_change_of_rights_begins_another_epoch(alice: Principal, bob: Principal, change: str) -> None:
    key = services.create_api_key(bob, "bob's")
    membership_id = Membership.objects.using("engine").get(tenant_id=bob.tenant_id, user_id=bob.user_id).id
    assert not is_outdated(alice.tenant_id)
    if change == "revoke":
        services.revoke_api_key(bob, key.id)
    elif change == "role":
        membership.change_role(alice, membership_id, Membership.Role.VIEWER)
    else:
        membership.suspend(alice, membership_id)
    assert is_outdated(alice.tenant_id)


def test_revoking_is_felt_at_once_here_and_can_be_repeated(alice: Principal) -> None:
    key = services.create_api_key(alice, "old")
    assert selectors.principal_for_api_key(key.secret) is not None
    services.revoke_api_key(alice, key.id)
    assert selectors.principal_for_api_key(key.secret) is None
    first = row(key.id).revoked_at
    services.revoke_api_key(alice, key.id)
    assert row(key.id).revoked_at == first


@pytest.mark.parametrize("how", ["revoked", "rotated", "off-boarded", "out of the team"])
def test_a_look_up_that_began_before_the_end_brings_nothing_back(
    monkeypatch: pytest.MonkeyPatch, alice: Principal, bob: Principal, how: str
) -> None:
    """It has read a key that stood, and finishes after the key has ended."""
    team_id = teams.create_team(alice, "Search")
    (place,) = [one.id for one in membership.members(alice) if one.user_id == bob.user_id]
    teams.add_member(alice, team_id, place)
    key = services.create_api_key(bob, "raced", team_id=team_id)
    look_up, reads = selectors._look_up, 0

    def slow(prefix: str, digest: bytes) -> KnownKey:
        nonlocal reads
        reads += 1
        read = look_up(prefix, digest)
        if reads == 1:
            match how:
                case "revoked":
                    services.revoke_api_key(bob, key.id)
                case "rotated":
                    services.rotate_api_key(bob, key.id)
                case "off-boarded":
                    membership.suspend(alice, place)
                case _:
                    teams.remove_member(alice, team_id, place)
        return read

    monkeypatch.setattr(selectors, "_look_up", slow)
    assert selectors.principal_for_api_key(key.secret) is None
    assert reads == 2, "what was read before the end is read again"
    assert selectors.principal_in_memory(key.secret) == (None, False)
    reads = 1
    selectors.look_again(key.secret)
    assert selectors.principal_in_memory(key.secret) == (None, False)


def test_members_see_and_revoke_their_own_and_administrators_all(
    alice: Principal, bob: Principal, mallory: Principal
) -> None:
    alices, bobs = services.create_api_key(alice, "a"), services.create_api_key(bob, "b")
    assert [key.id for key in selectors.api_keys(bob)] == [bobs.id]
    assert [(key.id, key.user_name) for key in selectors.api_keys(alice)] == [(bobs.id, "Bob"), (alices.id, "Alice")]
    assert selectors.api_keys(mallory) == []
    for stranger, key in ((bob, alices), (mallory, alices), (mallory, bobs)):
        with pytest.raises(NotFound):
            services.revoke_api_key(stranger, key.id)
    services.revoke_api_key(alice, bobs.id)
    assert row(bobs.id).revoked_at is not None
    assert row(alices.id).revoked_at is None


def test_rules_of_new_keys(alice: Principal, api_key_of: KeyOf) -> None:
    with pytest.raises(InvalidApiKey) as refused:
        services.create_api_key(alice, " ", {"everything"}, datetime.now(UTC) - timedelta(days=1))
    assert set(refused.value.fields or {}) == {"name", "scopes", "expires_at"}
    key = selectors.principal_for_api_key(api_key_of(alice))
    assert key is not None
    with pytest.raises(Forbidden, match="cannot make another key"):
        services.create_api_key(key, "child")
    with pytest.raises(Forbidden, match="As viewer"):
        services.create_api_key(new_member(alice, "Vic", "viewer"), "view")


def test_use_is_noted_at_most_once_a_minute(alice: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    key = services.create_api_key(alice, "busy")
    services.touch_api_key(key.id)
    first = row(key.id).last_used_at
    assert first is not None
    services.touch_api_key(key.id)
    # Another process, which remembers nothing, asks the row.
    monkeypatch.setattr(services, "_touched", services._Touched())
    services.touch_api_key(key.id)
    assert row(key.id).last_used_at == first
    long_ago = datetime.now(UTC) - timedelta(seconds=61)
    ApiKey.objects.using("engine").filter(id=key.id).update(last_used_at=long_ago)
    monkeypatch.setattr(services, "_touched", services._Touched())
    services.touch_api_key(key.id)
    used = row(key.id).last_used_at
    assert used is not None
    assert used > first


def test_keys_over_rest(client_of: Callable[[Principal], Client], alice: Principal) -> None:
    client = client_of(alice)
    made = client.post("/api/v1/api-keys/", {"name": "ci", "scopes": ["manage"]}, content_type="application/json")
    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    secret = made.json()["secret"]
    listed = client.get("/api/v1/api-keys/").json()
    assert [(key["name"], key["scopes"]) for key in listed] == [("ci", ["manage"])]
    assert secret not in str(listed)
    assert Client().get("/api/v1/api-keys/", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    path = f"/api/v1/api-keys/{made.json()['id']}/"
    assert client.delete(path).status_code == 204
    assert Client().get("/api/v1/api-keys/", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    bad = client.post("/api/v1/api-keys/", {"name": "ci", "scopes": ["root"]}, content_type="application/json")
    assert (bad.status_code, list(bad.json()["errors"])) == (400, ["scopes.0"])
