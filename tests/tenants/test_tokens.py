"""Access and refresh tokens."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.test import Client

from apps.accounts.models import User
from apps.tenants import services
from apps.tenants.contracts import Principal
from apps.tenants.edge import tokens
from apps.tenants.models import Membership, Tenant
from apps.tenants.signing_keys import signing_keys
from tests.people import PASSWORD, new_address

TOKEN, REFRESH, ME = "/api/v1/accounts/token/", "/api/v1/accounts/token/refresh/", "/api/v1/accounts/me/"


@pytest.fixture
def program() -> Client:
    return Client(REMOTE_ADDR=new_address())


def post(client: Client, path: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    response = client.post(path, fields, content_type="application/json")
    return response.status_code, response.json()


def signed_in(client: Client, principal: Principal, **fields: Any) -> dict[str, Any]:
    status, body = post(client, TOKEN, email=principal.user_email, password=PASSWORD, **fields)
    assert status == 200
    return body


def me(client: Client, token: str) -> tuple[int, dict[str, Any]]:
    response = client.get(ME, headers={"Authorization": f"Bearer {token}"})
    return response.status_code, response.json()


def test_a_pair_opens_the_api_for_five_minutes(program: Client, alice: Principal) -> None:
    pair = signed_in(program, alice)
    assert set(pair) == {"access", "refresh", "expires_in"}
    keys = signing_keys()
    assert jwt.get_unverified_header(pair["access"]) == {"alg": "HS256", "typ": "JWT", "kid": keys.current}
    claims = jwt.decode(pair["access"], keys.signing, algorithms=["HS256"], audience=tokens.AUDIENCE)
    assert (claims["sub"], claims["tenant"]) == (str(alice.user_id), str(alice.tenant_id))
    assert (claims["iss"], claims["aud"]) == ("switchboard", "switchboard-api")
    assert claims["exp"] - claims["iat"] == pair["expires_in"] == 300
    status, body = me(program, pair["access"])
    assert (status, body["via"], body["user_id"]) == (200, "jwt", str(alice.user_id))


def test_a_tenant_can_be_named_by_slug_or_id(program: Client, alice: Principal, mallory: Principal) -> None:
    second = services.open_tenant("Second", alice.user_id)
    for name in (second.slug, str(second.id)):
        assert me(program, signed_in(program, alice, tenant=name)["access"])[1]["tenant_id"] == str(second.id)
    body = {"email": alice.user_email, "password": PASSWORD, "tenant": str(mallory.tenant_id)}
    assert post(program, TOKEN, **body)[0] == 401


def test_a_token_tells_of_its_own_tenant_alone(program: Client, alice: Principal) -> None:
    services.open_tenant("Second", alice.user_id)
    tenants = me(program, signed_in(program, alice)["access"])[1]["tenants"]
    assert [tenant["id"] for tenant in tenants] == [str(alice.tenant_id)]


def test_refreshing_gives_another_access_token(program: Client, alice: Principal) -> None:
    pair = signed_in(program, alice)
    status, renewed = post(program, REFRESH, refresh=pair["refresh"])
    assert status == 200
    assert renewed["access"] != pair["access"] and renewed["refresh"] != pair["refresh"]
    assert me(program, renewed["access"])[0] == 200
    assert me(program, pair["access"])[0] == 200  # the family lives on, and so do its access tokens until they end


def leave(alice: Principal) -> None:
    Membership.objects.using("engine").filter(user_id=alice.user_id).delete()


def suspend(alice: Principal) -> None:
    Tenant.objects.using("engine").filter(id=alice.tenant_id).update(status="suspended")


def deactivate(alice: Principal) -> None:
    User.objects.filter(id=alice.user_id).update(is_active=False)


@pytest.mark.parametrize("end", [leave, suspend, deactivate])
def test_whatever_ends_access_ends_both_tokens(program: Client, alice: Principal, end: Any) -> None:
    pair = signed_in(program, alice)
    end(alice)
    status, body = post(program, REFRESH, refresh=pair["refresh"])
    assert (status, body["code"]) == (401, "invalid_credentials")
    assert me(program, pair["access"])[0] == 401


def test_a_new_password_ends_every_token_whoever_wrote_it(program: Client, alice: Principal) -> None:
    pair = signed_in(program, alice)
    User.objects.filter(id=alice.user_id).update(password=make_password("quite another secret"))  # no signal tells
    status, body = me(program, pair["access"])
    assert (status, body["code"]) == (401, "invalid_credentials")
    assert post(program, REFRESH, refresh=pair["refresh"])[1]["detail"] == "The password has changed. Sign in again."


def forged(
    headers: dict[str, Any] | None = None, key: bytes | None = None, algorithm: str = "HS256", **changes: Any
) -> str:
    keys = signing_keys()
    now = datetime.now(UTC)
    claims = {
        "token_type": "access",
        "exp": now + timedelta(minutes=1),
        "iat": now,
        "jti": uuid4().hex,
        "sub": str(uuid4()),
        "tenant": str(uuid4()),
        "family": str(uuid4()),
        "cred": "0" * 16,
        "iss": tokens.ISSUER,
        "aud": tokens.AUDIENCE,
    }
    kept = {name: value for name, value in (claims | changes).items() if value is not None}
    named = {"kid": keys.current} if headers is None else headers
    return jwt.encode(kept, keys.signing if key is None else key or None, algorithm=algorithm, headers=named)


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "",
        "ä",
        "x" * 5000,
        forged(),
        forged(exp=datetime.now(UTC) - timedelta(seconds=1)),
        forged(sub="not-an-id"),
        forged(sub=None),
        forged(tenant=None),
        forged(tenant=["list"]),
        forged(token_type="refresh"),
        forged(iss="somebody else"),
        forged(aud="another-api"),
        forged(iss=None),
        forged(aud=None),
        forged(jti=None),
        forged(exp=None),
        forged(family=None),
        forged(family="'; DROP TABLE tenants_refreshtoken; --"),
        forged(sub="\0"),
        forged(headers={}),
        forged(headers={"kid": "unknown"}),
        forged(headers={"kid": "../../etc/passwd"}),
        forged(headers={"kid": "' OR 1=1 --"}),
        forged(headers={"kid": "\0"}),
        forged(key=settings.SECRET_KEY.encode()),
        forged(key=b"another key that is long enough to sign with"),
        # A key, or the place of one, that the token itself names.
        forged(headers={"kid": signing_keys().current, "jwk": {"kty": "oct", "k": "YQ"}}, key=b"attackers" * 4),
        forged(headers={"kid": signing_keys().current, "jku": "https://evil.example/keys"}, key=b"attackers" * 4),
        forged(nbf=datetime.now(UTC) + timedelta(hours=1)),
        # Another algorithm, or none, under the right key's name.
        forged(algorithm="HS512", key=signing_keys().signing * 2),
        forged(algorithm="none", key=b""),
        jwt.encode({"sub": "x"}, "another key, long enough to sign with", algorithm="HS256"),
        jwt.encode({"sub": "x"}, "", algorithm="none"),
    ],
)
def test_a_bad_token_is_a_401_that_says_so(program: Client, token: str) -> None:
    response = program.get(ME, headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="switchboard"'
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "invalid_credentials"


def test_a_refresh_token_opens_nothing_and_an_access_token_refreshes_nothing(program: Client, alice: Principal) -> None:
    pair = signed_in(program, alice)
    assert me(program, pair["refresh"])[0] == 401
    assert post(program, REFRESH, refresh=pair["access"])[0] == 401


def test_a_password_alone_is_no_way_around_a_second_factor(program: Client, alice: Principal) -> None:
    user = User.objects.get(id=alice.user_id)
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": "x"})
    status, body = post(program, TOKEN, email=alice.user_email, password=PASSWORD)
    assert status == 401 and body["code"] in ("second_factor_required", "invalid_credentials")
    assert "access" not in body


@pytest.mark.usefixtures("one_window")
def test_guessing_through_the_api_is_slowed_like_the_page(alice: Principal) -> None:
    body = {"email": alice.user_email, "password": "wrong"}
    statuses = [post(Client(REMOTE_ADDR=new_address()), TOKEN, **body)[0] for _ in range(6)]
    assert statuses == [401] * 5 + [429]


def test_missing_fields_are_named(program: Client) -> None:
    status, body = post(program, TOKEN, email="x")
    assert (status, set(body["errors"])) == (400, {"email", "password"})
    status, body = post(program, TOKEN, email="a\0b@example.org", password="x")
    assert status == 400
