"""Keyed calls in the durable Redis: each step is one run of `repeats.lua`."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import redis
from django.conf import settings

from apps.routing import durable
from apps.routing.repeats.errors import StoreAway
from apps.routing.repeats.place import Place, index_of

# As for admissions: a process that is silent for so long is taken for dead.
LEASE_SECONDS = 20.0
_SCANNED = 500

_SCRIPT = durable.Script.read(Path(__file__).with_name("repeats.lua"))


class State(StrEnum):
    NEW = "NEW"
    OTHER = "OTHER"
    RUNNING = "RUNNING"
    KEPT = "KEPT"
    UNKEPT = "UNKEPT"
    FULL = "FULL"
    GONE = "GONE"
    LOST = "LOST"
    LARGE = "LARGE"
    OK = "OK"


@dataclass(frozen=True, slots=True)
class Found:
    """What stands under a key. `epoch`: the tenant's, of keys and rights. `owner`: of a running call."""

    state: State
    epoch: int = 0
    head: bytes = b""
    pieces: Sequence[bytes] = ()
    owner: str = ""
    wait_seconds: float = 0.0


async def claim(place: Place, owner: str, fingerprint: bytes) -> Found:
    """Take the key, or learn what stands under it. Raises `StoreAway`."""
    reply = await _run("claim", place, owner, fingerprint, settings.IDEMPOTENCY_TENANT_MAX_KEYS)
    state, epoch, rest = State(reply[0].decode()), int(reply[1]), reply[2:]
    if state is State.KEPT:
        return Found(state, epoch, rest[0] or b"", [zlib.decompress(piece) for piece in rest[1]])
    if state is State.RUNNING:
        return Found(state, epoch, owner=rest[0].decode())
    if state is State.FULL:
        return Found(state, epoch, wait_seconds=max(1.0, int(rest[0]) / 1000))
    return Found(state, epoch)


async def say(
    place: Place, owner: str, first: int, pieces: Sequence[bytes], *, head: bytes, large: bool, ends: bool
) -> State:
    """Add what was said, of which `first` pieces are there already, and lengthen the lease. Repeating adds nothing.

    `ends`: that was all, keep it. Raises `StoreAway`.
    """
    most = settings.IDEMPOTENCY_TENANT_MAX_BYTES
    reply = await _run("say", place, owner, first, most, int(large), int(ends), head, *pieces)
    return State(reply[0].decode())


async def follow(place: Place, owner: str, known: int) -> Found:
    """What that owner has said beyond the `known` pieces. Raises `StoreAway`."""
    reply = await _run("follow", place, owner, known)
    state = State(reply[0].decode())
    if len(reply) == 1:
        return Found(state)
    return Found(state, head=reply[1], pieces=[zlib.decompress(piece) for piece in reply[2]])


async def free(place: Place, owner: str) -> None:
    """Give the key back as if it had never been used. Raises `StoreAway`."""
    await _run("free", place, owner)


def packed(piece: bytes) -> bytes:
    """A piece as it is stored: events repeat most of their text."""
    return zlib.compress(piece, 1)


def erase(tenant_id: UUID | None, *, user_id: UUID | None = None) -> int:
    """Remove what is kept of a tenant or of all, only of that person's. Returns how many. Raises `RedisError`."""
    server, erased = _blocking(), 0
    prefix = settings.REDIS_PREFIX
    for index in [index_of(prefix, tenant_id)] if tenant_id else _indexes(server):
        owner = tenant_id or UUID(index.rpartition("{t:")[2].partition("}")[0])
        names: list[bytes] = server.zrange(index, 0, -1)  # type: ignore[assignment]
        for member in map(bytes.decode, names):
            if user_id is None or member.startswith(f"{user_id}:"):
                keys = Place(owner, member).names(prefix)
                server.eval(_SCRIPT.text, len(keys), *keys, "erase", member, "", *_times())
                erased += 1
    return erased


def _indexes(server: "redis.Redis") -> list[str]:
    return [name.decode() for name in server.scan_iter(index_of(settings.REDIS_PREFIX, "*"), count=_SCANNED)]


def _times() -> tuple[int, int]:
    return round(LEASE_SECONDS * 1000), settings.IDEMPOTENCY_KEEP_SECONDS * 1000


async def _run(what: str, place: Place, owner: str, *rest: Any) -> list[Any]:
    keys = place.names(settings.REDIS_PREFIX)
    try:
        reply: list[Any] = await _SCRIPT.run(keys, what, place.member, owner, *_times(), *rest)
    except durable.Away as error:
        raise StoreAway(
            "It cannot be known right now whether this idempotency key was used. Try again in a moment.",
            retry_after_seconds=1,
        ) from error
    return reply


@cache
def _blocking() -> "redis.Redis":
    server: redis.Redis = redis.Redis.from_url(settings.REDIS_URL, protocol=2, socket_timeout=10)
    return server
