"""Somebody leaves: what rests on their membership ends together; other tenants and other people notice nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from allauth.usersessions.models import UserSession
from django.db import connections
from django.db.models.functions import Now
from django.test import Client

from apps.accounts.models import User
from apps.problems import Forbidden
from apps.tenants import audit, offboarding, selectors, services
from apps.tenants.contracts import Principal
from apps.tenants.edge import tokens
from apps.tenants.errors import CredentialRefused, NotFound
from apps.tenants.models import ApiKey, AuditEntry, Membership
from apps.tenants.offboarding import LastOwner
from apps.tenants.scope import tenant_scope
from tests.people import new_member

ClientOf = Callable[[Principal], Client]
ME = "/api/v1/accounts/me/"


def membership_of(principal: Principal) -> Membership:
    return Membership.objects.using("engine").get(tenant_id=principal.tenant_id, user_id=principal.user_id)


def in_second_tenant(principal: Principal) -> Principal:
    second = services.open_tenant("Second", principal.user_id)
    found = selectors.principal_for(principal.user_id, second.id)
    assert found is not None
    return found


def remembered(client: Client, principal: Principal) -> Client:
    """A browser that signed in through the page, which remembers where it did."""
    key = client.cookies["sessionid"].value
    UserSession.objects.create(user_id=principal.user_id, session_key=key, ip="192.0.2.1", user_agent="test")
    return client


def status(client: Client, **headers: str) -> int:
    return client.get(ME, headers=headers).status_code


def is_alive(pair: tokens.TokenPair) -> bool:
    try:
        tokens.principal_of_access(pair.access)
    except CredentialRefused:
        return False
    return True


def test_everything_in_this_tenant_ends_and_nothing_elsewhere(
    alice: Principal, bob: Principal, client_of: ClientOf
) -> None:
    elsewhere = in_second_tenant(bob)
    keys = {who: services.create_api_key(who, "program") for who in (alice, bob, elsewhere)}
    pairs = {who: tokens.issue(who) for who in (alice, bob, elsewhere)}
    browsers = {who: remembered(client_of(who), who) for who in (alice, bob, elsewhere)}
    assert [status(browser) for browser in browsers.values()] == [200, 200, 200]

    ended = services.offboard(alice, membership_of(bob).id)

    assert (ended.keys, ended.token_families, ended.sessions) == (1, 1, 1)
    for who, alive in ((alice, True), (bob, False), (elsewhere, True)):
        assert (selectors.principal_for_api_key(keys[who].secret) is not None) is alive
        assert is_alive(pairs[who]) is alive
        assert status(browsers[who]) == (200 if alive else 401)
    assert selectors.principal_for(bob.user_id, bob.tenant_id) is None
    assert membership_of(elsewhere).suspended_at is None
    assert not UserSession.objects.filter(session_key=browsers[bob].cookies["sessionid"].value).exists()
    entry = AuditEntry.objects.using("engine").filter(tenant_id=bob.tenant_id).order_by("-seq").first()
    assert entry is not None
    assert (entry.action, entry.actor_id, entry.target_id) == (
        "member.off_boarded",
        alice.user_id,
        str(membership_of(bob).id),
    )
    assert entry.data["keys"] == 1
    assert keys[bob].secret not in str(entry.data)


def test_all_of_it_or_none(alice: Principal, bob: Principal) -> None:
    key = services.create_api_key(bob, "program")
    with (
        patch.object(offboarding, "_handlers", [lambda tenant_id, user_id: 1 / 0]),
        pytest.raises(ZeroDivisionError),
    ):
        services.offboard(alice, membership_of(bob).id)
    assert membership_of(bob).suspended_at is None
    assert selectors.principal_for_api_key(key.secret) is not None


def test_what_came_up_later_ends_when_it_is_repeated(alice: Principal, bob: Principal) -> None:
    membership = membership_of(bob)
    services.offboard(alice, membership.id)
    first = membership_of(bob).suspended_at
    ended = services.offboard(alice, membership.id)
    assert (ended.keys, ended.token_families, ended.sessions) == (0, 0, 0)
    assert membership_of(bob).suspended_at == first


def test_who_may(alice: Principal, bob: Principal, mallory: Principal) -> None:
    carol = new_member(alice, "Carol")
    with pytest.raises(Forbidden):
        services.offboard(bob, membership_of(carol).id)
    for somebody in (alice, mallory):
        with pytest.raises(NotFound):
            services.offboard(somebody, uuid4())
    with pytest.raises(NotFound):
        services.offboard(mallory, membership_of(bob).id)
    with pytest.raises(NotFound):
        services.offboard(audit.Actor.job("directory"), uuid4())
    assert membership_of(carol).suspended_at is None
    services.offboard(carol, membership_of(carol).id)  # one may leave
    services.offboard(audit.Actor.job("directory"), membership_of(bob).id)
    assert all(membership_of(who).suspended_at for who in (bob, carol))


def test_the_last_owner_stays(alice: Principal) -> None:
    second = new_member(alice, "Olive", "owner")
    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(leave, (alice, second)))
    assert sorted(outcomes) == ["last_owner", "left"]
    with pytest.raises(LastOwner):
        left = alice if membership_of(alice).suspended_at is None else second
        services.offboard(left, membership_of(left).id)


def leave(owner: Principal) -> str:
    try:
        services.offboard(owner, membership_of(owner).id)
    except LastOwner as refused:
        return refused.code
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close()
    return "left"


@pytest.mark.parametrize("alias", ["default", "engine"])
@pytest.mark.parametrize("how", ["suspended", "removed"])
def test_keys_end_for_good_however_a_membership_ends(alice: Principal, bob: Principal, alias: str, how: str) -> None:
    """By SCIM, by the administration or by hand: who comes back does not find old keys alive."""
    key, pair, alices = services.create_api_key(bob, "old"), tokens.issue(bob), services.create_api_key(alice, "a")

    def end() -> None:
        rows = Membership.objects.using(alias).filter(tenant_id=bob.tenant_id, user_id=bob.user_id)
        if how == "removed":
            rows.delete()
        else:
            rows.update(suspended_at=Now())

    if alias == "default":
        with tenant_scope(bob.tenant_id):
            end()
    else:
        end()
    Membership.objects.using("engine").update_or_create(
        tenant_id=bob.tenant_id, user_id=bob.user_id, defaults={"suspended_at": None, "role": "member"}
    )
    selectors.forget_api_key(bytes(ApiKey.objects.using("engine").get(id=key.id).digest))
    assert selectors.principal_for(bob.user_id, bob.tenant_id) is not None
    assert selectors.principal_for_api_key(key.secret) is None
    assert not is_alive(pair)
    assert selectors.principal_for_api_key(alices.secret) is not None


def test_a_changed_role_leaves_keys_alive(alice: Principal, bob: Principal) -> None:
    key = services.create_api_key(bob, "program")
    Membership.objects.using("engine").filter(user_id=bob.user_id).update(role="viewer")
    found = selectors.principal_for_api_key(key.secret)
    assert found is not None and found.role == "viewer"


def test_keys_survive_a_password_and_end_in_one_step(alice: Principal, bob: Principal, client_of: ClientOf) -> None:
    bobs = [services.create_api_key(bob, f"key {number}") for number in range(3)]
    services.revoke_api_key(bob, bobs[0].id)
    alices, elsewhere = services.create_api_key(alice, "hers"), in_second_tenant(bob)
    far = services.create_api_key(elsewhere, "far")
    user = User.objects.get(id=bob.user_id)
    user.set_password("another long passphrase")
    user.save(update_fields=["password"])
    assert selectors.principal_for_api_key(bobs[1].secret) is not None
    done = client_of(bob).post("/api/v1/api-keys/revoke-all/")
    assert (done.status_code, done.json()) == (200, {"revoked": 2})
    assert [found_by(key.secret) for key in (*bobs, alices, far)] == [False, False, False, True, True]
    revoked = AuditEntry.objects.using("engine").filter(tenant_id=bob.tenant_id, action="api_key.revoked")
    assert {UUID(entry.target_id) for entry in revoked} == {key.id for key in bobs}


def found_by(secret: str) -> bool:
    return selectors.principal_for_api_key(secret) is not None


def test_who_stands_no_more_makes_no_key(alice: Principal, bob: Principal) -> None:
    services.offboard(alice, membership_of(bob).id)
    with pytest.raises(CredentialRefused):
        services.create_api_key(bob, "late")


def test_a_key_is_never_wider_than_its_maker(bob: Principal, client_of: ClientOf) -> None:
    client = client_of(bob)
    wide: dict[str, Any] = {"name": "wide", "role": "owner", "user_id": str(uuid4()), "tenant_id": str(uuid4())}
    made = client.post("/api/v1/api-keys/", wide, content_type="application/json")
    assert made.status_code == 201
    found = selectors.principal_for_api_key(made.json()["secret"])
    assert found is not None
    assert (found.role, found.user_id, found.tenant_id) == ("member", bob.user_id, bob.tenant_id)
    narrow = services.create_api_key(bob, "narrow", {"manage"})
    again = Client().post(
        "/api/v1/api-keys/",
        {"name": "wider", "scopes": []},
        content_type="application/json",
        headers={"Authorization": f"Bearer {narrow.secret}"},
    )
    assert again.status_code == 403
