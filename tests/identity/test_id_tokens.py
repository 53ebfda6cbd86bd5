"""Whose key an ID token is checked with, and for whom it must have been made, is never the token's to say."""

import json
import time
from typing import Any

import jwt
import pytest
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from apps.accounts.oidc_client import ALGORITHMS, verified_claims

ISSUER, CLIENT, NONCE = "https://company.example", "switchboard", "n-1234567890"
OWN, FOREIGN = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())


def published(key: Any, kid: str = "k1") -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


def token(key: Any = OWN, algorithm: str = "ES256", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": CLIENT, "sub": "1", "nonce": NONCE, "iat": now, "exp": now + 60, **changes}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": "k1", **(headers or {})})


def holds(id_token: str) -> bool:
    try:
        verified_claims(id_token, [published(OWN)], issuer=ISSUER, client_id=CLIENT, nonce=NONCE)
    except OAuth2Error:
        return False
    return True


def test_the_issuers_key_for_this_sign_in_holds() -> None:
    assert holds(token())


@pytest.mark.parametrize(
    "headers",
    [
        {"jwk": published(FOREIGN)},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/chain.pem", "x5c": ["AAAA"]},
        {"kid": "k2"},
    ],
    ids=lambda headers: "-".join(headers),
)
def test_a_token_brings_no_key_along(headers: dict[str, Any]) -> None:
    assert not holds(token(FOREIGN, headers=headers))


def test_only_listed_algorithms_count_and_no_public_key_becomes_a_secret() -> None:
    assert all(name.startswith(("RS", "PS", "ES", "EdDSA")) for name in ALGORITHMS)
    public = published(OWN)["x"]
    assert not holds(token(public * 2, algorithm="HS256"))
    assert not holds(token(rsa.generate_private_key(65537, 2048), algorithm="RS256"))
    assert not holds(jwt.encode({"iss": ISSUER, "aud": CLIENT, "sub": "1", "nonce": NONCE}, "", algorithm="none"))


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": [CLIENT, "another"]},
        {"azp": "another"},
        {"iss": f"{ISSUER}/"},
        {"nonce": "n-of-another"},
        {"nonce": None},
        {"exp": 1},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
    ],
    ids=str,
)
def test_what_was_made_for_others_or_another_time_is_refused(changed: dict[str, Any]) -> None:
    assert not holds(token(**changed))
