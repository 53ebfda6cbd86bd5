"""Credentials that are only ever compared: kept as keyed digests, shown once."""

import hashlib
import hmac
import re
import secrets
import string
from typing import Final

_ALPHABET: Final = string.ascii_letters + string.digits
# 43 characters of 62 hold 256 bits.
_SECRET_CHARACTERS: Final = 43
_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,19}", re.ASCII)


def keyed_digest(pepper: str | bytes, secret: str) -> bytes:
    """HMAC-SHA256, 32 bytes. The pepper lives outside the database, so stolen rows cannot be tried offline.

    Fit for secrets made by `new_secret`, not for passwords. Raises ValueError for an empty pepper.
    """
    if not pepper:
        del secret
        raise ValueError("the pepper is empty")
    key = pepper.encode() if isinstance(pepper, str) else pepper
    return hmac.digest(key, secret.encode("utf-8", "surrogatepass"), hashlib.sha256)


def same_digest(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one, other)


def new_secret(prefix: str) -> str:
    """`<prefix>_` and 43 random letters and digits (256 bits): one word for double clicks and for secret scanners."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("a prefix is up to 20 lower-case letters, digits or '_', letter first")
    return f"{prefix}_{''.join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARACTERS))}"
