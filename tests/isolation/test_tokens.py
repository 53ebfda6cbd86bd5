"""Attackers with credentials that were tampered with, or that are for other doors. Beside each the one that opens."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client

from apps.tenants import services as tenants
from apps.tenants.contracts import Scope
from apps.tenants.edge import tokens
from apps.tenants.models import Membership
from apps.tenants.oauth_keys import read_keys
from apps.tenants.signing_keys import signing_keys
from tests.identity.programs import Program, signing_key
from tests.isolation.attack import Ground
from tests.isolation.product import Answer, Call, give_back_connections
from tests.people import new_address, session_of

ME, CHATS, SCIM = "/api/v1/accounts/me/", "/api/v1/conversations/", "/scim/v2/Users"
Pairs = tuple[dict[str, Any], dict[str, Any], tokens.TokenPair]
_OAUTH_KEYS = read_keys(signing_key())


def shown(ground: type[Ground], path: str, headers: dict[str, str], **more: Any) -> Answer:
    """A request with these headers, and no credential beside them."""
    (answer,) = ground.product.call(Call("GET", path, headers, more.pop("cookies", {}), address=new_address(), **more))
    return answer


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def on_a_socket(ground: type[Ground], token: str) -> list[str]:
    """What the socket says to a token: `ready`, or how it refuses."""
    return [str(heard["type"]) for heard in ground.product.socket({}, [{"type": "auth", "token": token}])]


def refused_everywhere(ground: type[Ground], token: str, why: str) -> None:
    for path in (ME, CHATS, "/v1/models"):
        answer = shown(ground, path, bearer(token))
        assert answer.status == 401, f"{why} opened {path}: {answer.told[-200:]!r}"
        assert ground.victim.canary.encode() not in answer.told, why
    assert "ready" not in on_a_socket(ground, token), f"{why} opened the socket"


@pytest.fixture
def pairs(ground: type[Ground]) -> Pairs:
    return both_pairs(ground)


def both_pairs(ground: type[Ground]) -> Pairs:
    """Claims of a token of the victim and of one of the attacker, and the attacker's pair. The real ones open."""
    own, theirs = tokens.issue(ground.attacker.principal), tokens.issue(ground.victim.principal)
    give_back_connections()
    for side, pair in ((ground.attacker, own), (ground.victim, theirs)):
        answer = shown(ground, ME, bearer(pair.access))
        assert answer.status == 200 and side.canary.encode() in answer.told
        assert on_a_socket(ground, pair.access)[0] == "ready"
    claims, own_claims = (jwt.decode(pair.access, options={"verify_signature": False}) for pair in (theirs, own))
    return claims, own_claims, own


def user_of(claims: dict[str, Any]) -> UUID:
    return UUID(claims["sub"])


def signed(claims: dict[str, Any], *, key: bytes | str | None = None, algorithm: str = "HS256", **header: str) -> str:
    keys = signing_keys()
    headers: dict[str, Any] = {"kid": keys.current, **header}
    return jwt.encode(claims, keys.signing if key is None else key, algorithm=algorithm, headers=headers)


def test_the_victims_claims_without_our_signature_open_nothing(ground: type[Ground], pairs: Any) -> None:
    theirs, _, own = pairs
    head, _, signature = own.access.split(".")
    payload = jwt.encode(theirs, "x" * 32).split(".")[1]
    public = signing_keys().current.encode().ljust(32, b"x")
    for why, token in {
        "no algorithm": jwt.encode(theirs, None, algorithm="none", headers={"kid": signing_keys().current}),
        "no algorithm, and a signature": f"{head}.{payload}.{signature}",
        "a key of the attacker's": signed(theirs, key="k" * 32),
        "a key of the attacker's under another kid": signed(theirs, key="k" * 32, kid="mine"),
        "the kid as the key": signed(theirs, key=public),
        "the page's secret": signed(theirs, key=settings.SECRET_KEY),
        "another algorithm": signed(theirs, key="k" * 64, algorithm="HS512"),
        "a key by its address": signed(theirs, key="k" * 32, jku="https://evil.example/keys", kid=""),
        "nothing after the dot": f"{head}.{payload}.",
    }.items():
        refused_everywhere(ground, token, why)
    # The same claims under our key: the signature is all that the others lacked.
    assert shown(ground, ME, bearer(signed(theirs))).status == 200


@pytest.mark.parametrize("claim", ["tenant", "sub", "family", "cred"])
def test_a_claim_of_the_other_tenant_opens_nothing_even_signed(ground: type[Ground], pairs: Any, claim: str) -> None:
    """As if signing were lost: the family, the membership and the password still have to be of one sign-in."""
    mixed_claims(ground, pairs, claim)


def mixed_claims(ground: type[Ground], pairs: Pairs, claim: str) -> None:
    """One claim of either in the other's token."""
    theirs, own, _ = pairs
    assert shown(ground, ME, bearer(signed(own))).status == 200
    refused_everywhere(ground, signed(own | {claim: theirs[claim]}), f"the victim's {claim}")
    refused_everywhere(ground, signed(theirs | {claim: own[claim]}), f"the victim's claims with one's own {claim}")


def test_tokens_of_another_kind_time_or_place_open_nothing(ground: type[Ground], pairs: Any) -> None:
    _, own, pair = pairs
    past = datetime.now(UTC) - timedelta(minutes=10)
    refused_everywhere(ground, pair.refresh, "a refresh token")
    for why, changed in {
        "expired": {"exp": past, "iat": past - timedelta(minutes=5)},
        "a kind that is none": {"token_type": "anything"},
        "for another audience": {"aud": "elsewhere"},
        "of another issuer": {"iss": "elsewhere"},
        "of no family": {"family": str(uuid4())},
        "of the fingerprint of no password": {"cred": ""},
    }.items():
        refused_everywhere(ground, signed(own | changed), why)
    answer = renewed(ground, pair.access)
    assert answer.status == 401, "an access token renewed"
    assert renewed(ground, pair.refresh).status == 200


def renewed(ground: type[Ground], token: str) -> Answer:
    call = Call("POST", "/api/v1/accounts/token/refresh/", {}, {}, json={"refresh": token}, address=new_address())
    (answer,) = ground.product.call(call)
    return answer


def test_a_session_names_no_tenant_that_its_person_is_not_of(ground: type[Ground]) -> None:
    """As if an attacker could write their own session: the membership is looked up all the same."""
    browser = session_of(ground.attacker.principal)
    for tenant, status in ((ground.victim, 401), (ground.attacker, 200)):
        session = SessionStore(browser.cookies[settings.SESSION_COOKIE_NAME].value)
        session["tenant_id"] = str(tenant.principal.tenant_id)
        session.save()
        give_back_connections()
        cookies = {settings.SESSION_COOKIE_NAME: str(session.session_key)}
        answer = shown(ground, CHATS, {}, cookies=cookies)
        assert answer.status == status and ground.victim.canary.encode() not in answer.told


def test_a_credential_wins_over_a_cookie_and_never_lends_it(ground: type[Ground]) -> None:
    """The victim's browser, made to send the attacker's key, and the other way round: the header's tenant alone."""
    _, cookies = ground.victim.credentials["session"]
    key = ground.attacker.credentials["key"][0]["Authorization"]
    for headers, status in (({"Authorization": key}, 200), ({"Authorization": "Bearer x"}, 401)):
        answer = shown(ground, CHATS, headers, cookies=cookies)
        assert answer.status == status and ground.victim.canary.encode() not in answer.told


def test_a_directorys_key_keeps_to_its_tenant_and_its_doors(ground: type[Ground]) -> None:
    keys = {
        side.name: side.credentials["directory"][0]["Authorization"].removeprefix("Bearer ")
        for side in (ground.victim, ground.attacker)
    }
    for side, other in ((ground.victim, ground.attacker), (ground.attacker, ground.victim)):
        answer = shown(ground, SCIM, bearer(keys[side.name]))
        assert answer.status == 200 and side.canary.encode() in answer.told
        assert other.canary.encode() not in answer.told
    for path in (ME, CHATS, "/v1/models"):
        assert shown(ground, path, bearer(keys["b"])).status == 403
    # Shown by another header, or beside the other tenant's: never the other tenant's rows.
    assert shown(ground, SCIM, {"X-Api-Key": keys["a"]}).status in (401, 403)
    both = shown(ground, SCIM, {"Authorization": f"Bearer {keys['b']}", "X-Api-Key": keys["a"]})
    assert both.status == 200 and ground.victim.canary.encode() not in both.told
    ordinary = ground.victim.credentials["key"][0]
    assert shown(ground, SCIM, ordinary).status == 403


def test_two_keys_at_once_speak_for_the_first_header_alone(ground: type[Ground]) -> None:
    narrow = tenants.create_api_key(ground.attacker.principal, "narrow", [Scope.CHAT]).secret
    give_back_connections()
    wide = ground.attacker.credentials["key"][0]["Authorization"].removeprefix("Bearer ")
    theirs = ground.victim.credentials["key"][0]["Authorization"].removeprefix("Bearer ")
    assert shown(ground, CHATS, {**bearer(narrow), "X-Api-Key": wide}).status == 403
    assert shown(ground, CHATS, {**bearer(wide), "X-Api-Key": narrow}).status == 200
    assert shown(ground, CHATS, {"X-Api-Key": narrow}).status == 403
    mixed = shown(ground, CHATS, {**bearer(wide), "X-Api-Key": theirs})
    assert mixed.status == 200 and ground.victim.canary.encode() not in mixed.told
    for name in ("Api-Key", "X-Auth-Token", "Proxy-Authorization", "X-Authorization", "Cookie"):
        assert shown(ground, CHATS, {name: theirs}).status == 401, name
    for name in ("access_token", "api_key", "token", "key"):
        assert shown(ground, CHATS, {}, query={name: theirs}).status == 401, name


@pytest.fixture
def oauth(ground: type[Ground], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Program, Client, Program, Client]]:
    """The victim's program and browser, and the attacker's."""
    monkeypatch.setattr(settings, "IDP_OIDC_PRIVATE_KEYS", [{"pem": pem} for pem in _OAUTH_KEYS])
    victim, attacker = session_of(ground.victim.principal), session_of(ground.attacker.principal)
    yield Program(), victim, Program(), attacker
    give_back_connections()


def test_tokens_of_a_program_speak_for_their_tenant_alone(ground: type[Ground], oauth: Any) -> None:
    theirs, victim, own, attacker = oauth
    for side, other, program, browser in (
        (ground.victim, ground.attacker, theirs, victim),
        (ground.attacker, ground.victim, own, attacker),
    ):
        given = program.sign_in(browser)
        give_back_connections()
        for path in (ME, CHATS):
            answer = shown(ground, path, bearer(given["access_token"]))
            assert answer.status == 200 and side.canary.encode() in answer.told
            assert other.canary.encode() not in answer.told
        named = bearer(given["access_token"]) | {"X-Switchboard-Tenant": str(other.principal.tenant_id)}
        assert shown(ground, CHATS, named).status == 409
        for kind in ("refresh_token", "id_token"):
            refused_everywhere(ground, given[kind], f"a program's {kind}")


def test_codes_and_tokens_of_another_program_are_worth_nothing(ground: type[Ground], oauth: Any) -> None:
    theirs, victim, own, attacker = oauth
    code = theirs.agree(victim)
    stolen = own.redeem(code)
    assert stolen.status_code in (400, 401) and b"access_token" not in stolen.content
    given = theirs.sign_in(victim)
    renewed = own.renew(given["refresh_token"])
    assert renewed.status_code in (400, 401) and b"access_token" not in renewed.content
    assert theirs.opens(given["access_token"]), "the other program's try has ended it"
    own.client.post("/identity/o/api/revoke", {"token": given["access_token"], "client_id": own.id})
    assert theirs.opens(given["access_token"]), "another program has ended it"
    again = theirs.renew(given["refresh_token"])
    assert again.status_code == 200 and theirs.opens(again.json()["access_token"])
    mine = own.sign_in(attacker)
    assert own.opens(mine["access_token"])


def test_a_consent_of_the_victims_cannot_be_sent_by_the_attacker(ground: type[Ground], oauth: Any) -> None:
    """The signed request of one person's page, posted from another's session."""
    theirs, victim, _, attacker = oauth
    page = victim.get(theirs.request())
    form = {"request": page.context["form"]["request"].value(), "scopes": ["chat", "manage"], "action": "grant"}
    answer = attacker.post("/identity/o/authorize", form)
    assert answer.status_code == 409 and "Location" not in answer
    assert victim.post("/identity/o/authorize", form).status_code == 302


def test_a_token_ends_with_the_membership_it_rests_on(ground: type[Ground], oauth: Any) -> None:
    """Somebody of both tenants who is put out of one: what was given there is over, and the other's goes on."""
    theirs, _, own, _ = oauth
    colleague = ground.colleague.principal
    Membership.objects.using("engine").create(
        tenant_id=ground.attacker.principal.tenant_id, user_id=colleague.user_id, role="member"
    )
    browser = session_of(colleague)
    here = theirs.sign_in(browser)["access_token"]
    session = browser.session
    session["tenant_id"] = str(ground.attacker.principal.tenant_id)
    session.save()
    there = own.sign_in(browser)["access_token"]
    left = Membership.objects.using("engine").filter(
        tenant_id=ground.attacker.principal.tenant_id, user_id=colleague.user_id
    )
    assert theirs.opens(here) and own.opens(there)
    left.delete()
    assert theirs.opens(here) and not own.opens(there)
