"""A key with a new secret: both work for a while, and are one key."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from apps.problems import Conflict, Forbidden
from apps.tenants import api_keys, selectors, services
from apps.tenants.contracts import NewApiKey, Principal
from apps.tenants.errors import CredentialRefused, InvalidApiKey, NotFound
from apps.tenants.models import ApiKey, AuditEntry, EarlierSecret, Tenant
from apps.tenants.scope import tenant_scope
from apps.tenants.standing import Register, Standing, still_stands
from tests.people import new_member
from tests.tenants.test_api_keys import is_outdated

DAY = 86_400


def works(*keys: NewApiKey) -> list[bool]:
    return [selectors.principal_for_api_key(key.secret) is not None for key in keys]


def test_both_secrets_open_the_same_key_until_the_overlap_ends(alice: Principal) -> None:
    old = services.create_api_key(alice, "app", {"chat"}, datetime.now(UTC) + timedelta(days=2))
    before = ApiKey.objects.using("engine").get(id=old.id)
    new = services.rotate_api_key(alice, old.id, DAY)
    assert new.id == old.id and new.prefix != old.prefix
    found = [selectors.principal_for_api_key(key.secret) for key in (old, new)]
    assert found[0] == found[1]
    assert found[0] is not None and found[0].api_key_id == old.id and found[0].scopes == {"chat"}
    after = ApiKey.objects.using("engine").get(id=old.id)
    assert (after.name, after.expires_at, after.created_at) == (before.name, before.expires_at, before.created_at)
    (listed,) = selectors.api_keys(alice)
    (earlier,) = listed.earlier_secrets
    assert (listed.prefix, earlier.prefix) == (new.prefix, old.prefix)
    assert 0.99 * DAY < (earlier.ends_at - datetime.now(UTC)).total_seconds() <= DAY
    with tenant_scope(alice.tenant_id):
        EarlierSecret.objects.filter(prefix=old.prefix).update(ends_at=datetime.now(UTC))
    selectors.forget_api_keys(alice.tenant_id)
    assert works(old, new) == [False, True]


def test_without_an_overlap_the_new_secret_alone_works_at_once_and_everywhere(alice: Principal) -> None:
    first = services.create_api_key(alice, "app")
    second = services.rotate_api_key(alice, first.id, DAY)
    assert works(first, second) == [True, True]
    third = services.rotate_api_key(alice, first.id)
    assert works(first, second, third) == [False, False, True]
    assert is_outdated(alice.tenant_id), "other processes were not told"


def test_an_earlier_secret_lives_no_longer_than_its_key(alice: Principal) -> None:
    old = services.create_api_key(alice, "brief", expires_at=datetime.now(UTC) + timedelta(hours=1))
    services.rotate_api_key(alice, old.id, 30 * DAY)
    (listed,) = selectors.api_keys(alice)
    assert listed.earlier_secrets[0].ends_at == listed.expires_at


@pytest.mark.parametrize("how", ["ended", "key revoked", "all revoked", "by an operator"])
def test_ending_is_felt_at_once(alice: Principal, how: str) -> None:
    old = services.create_api_key(alice, "app")
    new = services.rotate_api_key(alice, old.id, DAY)
    found = selectors.principal_for_api_key(old.secret)
    newest = selectors.principal_for_api_key(new.secret)
    assert found is not None and newest is not None
    match how:
        case "ended":
            services.end_earlier_secret(alice, old.id, old.prefix)
            services.end_earlier_secret(alice, old.id, old.prefix)
        case "key revoked":
            services.revoke_api_key(alice, old.id)
        case "all revoked":
            assert services.revoke_own_api_keys(alice) == 1
        case _:
            assert services.revoke_api_keys_as_operator([old.id]) == 1
    assert works(old, new) == [False, how == "ended"]
    assert is_outdated(alice.tenant_id)
    # What was opened with the ended secret and stays open is told too; what the newest opened stays.
    stands = Standing.STANDS if how == "ended" else Standing.ENDED
    assert Register().standings([found, newest]) == [Standing.ENDED, stands]
    with pytest.raises(CredentialRefused), tenant_scope(alice.tenant_id):
        still_stands(found)


def test_who_may_rotate_what(alice: Principal, bob: Principal, mallory: Principal) -> None:
    key = services.create_api_key(bob, "bob's")
    for other in (alice, mallory):  # an administrator would be shown a secret that speaks for Bob
        with pytest.raises(NotFound):
            services.rotate_api_key(other, key.id)
    for stranger in (mallory, new_member(alice, "Carl")):
        with pytest.raises(NotFound):
            services.end_earlier_secret(stranger, key.id, key.prefix)
    with pytest.raises(NotFound):
        services.end_earlier_secret(bob, key.id, key.prefix)  # the newest ends with the key
    own = selectors.principal_for_api_key(key.secret)
    assert own is not None
    with pytest.raises(Forbidden):
        services.rotate_api_key(own, key.id)
    for seconds in (-1, 30 * DAY + 1):
        with pytest.raises(InvalidApiKey):
            services.rotate_api_key(bob, key.id, seconds)
    services.revoke_api_key(bob, key.id)
    with pytest.raises(Conflict, match="has ended"):
        services.rotate_api_key(bob, key.id, DAY)
    assert works(key) == [False]


def test_only_so_many_secrets_work_beside_the_newest(alice: Principal) -> None:
    keys = [services.create_api_key(alice, "app")]
    for _ in range(api_keys.MAX_EARLIER_SECRETS):
        keys.append(services.rotate_api_key(alice, keys[0].id, DAY))
    assert works(*keys) == [True] * len(keys)
    with pytest.raises(Conflict, match="still work"):
        services.rotate_api_key(alice, keys[0].id, DAY)
    services.end_earlier_secret(alice, keys[0].id, keys[1].prefix)
    keys.append(services.rotate_api_key(alice, keys[0].id, DAY))
    assert works(*keys) == [True, False, True, True, True]


def test_a_rotation_is_told_and_holds_no_secret(alice: Principal) -> None:
    old = services.create_api_key(alice, "app")
    new = services.rotate_api_key(alice, old.id, 60)
    services.end_earlier_secret(alice, old.id, old.prefix)
    with tenant_scope(alice.tenant_id):
        entries = list(AuditEntry.objects.order_by("seq").values_list("action", "target_id", "data"))[-2:]
    assert entries == [
        (
            "api_key.rotated",
            str(old.id),
            {"name": "app", "prefix": new.prefix, "from": old.prefix, "overlap_seconds": 60},
        ),
        ("api_key.secret_ended", str(old.id), {"name": "app", "prefix": new.prefix, "ended": old.prefix}),
    ]
    assert new.secret not in str(entries) and new.secret not in repr(new)


def test_over_rest(client_of: Callable[[Principal], Client], alice: Principal) -> None:
    client, old = client_of(alice), services.create_api_key(alice, "app")
    path = f"/api/v1/api-keys/{old.id}/"
    made = client.post(f"{path}rotate/", {"overlap_seconds": 600}, content_type="application/json")
    assert (made.status_code, made["Cache-Control"], made.json()["id"]) == (201, "no-store", str(old.id))
    assert selectors.principal_for_api_key(made.json()["secret"]) is not None
    (listed,) = client.get("/api/v1/api-keys/").json()
    assert [one["prefix"] for one in listed["earlier_secrets"]] == [old.prefix]
    assert client.delete(f"{path}secrets/{old.prefix}/").status_code == 204
    assert client.delete(f"{path}secrets/sk-sb-unknown/").status_code == 404
    assert works(old) == [False]
    for bad in ({}, {"overlap_seconds": -1}, {"overlap_seconds": "soon"}, {"overlap_seconds": 10**12}):
        refused = client.post(f"{path}rotate/", bad, content_type="application/json")
        assert (refused.status_code, list(refused.json()["errors"])) == (400, ["overlap_seconds"])
    assert (
        client.post(
            f"/api/v1/api-keys/{uuid4()}/rotate/", {"overlap_seconds": 0}, content_type="application/json"
        ).status_code
        == 404
    )


def test_by_command(alice: Principal) -> None:
    old = services.create_api_key(alice, "app")
    slug = Tenant.objects.using("engine").get(id=alice.tenant_id).slug
    out = io.StringIO()
    call_command(
        "rotate_api_key", "--tenant", slug, "--key", f"{old.prefix}…", "--overlap-seconds", "60", "--json", stdout=out
    )
    told = json.loads(out.getvalue())
    assert told["id"] == str(old.id)
    assert selectors.principal_for_api_key(told["secret"]) is not None and works(old) == [True]
    with pytest.raises(CommandError, match="has no key"):
        call_command("rotate_api_key", "--tenant", slug, "--key", str(uuid4()))
