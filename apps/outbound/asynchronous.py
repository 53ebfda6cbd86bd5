"""aiohttp behind the policy."""

import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

from apps.outbound.errors import Refused
from apps.outbound.policy import Policy, Target


class RefusedAddress(Refused, aiohttp.InvalidURL):
    """The address of a request (the first or one it was sent on to) is refused before anything is looked up."""

    def __init__(self, url: str, reason: str) -> None:
        aiohttp.InvalidURL.__init__(self, url, reason)
        self.strerror = reason

    def __str__(self) -> str:
        return str(self.strerror)


class _Resolver(AbstractResolver):
    """Gives only addresses that may be called."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._inner = aiohttp.ThreadedResolver()
        # What names that the operator listed resolved to: the socket knows the address alone.
        self.listed: set[tuple[str, int]] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        target = Target(host.lower().removesuffix("."), port)
        self._policy.check_resolved(target, [one["host"] for one in found])
        if self._policy.lists_name(target):
            self.listed.update((one["host"], one["port"]) for one in found)
        return found

    async def close(self) -> None:
        await self._inner.close()


def client_session(policy: Policy, *, keepalive_seconds: float = 15.0, **options: Any) -> aiohttp.ClientSession:
    """A session that calls what the policy allows. `options` are aiohttp's own, without `connector` and `trust_env`.

    A request that is refused raises `aiohttp.ClientError`; `refusal` tells it from an address that does not answer.
    """
    resolver = _Resolver(policy)

    def checked_socket(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, where = info
        host, port = str(where[0]), int(where[1])
        if (host, port) not in resolver.listed:
            policy.check_address(host, port)
        return socket.socket(family, kind, protocol)

    async def check(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        try:
            policy.check_url(str(request.url))
        except Refused as refused:
            raise RefusedAddress(str(request.url), str(refused)) from refused
        return await handler(request)

    connector = aiohttp.TCPConnector(
        limit=0, keepalive_timeout=keepalive_seconds, resolver=resolver, socket_factory=checked_socket
    )
    return aiohttp.ClientSession(connector=connector, trust_env=False, middlewares=(check,), **options)
