"""Who owns each key in both Redis servers, told from its name alone; and whether its value is its owner's."""

import re
from dataclasses import dataclass
from uuid import UUID

import redis
from django.conf import settings

_UUID = r"(?P<id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
_ANY = _UUID.replace("?P<id>", "")
_P = re.escape(settings.REDIS_PREFIX)
_CACHE = rf"{_P}sb:\d+:"

# What a key may look like -> whose it is. Names in braces keep all keys of one owner on one node of a cluster.
TENANTS = {
    rf"{_P}\{{t:{_UUID}\}}:limits(:[a-z]+)?": "counters of a tenant's limits",
    rf"{_P}\{{t:{_UUID}\}}:cached:[0-9a-f]{{64}}": "an answer that may be served again in its tenant",
    rf"{_P}\{{t:{_UUID}\}}:repeat:{_ANY}:[0-9a-f]{{64}}(:said)?": "an answer that its caller's key tells again",
    rf"{_P}\{{t:{_UUID}\}}:pace": "when the tokens of a tenant with a cap are paid off",
    rf"{_P}\{{t:{_UUID}\}}:repeats(:sizes)?": "which keys of a tenant are kept, and how much they take",
    rf"{_CACHE}\{{t:{_UUID}\}}:answer:\w+:{_ANY}:[0-9a-f]{{64}}": "a tenant's drawn answer",
}
GENERATIONS = {rf"\{{g:{_UUID}\}}:log": "the stream of one answer; the id is nowhere but in its owner's answers"}
NOBODYS = {
    rf"{_P}(celery|_kombu\.binding\..+|unacked\w*|.*\.reply\.celery\.pidbox)": "the broker: names of tasks, no rows",
    rf"{_CACHE}rl:[0-9a-f]{{32,64}}": "tries per address or person, before anybody is known",
    rf"{_CACHE}allauth\.rl:.+": "tries per address or person, before anybody is known",
    rf"{_CACHE}views\.decorators\.cache\..+": "the published description of the doors, the same for everybody",
    rf"{_CACHE}oauth-code:[0-9a-f]{{64}}": "a used code, by its digest: nobody is known before it is redeemed",
    rf"{_CACHE}waffle:.+": "feature flags, the same for everybody",
}


@dataclass(frozen=True, slots=True)
class Key:
    """`owner` is a tenant's or generation's id; None for what belongs to nobody."""

    server: str
    name: str
    what: str
    owner: UUID | None
    of_generation: bool
    value: bytes


class Unowned(AssertionError):
    """A key whose name says nothing known."""


def names() -> set[tuple[str, str]]:
    """(server, key) of every key there is."""
    return {(server, key.decode()) for server, client in _servers().items() for key in client.scan_iter(count=500)}


def described(found: set[tuple[str, str]]) -> list[Key]:
    """What each key is. Raises `Unowned` for one that no pattern knows."""
    servers, keys = _servers(), []
    for server, name in sorted(found):
        dumped = _value(servers[server], name)
        if dumped is None:
            continue  # over by now
        keys.append(_key(server, name, dumped))
    return keys


def _key(server: str, name: str, value: bytes) -> Key:
    for patterns, of_generation in ((TENANTS, False), (GENERATIONS, True), (NOBODYS, False)):
        for pattern, what in patterns.items():
            if match := re.fullmatch(pattern, name):
                owner = match.groupdict().get("id")
                return Key(server, name, what, UUID(owner) if owner else None, of_generation, value)
    raise Unowned(f"{server}: nothing says whose {name} is")


def _servers() -> "dict[str, redis.Redis]":
    return {"durable": redis.from_url(settings.REDIS_URL), "cache": redis.from_url(settings.REDIS_CACHE_URL)}


def _value(client: redis.Redis, name: str) -> bytes | None:
    """Everything under a key, in one piece."""
    kind = client.type(name)
    if kind == b"string":
        return client.get(name)  # type: ignore[return-value]
    read = {
        b"hash": lambda: client.hgetall(name),
        b"zset": lambda: client.zrange(name, 0, -1),
        b"set": lambda: client.smembers(name),
        b"list": lambda: client.lrange(name, 0, -1),
        b"stream": lambda: client.xrange(name),
    }.get(kind)
    return repr(read()).encode() if read else None
