"""Where the answer to a keyed call is kept, and how two requests under one key are told apart."""

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from apps.limits.protocol import epoch_key
from apps.problems import Invalid

MAX_KEY = 255
_PRINTABLE = range(0x20, 0x7F)


@dataclass(frozen=True, slots=True)
class Place:
    """`member` names the key among its tenant's: whose it is, and a digest of everything it is scoped to."""

    tenant_id: UUID
    member: str

    def names(self, prefix: str) -> tuple[str, ...]:
        """The Redis keys that `repeats.lua` works on."""
        entry = f"{entries(prefix, self.tenant_id)}{self.member}"
        index = index_of(prefix, self.tenant_id)
        return entry, f"{entry}:said", index, f"{index}:sizes", epoch_key(prefix, self.tenant_id)


def index_of(prefix: str, tenant_id: UUID | str) -> str:
    """Which keys a tenant has in use (sorted set: member -> ms until it is kept). `*` finds every tenant's."""
    return f"{prefix}{{t:{tenant_id}}}:repeats"


def entries(prefix: str, tenant_id: UUID | str) -> str:
    return f"{prefix}{{t:{tenant_id}}}:repeat:"


def place_of(tenant_id: UUID, user_id: UUID, api_key_id: UUID | None, route: str, key: str) -> Place:
    """Two callers, routes or keys that differ never meet: the parts are a JSON array, which has one reading only.

    What an API key was told is for that API key: another one of the same person may be allowed less.
    """
    scope = [str(tenant_id), str(user_id), None if api_key_id is None else str(api_key_id), route, key]
    return Place(tenant_id, f"{user_id}:{hashlib.sha256(orjson.dumps(scope)).hexdigest()}")


def checked(key: bytes) -> str:
    """The key in a header. Raises `Invalid` unless it is 1 to 255 printable ASCII characters.

    Nothing is normalised: keys that differ in one byte are two keys, and bytes that texts might fold are refused.
    """
    if not 0 < len(key) <= MAX_KEY or any(byte not in _PRINTABLE for byte in key):
        told = f"Use 1 to {MAX_KEY} printable ASCII characters."
        raise Invalid(f"Idempotency-Key: {told}", fields={"Idempotency-Key": [told]})
    return key.decode("ascii")


def fingerprint(body: Any) -> bytes:
    """SHA-256 of a parsed body: order of names and white space do not count, everything else does."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
