"""Refresh tokens rotate in families; a second use of one ends its family. Keys that sign are changed without harm."""

import base64
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from django.db import connections
from django.test import Client

from apps.accounts.models import User
from apps.tenants import selectors, services, signing_keys, token_families
from apps.tenants.contracts import Principal
from apps.tenants.edge import tokens
from apps.tenants.errors import CredentialRefused
from apps.tenants.models import AuditEntry, RefreshToken
from apps.vault import BadKeys
from tests.people import new_address

REVOKE, TOKENS = "/api/v1/accounts/token/revoke/", "/api/v1/accounts/tokens/"


@pytest.fixture
def program() -> Client:
    return Client(REMOTE_ADDR=new_address())


def family_of(token: str) -> UUID:
    return UUID(jwt.decode(token, options={"verify_signature": False})["family"])


def links(family: UUID) -> list[RefreshToken]:
    return list(RefreshToken.objects.using("engine").filter(family=family).order_by("issued_at", "id"))


def audited(family: UUID) -> list[tuple[str, str | None]]:
    entries = AuditEntry.objects.using("engine").filter(target_id=str(family)).order_by("seq")
    return [(entry.action, entry.data.get("reason")) for entry in entries]


def opens(access: str) -> bool:
    try:
        tokens.principal_of_access(access)
    except CredentialRefused:
        return False
    return True


def test_only_digests_are_kept_and_each_link_knows_its_parent(alice: Principal) -> None:
    first = tokens.issue(alice, "a program\0")
    second = tokens.renew(first.refresh)
    begun, renewed = links(family_of(first.refresh))
    assert family_of(second.refresh) == family_of(second.access) == begun.family
    assert (begun.parent, renewed.parent) == (None, begun.id)
    assert (begun.used_at is None, renewed.used_at) == (False, None)
    assert bytes(begun.digest) == token_families.digest(first.refresh) != token_families.digest(second.refresh)
    stored = repr(RefreshToken.objects.using("engine").filter(family=begun.family).values())
    assert first.refresh not in stored and first.refresh.rpartition(".")[2] not in stored


def test_a_second_use_ends_the_family_and_its_access(alice: Principal, program: Client) -> None:
    first, bystander = tokens.issue(alice), tokens.issue(alice)
    second = tokens.renew(first.refresh)
    third = tokens.renew(second.refresh)
    assert opens(first.access) and opens(third.access)
    with pytest.raises(CredentialRefused, match="used before"):
        tokens.renew(second.refresh)
    for pair in (first, second, third):
        assert not opens(pair.access)
        with pytest.raises(CredentialRefused):
            tokens.renew(pair.refresh)
    assert audited(family_of(first.refresh)) == [("token_family.opened", None), ("token_family.revoked", "reuse")]
    # Another sign-in of the same person goes on.
    assert opens(bystander.access)
    assert opens(tokens.renew(bystander.refresh).access)


def test_of_fifty_renewals_at_once_one_wins_and_the_family_ends(alice: Principal) -> None:
    first = tokens.issue(alice)

    def renew(_number: int) -> tokens.TokenPair | None:
        try:
            return tokens.renew(first.refresh)
        except CredentialRefused:
            return None
        finally:
            for connection in connections.all(initialized_only=True):
                connection.close()

    with ThreadPoolExecutor(10) as threads:
        won = [pair for pair in threads.map(renew, range(50)) if pair is not None]
    assert len(won) == 1
    family = links(family_of(first.refresh))
    assert len(family) == 2 and all(link.revoked_at is not None for link in family)
    assert not opens(won[0].access) and not opens(first.access)
    with pytest.raises(CredentialRefused):
        tokens.renew(won[0].refresh)
    assert Counter(audited(family[0].family))["token_family.revoked", "reuse"] == 1


def test_a_link_written_beside_a_revocation_belongs_to_a_revoked_family(alice: Principal) -> None:
    """What a renewal leaves that committed after the revocation had read the family."""
    pair = tokens.issue(alice)
    family = family_of(pair.refresh)
    principal = tokens.principal_of_access(pair.access)
    assert token_families.revoke(principal, family, "asked")
    late, link = tokens._pair(principal, principal.proof)  # type: ignore[arg-type]
    token_families.begin(principal, family, link, "")
    assert not opens(late.access)
    with pytest.raises(CredentialRefused):
        tokens.renew(late.refresh)
    assert token_families.renew(principal, family, link.digest, link) is token_families.Outcome.UNKNOWN


def test_another_persons_or_tenants_token_does_not_meet_the_family(
    alice: Principal, bob: Principal, mallory: Principal
) -> None:
    pair = tokens.issue(alice)
    family, used = family_of(pair.refresh), token_families.digest(pair.refresh)
    following = token_families.Link(uuid4().bytes * 2, datetime.now(UTC) + timedelta(days=1))
    for stranger in (bob, mallory):
        assert token_families.renew(stranger, family, used, following) is token_families.Outcome.UNKNOWN
        assert not token_families.revoke(stranger, family, "asked")
    assert opens(pair.access)


def test_signing_out_over_rest(alice: Principal, program: Client) -> None:
    pair = tokens.issue(alice)
    renewed = tokens.renew(pair.refresh)
    for refresh in ("nonsense", "a.b.c", "\0", pair.access):
        assert program.post(REVOKE, {"refresh": refresh}, content_type="application/json").status_code in (204, 400)
    assert opens(renewed.access)
    # Also with a token of the family that was used up already.
    for _again in range(2):
        done = program.post(REVOKE, {"refresh": pair.refresh}, content_type="application/json")
        assert done.status_code == 204
    assert not opens(renewed.access)
    assert audited(family_of(pair.refresh))[-1] == ("token_family.revoked", "signed out")


def test_ones_sign_ins_are_listed_and_ended(
    alice: Principal, bob: Principal, client_of: Callable[[Principal], Client], program: Client
) -> None:
    one, other, bobs = tokens.issue(alice, "script/1"), tokens.issue(alice, "script/2"), tokens.issue(bob)
    one = tokens.renew(one.refresh)
    listed = program.get(TOKENS, headers={"Authorization": f"Bearer {one.access}"}).json()
    assert [(entry["client"], entry["current"]) for entry in listed] == [("script/1", True), ("script/2", False)]
    assert one.refresh not in str(listed)
    client = client_of(alice)
    assert client.delete(f"{TOKENS}{family_of(bobs.refresh)}/").status_code == 404
    assert client.delete(f"{TOKENS}{family_of(other.refresh)}/").status_code == 204
    assert [entry["client"] for entry in client.get(TOKENS).json()] == ["script/1"]
    assert (opens(one.access), opens(other.access), opens(bobs.access)) == (True, False, True)


def test_a_new_password_ends_every_family_in_every_tenant(alice: Principal, bob: Principal) -> None:
    second = selectors.principal_for(alice.user_id, services.open_tenant("Second", alice.user_id).id)
    assert second is not None
    pairs = {who: tokens.issue(who) for who in (alice, second, bob)}
    user = User.objects.get(id=alice.user_id)
    user.name = "Alice B."
    user.save(update_fields=["name"])
    assert all(opens(pair.access) for pair in pairs.values())
    user.set_password("another long passphrase")
    user.save(update_fields=["password"])
    assert [token_families.families(who) for who in (alice, second)] == [[], []]
    assert [opens(pair.access) for pair in pairs.values()] == [False, False, True]


def test_links_are_forgotten_only_when_they_could_not_be_used(alice: Principal) -> None:
    ended, living = tokens.issue(alice), tokens.issue(alice)
    principal = tokens.principal_of_access(ended.access)
    past = datetime.now(UTC) - timedelta(days=1)
    for pair in (ended, living):
        link = token_families.Link(uuid4().bytes * 2, past)
        token_families.begin(principal, family_of(pair.refresh), link, "")
    token_families.revoke(principal, family_of(ended.refresh), "asked")
    assert token_families.forget_expired() >= 1
    assert len(links(family_of(ended.refresh))) == 2  # its expired link still says that it is revoked
    assert [link.expires_at > past for link in links(family_of(living.refresh))] == [True]
    assert opens(living.access)


def test_a_tokens_own_tenant_is_asked_and_no_other(alice: Principal) -> None:
    services.open_tenant("Second", alice.user_id)
    pair = tokens.issue(alice)
    claims = jwt.decode(pair.access, options={"verify_signature": False})
    other = services.open_tenant("Third", alice.user_id)
    keys = signing_keys.signing_keys()
    swapped = jwt.encode(
        claims | {"tenant": str(other.id)}, keys.signing, algorithm="HS256", headers={"kid": keys.current}
    )
    assert not opens(swapped)


def key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


@pytest.fixture
def signed_under(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | None], None]]:
    def use(key_list: str | None) -> None:
        keys = signing_keys.read(key_list, "a secret key")
        monkeypatch.setattr(tokens, "signing_keys", lambda: keys)

    yield use


def test_keys_rotate_without_ending_anything(alice: Principal, signed_under: Callable[[str | None], None]) -> None:
    signed_under(f"k1:{key(1)}")
    old = tokens.issue(alice)
    signed_under(f"k2:{key(2)}, k1:{key(1)}")
    assert opens(old.access)
    new = tokens.renew(old.refresh)
    assert jwt.get_unverified_header(new.refresh)["kid"] == "k2"
    signed_under(f"k2:{key(2)}")
    assert not opens(old.access)
    assert opens(new.access)
    # A known name does not vouch for another key.
    signed_under(f"k2:{key(3)}")
    assert not opens(new.access)


def test_without_keys_of_its_own_an_installation_signs_under_one_made_from_its_secret_key(
    alice: Principal, signed_under: Callable[[str | None], None]
) -> None:
    for unset in (None, ""):
        signed_under(unset)
        pair = tokens.issue(alice)
        assert jwt.get_unverified_header(pair.access)["kid"] == signing_keys.DERIVED_KEY_ID
        assert opens(pair.access)
    assert signing_keys.read(None, "one").signing != signing_keys.read(None, "two").signing
    assert b"one" not in signing_keys.read(None, "one").signing


BROKEN_LISTS = [
    *("nonsense", "k1:short", "k1:é", f":{key(1)}"),
    *(f"k1:{key(1)},k1:{key(2)}", f"k1:{key(1)},", f"k 1:{key(1)}"),
]


@pytest.mark.parametrize("broken", BROKEN_LISTS)
def test_a_list_of_keys_that_cannot_be_read_is_refused_without_telling_it(broken: str) -> None:
    with pytest.raises(BadKeys) as refused:
        signing_keys.read(broken, "unused")
    told: Any = str(refused.value)
    assert key(1)[:8] not in told and "short" not in told
