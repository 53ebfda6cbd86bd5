"""Commands for the admission scripts, and the meaning of their replies. No I/O happens here.

All keys of a tenant share the hash tag `{t:<tenant>}`, so that a cluster keeps them together. Time is Redis's own
(`TIME`): no clock of a calling process takes part.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from apps.limits.contracts import (
    MAX_LEASE_SECONDS,
    Admitted,
    Call,
    Cold,
    Collected,
    Counter,
    Decision,
    Left,
    Level,
    LimitKind,
    Memory,
    OpenCall,
    Overview,
    Projection,
    Refused,
    Scope,
    ScopeLimits,
    Settled,
    Settlement,
    Stale,
    Tended,
    Wanted,
    amount,
    tokens,
    word,
)
from apps.limits.errors import AlreadySettled, OutOfRange

_KEYS = "counters open calls settled rebuild late dirty settlements lapsed refused"
_KEY_ENDINGS = tuple(f":{name}" for name in _KEYS.split())
_EPOCH_DAY = datetime(1970, 1, 1).toordinal()
_COUNTERS = struct.Struct("<14d")
_FOLDER = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True)
class Script:
    """Lua text and the digest Redis knows it by."""

    text: str
    sha: str

    @classmethod
    def read(cls, *names: str) -> "Script":
        parts = [(_FOLDER / f"{part}.lua").read_text(encoding="utf-8") for part in ("prelude", *names)]
        text = "\n".join(parts)
        # SHA-1 is the name Redis gives to scripts, not a protection.
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


ADMIT = Script.read("admit")
SETTLE = Script.read("settle")
RELEASE = Script.read("counting", "release")
RENEW = Script.read("renew")
REGISTER = Script.read("counting", "register")
REFUSALS = Script.read("refusals")
PEEK = Script.read("peek")
BUMP_EPOCH = Script.read("bump_epoch")
COLLECT = Script.read("counting", "collect")
DRAINED = Script.read("drained")
MARK_IDLE = Script.read("mark_idle")
REMEMBERS = Script.read("remembers")
BEGIN_REBUILD = Script.read("counting", "begin_rebuild")
INSTALL = Script.read("counting", "install")
ABANDON_REBUILD = Script.read("abandon_rebuild")


@dataclass(frozen=True, slots=True)
class Command:
    """One script call, ready for EVALSHA."""

    script: Script
    keys: tuple[str, ...]
    args: tuple[str | bytes | int, ...]


@lru_cache(4096)
def _keys(prefix: str, tenant_id: str) -> tuple[str, ...]:
    stem = f"{prefix}{{t:{word(tenant_id)}}}:limits"
    return tuple(stem + ending for ending in _KEY_ENDINGS)


def epoch_key(prefix: str, tenant_id: str | UUID) -> str:
    """The hash whose field `epoch` says of which epoch the tenant is, for scripts that look at nothing else of it."""
    return _keys(prefix, str(tenant_id))[0]


_Args = list[str | bytes | int]


def _command(script: Script, prefix: str, tenant_id: str | UUID, args: Iterable[str | bytes | int]) -> Command:
    return Command(script, _keys(prefix, str(tenant_id)), tuple(args))


def _listed(values: Iterable[str]) -> _Args:
    items = list(values)
    return [len(items), *items]


def _joined(scopes: Iterable[Scope]) -> str:
    return " ".join(map(str, scopes))


def _lease_ms(seconds: float) -> int:
    if not 0 < seconds <= MAX_LEASE_SECONDS:
        raise OutOfRange(f"a lease lasts more than 0 and at most {MAX_LEASE_SECONDS:.0f} seconds")
    return max(1, round(seconds * 1000))


def _limits(limits: Sequence[ScopeLimits]) -> tuple[str, bytes]:
    """The scopes, and what each of them allows, as the scripts read it."""
    names = [each.name for each in limits]
    if len(set(names)) != len(names):
        raise OutOfRange("each scope may be given once")
    return " ".join(names), b"".join([each.packed for each in limits])


def _periods(at: datetime) -> tuple[int, int]:
    """Day (from 1970-01-01) and month (from January of the year 0), in UTC."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.toordinal() - _EPOCH_DAY, at.year * 12 + at.month - 1


def admit(
    prefix: str,
    tenant_id: str | UUID,
    limits: Sequence[ScopeLimits],
    calls: Sequence[Call],
    *,
    lease_seconds: float,
    epoch: int | None,
    enough_nanousd: int | None = None,
) -> Command:
    if len({call.call_id for call in calls}) != len(calls) or not calls:
        raise OutOfRange("a set of calls needs at least one call, each named once")
    amount(sum(call.amount_nanousd for call in calls))
    tokens(sum(call.tokens for call in calls))
    args: _Args = ["" if epoch is None else epoch, _lease_ms(lease_seconds), *_limits(limits), len(calls)]
    for call in calls:
        args += (call.call_id, call.amount_nanousd, call.tokens, call.note)
    args.append("" if enough_nanousd is None else amount(enough_nanousd))
    return _command(ADMIT, prefix, tenant_id, args)


def parse_decision(reply: Any, limits: Sequence[ScopeLimits]) -> Decision:
    if reply[0] == b"ADMITTED":
        return Admitted(_left(limits, reply[3:]), repeated=reply[1] == b"1", dirty=bool(reply[2]))
    kind, *rest = _texts(reply)
    match kind:
        case "REFUSED":
            wait_ms = int(rest[2])
            return Refused(
                kind=LimitKind(rest[0]),
                scope=Scope.parse(rest[1]),
                retry_after_seconds=None if wait_ms < 0 else wait_ms / 1000,
                remaining=int(rest[3]),
                limit=int(rest[4]),
            )
        case "COLD":
            return _cold(rest)
        case "STALE":
            return Stale(int(rest[0]))
        case "SETTLED":
            raise AlreadySettled(f"call {rest[0]} was settled before")
    raise _unknown(kind)


def settle(
    prefix: str,
    tenant_id: str | UUID,
    scopes: Sequence[Scope],
    call_id: str | UUID,
    amount_nanousd: int,
    at: datetime | None,
    used_tokens: int = 0,
    records: Sequence[str] = (),
) -> Command:
    day, month = ("", "") if at is None else _periods(at)
    args: _Args = [word(call_id), amount(amount_nanousd), tokens(used_tokens), day, month, _joined(scopes)]
    return _command(SETTLE, prefix, tenant_id, [*args, len(records), *records])


def parse_settled(reply: Any) -> Settled:
    _, repeated, dirty, stream_id = reply
    return Settled(repeated=repeated == b"1", dirty=dirty == b"1", stream_id=stream_id.decode())


def release(prefix: str, tenant_id: str | UUID, call_ids: Iterable[str | UUID], *, abandoned: bool = False) -> Command:
    return _command(RELEASE, prefix, tenant_id, [int(abandoned), *_listed(map(word, call_ids))])


def renew(
    prefix: str,
    tenant_id: str | UUID,
    call_ids: Iterable[str | UUID],
    lease_seconds: float,
    settled_ids: Iterable[str | UUID] = (),
) -> Command:
    args = [_lease_ms(lease_seconds), *_listed(map(word, call_ids)), *_listed(map(word, settled_ids))]
    return _command(RENEW, prefix, tenant_id, args)


def parse_tended(reply: Any) -> Tended:
    drained_id, lost, *calls = _texts(reply)
    return Tended(tuple(calls[: int(lost)]), tuple(calls[int(lost) :]), drained_id)


def collect(prefix: str, tenant_id: str | UUID, grace_seconds: float, after: str, count: int) -> Command:
    return _command(COLLECT, prefix, tenant_id, [round(grace_seconds * 1000), after, count])


def parse_collected(reply: Any) -> Collected:
    waiting, entries = reply
    return Collected(tuple(_settlement(*entry) for entry in entries), int(waiting))


def _settlement(id: bytes, parts: Sequence[bytes]) -> Settlement:
    texts = _texts(parts)
    told = dict(zip(texts[::2], texts[1::2], strict=True))
    if "r" in told:
        return Settlement(id.decode(), told["r"])
    return Settlement(id.decode(), told["a"], True, told["c"], int(told["m"]), int(told["k"]))


def drained(prefix: str, tenant_id: str | UUID, up_to_id: str) -> Command:
    return _command(DRAINED, prefix, tenant_id, [up_to_id])


def register(prefix: str, tenant_id: str | UUID, calls: Iterable[OpenCall], lease_seconds: float) -> Command:
    known = list(calls)
    fresh = [call.call_id for call in known if call.fresh]
    args = [_lease_ms(lease_seconds), *_listed(fresh), *_open_calls(known)]
    return _command(REGISTER, prefix, tenant_id, args)


def _open_calls(calls: Iterable[OpenCall]) -> _Args:
    items = list(calls)
    args: _Args = [len(items)]
    for call in items:
        args += (call.call_id, call.amount_nanousd, call.tokens, call.note, _joined(call.scopes))
    return args


def parse_call_ids(reply: Any) -> tuple[str, ...]:
    return tuple(_texts(reply))


def peek(prefix: str, tenant_id: str | UUID, limits: Sequence[ScopeLimits]) -> Command:
    return _command(PEEK, prefix, tenant_id, _limits(limits))


def parse_overview(reply: Any, limits: Sequence[ScopeLimits]) -> Overview | Cold:
    if reply[0] == b"COLD":
        return _cold(_texts(reply[1:]))
    return Overview(_left(limits, reply[3:]), epoch=int(reply[1]), dirty=bool(reply[2]))


def refusals(prefix: str, tenant_id: str | UUID) -> Command:
    return _command(REFUSALS, prefix, tenant_id, [])


def parse_refusals(reply: Any, minutes: int) -> dict[tuple[LimitKind, Level], int]:
    """Of the last `minutes`: up to sixty to the minute, more to the hour; the one that is running counts."""
    now, told = int(reply[0]), _texts(reply[1])
    unit, first = ("m", now - minutes) if minutes <= 60 else ("h", now // 60 - minutes // 60)
    found: dict[tuple[LimitKind, Level], int] = {}
    for field, count in zip(told[::2], told[1::2], strict=True):
        counted_in, place, kind, level = field.split(" ")
        if counted_in == unit and int(place) > first:
            key = LimitKind(kind), Level(level)
            found[key] = found.get(key, 0) + int(count)
    return found


def bump_epoch(prefix: str, tenant_id: str | UUID) -> Command:
    return _command(BUMP_EPOCH, prefix, tenant_id, [])


def parse_epoch(reply: Any) -> int:
    return int(reply)


@dataclass(frozen=True, slots=True)
class Begun:
    """The lock is ours: `wanted` is to be read; `dirty` goes back into `install` as it came."""

    wanted: Wanted
    dirty: tuple[tuple[str, str], ...]


def begin_rebuild(
    prefix: str, tenant_id: str | UUID, token: str, missing: Sequence[Counter], lock_seconds: float
) -> Command:
    return _command(BEGIN_REBUILD, prefix, tenant_id, [token, _lease_ms(lock_seconds), *_listed(map(str, missing))])


def parse_begun(reply: Any) -> Begun | bool:
    """What is to be read; True where nothing is missing (any more), False while somebody else holds the lock."""
    kind, *rest = _texts(reply)
    if kind != "WANTED":
        return kind == "CURRENT"
    scopes = int(rest[1])
    pairs = rest[2 : 2 + 2 * scopes]
    counters = tuple(Counter.parse(text) for text in rest[2 + 2 * scopes :])
    dirty = tuple(zip(pairs[::2], pairs[1::2], strict=True))
    return Begun(Wanted(counters, whole=rest[0] == "1"), dirty)


def install(
    prefix: str, tenant_id: str | UUID, token: str, begun: Begun, projection: Projection, lease_seconds: float
) -> Command:
    """Raises `OutOfRange` where the projection lacks a counter that was wanted."""
    absent = [str(counter) for counter in begun.wanted.counters if counter not in projection.spent]
    if absent:
        raise OutOfRange(f"the projection lacks {', '.join(absent)}")
    args: _Args = [token, _lease_ms(lease_seconds), len(begun.dirty)]
    for scope, version in begun.dirty:
        args += [scope, version]
    args.append(len(projection.settled_calls))
    for call in projection.settled_calls:
        args += (call.call_id, call.amount_nanousd, call.tokens, *_periods(call.at), _joined(call.scopes))
    args.append(len(projection.spent))
    for counter, spent in projection.spent.items():
        args += (str(counter.scope), *_period(counter), amount(spent), amount(projection.spent_tokens.get(counter, 0)))
    args.append("1" if begun.wanted.whole else "0")
    if begun.wanted.whole:
        requests, recent_tokens = projection.recent_requests, projection.recent_tokens
        recent = sorted({*requests, *recent_tokens})
        args += [*_open_calls(projection.open_calls), len(recent)]
        for scope_of in recent:
            args += (str(scope_of), requests.get(scope_of, 0), recent_tokens.get(scope_of, 0))
    return _command(INSTALL, prefix, tenant_id, args)


def parse_installed(reply: Any) -> bool:
    """False: the lock was lost (it ran out, or Redis forgot it), nothing was written."""
    return _texts(reply) == ["INSTALLED"]


def busy_key(prefix: str) -> str:
    """Where the tenants are named whose streams somebody must read (sorted set)."""
    return f"{prefix}limits:busy"


def mark_idle(prefix: str, tenant_id: str, seen: str) -> Command:
    return Command(MARK_IDLE, (busy_key(prefix),), (word(tenant_id), seen))


def remembers(prefix: str) -> Command:
    return Command(REMEMBERS, (f"{prefix}limits:since",), ())


def parse_memory(reply: Any) -> Memory:
    since, age_ms = _texts(reply)
    return Memory(since, int(age_ms) / 1000)


def abandon_rebuild(prefix: str, tenant_id: str | UUID, token: str) -> Command:
    return _command(ABANDON_REBUILD, prefix, tenant_id, [token])


def _period(counter: Counter) -> tuple[int | str, int | str]:
    day, month = _periods(counter.starts_at)
    return (day, "") if len(counter.period) == 10 else ("", month)


def _texts(reply: Any) -> list[str]:
    return [part.decode() if isinstance(part, bytes) else str(part) for part in reply]


def _cold(parts: Sequence[str]) -> Cold:
    return Cold(tuple(sorted(Counter.parse(text) for text in parts[1:])), whole=parts[0] == "1")


def _left(limits: Sequence[ScopeLimits], packed: Sequence[bytes]) -> tuple[Left, ...]:
    return tuple([Left(each, *_COUNTERS.unpack(told)) for each, told in zip(limits, packed, strict=True)])


def _unknown(kind: str) -> RuntimeError:
    return RuntimeError(f"the admission script answered {kind!r}")
