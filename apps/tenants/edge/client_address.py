"""Where a request comes from: the peer of its connection, and behind our own proxies what they say of it.

Anybody can send `X-Forwarded-For`. It is believed as far as proxies that `TRUSTED_PROXIES` names wrote it, no further.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from apps.tenants import audit
from apps.tenants.audit_content import address

Networks = Sequence[IPv4Network | IPv6Network]
Application = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]
_MAX_HOPS = 20


class ForwardedByProxies:
    """ASGI middleware: `scope["client"]` and `scope["scheme"]` as trusted proxies tell them.

    What a WebSocket does is audited with this address; HTTP requests are given theirs by `RequestContextMiddleware`.
    """

    def __init__(self, application: Application, trusted: Networks) -> None:
        self._application = application
        self._trusted = trusted

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._application(scope, receive, send)
            return
        peer = (scope.get("client") or ("",))[0]
        if self._trusted and is_trusted(peer, self._trusted):
            scope = {**scope, "client": (client_of(peer, _values(scope, b"x-forwarded-for"), self._trusted), 0)}
            forwarded = (_values(scope, b"x-forwarded-proto") or [""])[-1].lower()
            if forwarded in ("http", "https"):
                scope["scheme"] = forwarded.replace("http", "ws") if scope["type"] == "websocket" else forwarded
        if scope["type"] == "http":
            await self._application(scope, receive, send)
            return
        came_from = audit.address.set(address((scope.get("client") or ("",))[0]))
        try:
            await self._application(scope, receive, send)
        finally:
            audit.address.reset(came_from)


def client_of(peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """The nearest address that is no proxy of ours: from the peer back through the hops, as long as they are believed.

    Each proxy appends whom it heard from, so the last hop is the one the peer vouches for. A hop that is no address
    ends the way: what stands before it was written by somebody unknown.
    """
    client = peer
    for hop in reversed(forwarded[-_MAX_HOPS:]):
        if not is_trusted(client, trusted):
            break
        found = address(_without_port(hop))
        if found is None:
            break
        client = found
    return client


def is_trusted(peer: str, trusted: Networks) -> bool:
    """Whether an address belongs to a proxy of ours."""
    known = address(peer)
    return known is not None and any(ip_address(known) in network for network in trusted)


def _without_port(hop: str) -> str:
    """`192.0.2.1:4711` and `[2001:db8::1]:4711` are ways to write a hop, too."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _values(scope: MutableMapping[str, Any], name: bytes) -> list[str]:
    """A header's values in the order they were added; several lines mean the same as one with commas."""
    headers: Iterable[tuple[bytes, bytes]] = scope.get("headers", ())
    lines = [value.decode("latin-1") for header, value in headers if header.lower() == name]
    return [part.strip() for line in lines for part in line.split(",") if part.strip()]
