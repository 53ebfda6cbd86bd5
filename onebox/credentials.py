"""Keys and passwords that nobody has to choose: generated once, kept in DATA_DIR/secrets.json for its owner alone."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

PASSWORDS = (
    "postgres_password",
    "owner_password",
    "app_password",
    "engine_password",
    "redis_password",
    "redis_cache_password",
)


def _named_key() -> str:
    """A key id and 32 random bytes in base64. Without `+` and `/`, so that both alphabets of base64 read it."""
    while True:
        text = base64.b64encode(secrets.token_bytes(32)).decode()
        if "+" not in text and "/" not in text:
            return f"k1:{text}"


def _signing_key() -> str:
    """An RSA key of 3072 bits, DER in base64."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    kinds = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return base64.b64encode(key.private_bytes(*kinds)).decode()


_MAKERS: dict[str, Callable[[], str]] = {
    "secret_key": lambda: secrets.token_urlsafe(50),
    "vault_keys": _named_key,
    "jwt_keys": _named_key,
    "oauth_signing_keys": _signing_key,
    "api_key_pepper": lambda: secrets.token_hex(32),
    **{name: lambda: secrets.token_hex(24) for name in PASSWORDS},
}


def _signs_strongly(keys: str) -> bool:
    """Whether the first key has 3072 bits: in base64 a private one of 2048 has about 1630 characters, this one 2400."""
    return len(keys.partition(",")[0]) > 2_000


def load_or_create(path: Path) -> dict[str, str]:
    """All secrets by name. Missing ones are added; existing ones stay. Raises ValueError for a broken file.

    Before a signing key that is too short by now a longer one is put; the old one goes on verifying.
    """
    values: dict[str, str] = {}
    if path.exists():
        try:
            values = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(
                f"{path} is damaged. It holds the keys of this installation: restore it from a backup, "
                "or remove the whole folder to start afresh."
            ) from error
    missing = {name: make() for name, make in _MAKERS.items() if name not in values}
    signing = values.get("oauth_signing_keys")
    if signing and not _signs_strongly(signing):
        missing["oauth_signing_keys"] = f"{_signing_key()},{signing}"
    if missing:
        values |= missing
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(values, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    return values
