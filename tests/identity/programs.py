"""A plain OAuth client: a program that asks people to sign in, by code and PKCE."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.test import Client

from apps.tenants import oauth_clients
from apps.tenants.audit import Actor
from tests.identity.conftest import query_of
from tests.people import new_address

REDIRECT_URI = "com.example.app:/signed-in"
AUTHORIZE = "/identity/o/authorize"


def signing_key() -> str:
    """A key as the environment has it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    kinds = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return base64.b64encode(key.private_bytes(*kinds)).decode()


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass(slots=True)
class Program:
    """`asked` is what the next authorisation request says."""

    id: str = field(
        default_factory=lambda: (
            oauth_clients.create("Pocket", [REDIRECT_URI], oauth_clients.SCOPES, Actor.job("test")).id
        )
    )
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    client: Client = field(default_factory=lambda: Client(REMOTE_ADDR=new_address()))

    def request(self, **changed: str | None) -> str:
        """The address a browser is sent to; None leaves a parameter out."""
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": REDIRECT_URI,
            "scope": "openid email profile chat manage",
            "state": "s-123",
            "nonce": "n-456",
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
            **changed,
        }
        return f"{AUTHORIZE}?{urlencode({name: value for name, value in asked.items() if value is not None})}"

    def agree(self, browser: Client, **changed: str | None) -> str:
        """A person reads the page and agrees; the code that comes back."""
        page = browser.get(self.request(**changed))
        assert page.status_code == 200, page.content
        form = page.context["form"]
        scopes = form.fields["scopes"].initial
        answer = browser.post(AUTHORIZE, {"request": form["request"].value(), "scopes": scopes, "action": "grant"})
        assert answer.status_code == 302, answer.content
        assert answer["Location"].startswith(REDIRECT_URI) and query_of(answer["Location"])["state"] == "s-123"
        return query_of(answer["Location"])["code"]

    def token(self, **body: str) -> Any:
        return self.client.post("/identity/o/api/token", {"client_id": self.id, **body})

    def redeem(self, code: str, **changed: str) -> Any:
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": self.verifier,
        }
        return self.token(**{**body, **changed})

    def renew(self, refresh_token: str) -> Any:
        return self.token(grant_type="refresh_token", refresh_token=refresh_token)

    def sign_in(self, browser: Client, **changed: str | None) -> dict[str, Any]:
        answer = self.redeem(self.agree(browser, **changed))
        assert answer.status_code == 200, answer.content
        return dict(answer.json())

    def get(self, path: str, token: str) -> Any:
        return self.client.get(path, headers={"Authorization": f"Bearer {token}"})

    def opens(self, token: str) -> bool:
        answer = self.get("/api/v1/accounts/me/", token)
        assert answer.status_code in (200, 401), answer.content
        return bool(answer.status_code == 200)
