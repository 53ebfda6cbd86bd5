"""The keys under which access and refresh tokens are signed: the first signs, every one of the list verifies."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from django.conf import settings

from apps.vault.key_list import read_key_list

# Without keys of its own, an installation signs under one made from SECRET_KEY.
DERIVED_KEY_ID = "secret-key"
_PURPOSE = b"switchboard token signing key 1"


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """`current` is the id of the key that signs; `by_id` holds every key that verifies."""

    current: str
    by_id: Mapping[str, bytes] = field(repr=False)

    @property
    def signing(self) -> bytes:
        return self.by_id[self.current]


def read(key_list: str | None, secret_key: str) -> SigningKeys:
    """The keys of `JWT_KEYS`, or the one made from `SECRET_KEY` where that is not set. Raises `vault.BadKeys`."""
    if not key_list:
        return SigningKeys(DERIVED_KEY_ID, {DERIVED_KEY_ID: hmac.digest(secret_key.encode(), _PURPOSE, hashlib.sha256)})
    keys = read_key_list(key_list)
    return SigningKeys(next(iter(keys)), keys)


@cache
def signing_keys() -> SigningKeys:
    """Those of this process."""
    given = settings.ENV.jwt_keys
    return read(given.get_secret_value() if given is not None else None, settings.SECRET_KEY)
