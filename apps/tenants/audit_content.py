"""What an audit entry says, in the one form that is hashed: the same before it is stored and after it is read back.

jsonb keeps neither the order of keys nor the spelling of numbers, and takes no NUL and no lone surrogate. So what it
would change never reaches it: numbers that are not whole become text, and so does everything JSON does not know.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from apps.observability.redaction import REDACTED, is_secret, without_secrets
from apps.tenants.models import AuditEntry

FORMAT = "switchboard-audit-1"
MAX_TEXT = 2_000  # characters of one text in `data`
MAX_ITEMS = 500  # of one list or object in `data`
MAX_DEPTH = 8
_WHOLE = range(-(2**63), 2**63)


def text(value: str, limit: int = MAX_TEXT) -> str:
    """As PostgreSQL keeps it: NUL and lone surrogates are written out as `\\u0000`; cut at `limit` characters."""
    written = value.replace("\x00", "\\u0000").encode("utf-8", "backslashreplace").decode()
    return written if len(written) <= limit else f"{written[: limit - 1]}…"


def address(value: str | None) -> str | None:
    """An IP address in its one spelling; an IPv4 address in IPv6's clothes is undressed. None for anything else."""
    try:
        found = ip_address((value or "").partition("%")[0])
    except ValueError:
        return None
    return str(getattr(found, "ipv4_mapped", None) or found)


def data(given: Mapping[str, Any]) -> dict[str, Any]:
    """What may be stored as an entry's `data`. Blots out what is named or looks like a secret.

    Raises TypeError for what has no plain form (bytes, rows) and ValueError for what is nested over 8 deep.
    """
    return _object(given, 0)


def _object(given: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in list(given.items())[:MAX_ITEMS]:
        name = text(_plain_text(key))
        hidden = is_secret(name) and isinstance(value, str) and value != ""
        kept[name] = REDACTED if hidden else _value(value, depth + 1)
    return kept


def _value(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("an audit entry's data is nested too deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and not isinstance(value, Enum):
        return int(value) if value in _WHOLE else str(value)
    if isinstance(value, Mapping):
        return _object(value, depth)
    if isinstance(value, set | frozenset):
        return sorted((_value(one, depth + 1) for one in list(value)[:MAX_ITEMS]), key=repr)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return [_value(one, depth + 1) for one in list(value)[:MAX_ITEMS]]
    return text(without_secrets(_plain_text(value)))


def _plain_text(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, datetime):
        return moment(value) if value.tzinfo else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return str(value)
    if isinstance(value, UUID | Decimal | float | int):
        return str(value)
    raise TypeError(f"an audit entry's data cannot hold {type(value).__name__}")


def moment(at: datetime) -> str:
    """A time to the microsecond, in UTC: `2026-11-21T06:00:00.000000+00:00`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def digest(entry: AuditEntry, *, seq: int | None = None) -> bytes:
    """SHA-256 over everything an entry says and over the hash before it; with `seq`, as if it stood there.

    The bytes are JSON in ASCII without spaces, keys sorted: anybody can make them again from an export.
    """
    told = [
        FORMAT,
        str(entry.tenant_id) if entry.tenant_id else None,
        entry.seq if seq is None else seq,
        moment(entry.at),
        str(entry.id),
        str(entry.actor_id) if entry.actor_id else None,
        entry.actor,
        entry.via,
        entry.action,
        entry.target_kind,
        entry.target_id,
        address(entry.address),
        entry.request_id,
        entry.data,
        bytes(entry.previous_hash).hex(),
    ]
    return sha256(json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).digest()
