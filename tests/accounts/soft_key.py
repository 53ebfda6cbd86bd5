"""A passkey made of software: what a device would answer, and what a thief would try in its place."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.test import Client
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

HOST = "testserver"  # what Django's test client asks for; passkeys belong to it
ADD, LOGIN = "/account/second-factor/webauthn/add/", "/account/second-factor/webauthn/login/"
_STATE = "mfa.webauthn.state"
_FLAGS = AuthenticatorData.FLAG


@dataclass(slots=True)
class SoftKey:
    """`counter` is how many proofs it has made; a key that never counts says 0 all the time."""

    user_id: UUID
    counter: int = 0
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.user_id.bytes).digest()

    def register(self, browser: Client) -> Any:
        """Add it to the account of whoever is signed in in the browser."""
        assert browser.get(ADD).status_code == 200
        public = AttestedCredentialData.create(
            Aaguid(bytes(16)), self.id, ES256.from_cryptography_key(self.key.public_key())
        )
        data = AuthenticatorData.create(_host(HOST), _FLAGS.UP | _FLAGS.UV | _FLAGS.AT, self.counter, bytes(public))
        told = _client_data("create", _challenge(browser), settings.BASE_URL)
        response = {
            "attestationObject": websafe_encode(bytes(AttestationObject.create("none", data, {}))),
            "clientDataJSON": websafe_encode(bytes(told)),
        }
        results = {"credProps": {"rk": True}}
        credential = self._credential(response) | {"clientExtensionResults": results}
        return browser.post(ADD, {"name": "Soft", "passwordless": "on", "credential": json.dumps(credential)})

    def assertion(self, browser: Client, *, origin: str = "", host: str = HOST, verified: bool = True) -> str:
        """What it answers when the browser asks it to sign in, as the page posts it."""
        ask(browser)
        told = _client_data("get", _challenge(browser), origin or settings.BASE_URL)
        flags = _FLAGS.UP | _FLAGS.UV if verified else _FLAGS.UP
        data = AuthenticatorData.create(_host(host), flags, self.counter)
        signature = self.key.sign(bytes(data) + hashlib.sha256(bytes(told)).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "authenticatorData": websafe_encode(bytes(data)),
            "clientDataJSON": websafe_encode(bytes(told)),
            "signature": websafe_encode(signature),
            "userHandle": websafe_encode(self.user_id.hex.encode()),
        }
        return json.dumps(self._credential(response))

    def _credential(self, response: dict[str, str]) -> dict[str, Any]:
        name = websafe_encode(self.id)
        return {"id": name, "rawId": name, "type": "public-key", "response": response, "clientExtensionResults": {}}


def ask(browser: Client) -> None:
    """What the page's script asks for, and the server remembers."""
    assert browser.get(LOGIN, headers={"x-requested-with": "XMLHttpRequest"}).status_code == 200


def enters_with(browser: Client, assertion: str) -> bool:
    browser.post(LOGIN, {"credential": assertion})
    return bool(browser.get("/api/v1/accounts/me/").status_code == 200)


def _challenge(browser: Client) -> str:
    found: str = browser.session[_STATE]["challenge"]
    return found


def _client_data(what: str, challenge: str, origin: str) -> CollectedClientData:
    return CollectedClientData.create(f"webauthn.{what}", challenge, origin)


def _host(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
