"""Which addresses may be called, and what an operator allows beside the public internet."""

import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

from apps.outbound.addresses import Address, is_public, parsed
from apps.outbound.errors import BadAllowList, Refused

# A stranger's address is a web service, and not a mail server or a database.
_PORTS = frozenset({80, 443, 8080, 8443})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\Z")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
_URL_MAX_LENGTH = 4_096
_PORT_MAX = 65_535

Network = IPv4Network | IPv6Network
SocketAddress = tuple[socket.AddressFamily, str, int]


@dataclass(frozen=True, slots=True)
class Target:
    """A host as it will be looked up (lower case, no brackets, no dot at its end) and the port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Policy:
    """The public internet over https, and what is on the list: (network or host name, port; None is every port)."""

    networks: tuple[tuple[Network, int | None], ...] = ()
    names: frozenset[tuple[str, int | None]] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """From a comma-separated list of addresses, networks and hosts, each with a `:port` or without.

        Raises `BadAllowList`.
        """
        networks: list[tuple[Network, int | None]] = []
        names: set[tuple[str, int | None]] = set()
        for entry in filter(None, (part.strip().lower() for part in text.split(","))):
            place, port = _with_port(entry)
            try:
                networks.append((ip_network(place), port))
            except ValueError as error:
                if "/" in place or _looks_like_a_number(place) or not _NAME.match(place):
                    raise BadAllowList(f"“{entry}” is neither an address, a network nor a host") from error
                names.add((place.rstrip("."), port))
        return cls(tuple(networks), frozenset(names))

    def check_url(self, url: str) -> Target:
        """Where a request to the address would go, as far as the address itself says. Raises `Refused`."""
        scheme, target = _split(url)
        listed = self.lists_name(target)
        try:
            address = parsed(target.host)
        except ValueError:
            pass
        else:
            self.check_address(target.host, target.port)
            return self._over(scheme, target, listed=listed or self._lists_address(address, target.port))
        # What a name resolves to may be on the list: its port is judged then, with the address.
        listed = listed or any(port in (None, target.port) for _, port in self.networks)
        return self._over(scheme, target, listed=listed)

    def check_address(self, host: str, port: int) -> None:
        """Whether a socket may connect to this numeric address. Raises `Refused`."""
        try:
            address = parsed(host)
        except ValueError as error:
            raise Refused(f"{host} is not an address") from error
        if self._lists_address(address, port):
            return
        if not is_public(address):
            raise Refused(f"{host} is not a public address")
        if port not in _PORTS:
            raise Refused(f"port {port} is not one of a web service")

    def check_resolved(self, target: Target, hosts: Iterable[str]) -> None:
        """Whether a name may resolve to these. One bad address refuses them all: a name that mixes them is a trap."""
        if not self.lists_name(target):
            for host in hosts:
                self.check_address(host, target.port)

    def lists_name(self, target: Target) -> bool:
        """Whether the operator listed the host by its name, whatever it resolves to."""
        return bool(self.names) and not self.names.isdisjoint({(target.host, None), (target.host, target.port)})

    def resolve(self, target: Target) -> Sequence[SocketAddress]:
        """The addresses to connect to, all of them checked. Blocks. Raises `Refused`, or OSError for no such name."""
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        addresses = [(family, str(where[0]), target.port) for family, _, _, _, where in found]
        self.check_resolved(target, [host for _, host, _ in addresses])
        return addresses

    def _lists_address(self, address: Address, port: int) -> bool:
        return any(address in network and allowed in (None, port) for network, allowed in self.networks)

    def _over(self, scheme: str, target: Target, *, listed: bool) -> Target:
        if scheme != "https" and not listed:
            raise Refused(f"{target.host} is not on the list, so it is called over https alone")
        if target.port not in _PORTS and not listed:
            raise Refused(f"port {target.port} is not one of a web service")
        return target


@lru_cache(maxsize=1024)
def _split(url: str) -> tuple[str, Target]:
    """Scheme, host and port of an address that every client reads alike. Raises `Refused`."""
    if len(url) > _URL_MAX_LENGTH or "\\" in url or any(character <= " " or character == "\x7f" for character in url):
        raise Refused("the address holds characters that clients read differently")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused("the address cannot be read") from error
    if parts.scheme not in _DEFAULT_PORTS:
        raise Refused("the address is not one of the web")
    if "@" in parts.netloc:
        raise Refused("the address holds a name and password")
    return parts.scheme, Target(_host(parts.hostname or ""), _DEFAULT_PORTS[parts.scheme] if port is None else port)


def _host(text: str) -> str:
    """The host in one spelling. An address must be written in full, so that nothing reads it otherwise."""
    host = text.lower().removesuffix(".")
    if ":" in host:
        try:
            return str(parsed(host)) if "%" not in host else _refuse(host)
        except ValueError:
            _refuse(host)
    if _looks_like_a_number(host):
        try:
            return str(parsed(host))
        except ValueError:
            _refuse(host)
    if not _NAME.match(host):
        try:
            # Only what encodes to a plain name; letters that fold into digits or dots are looked at after folding.
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError:
            _refuse(host)
        if _looks_like_a_number(host) or not _NAME.match(host):
            _refuse(host)
    return host


def _refuse(host: str) -> str:
    raise Refused(f"“{host}” is no host")


def _looks_like_a_number(host: str) -> bool:
    """Whether some client would take it for an IPv4 address: its last part is a number, decimal, octal or hex."""
    return bool(_NUMBER.match(host.rstrip(".").rpartition(".")[2]))


def _with_port(entry: str) -> tuple[str, int | None]:
    """An entry of the list without its port, and the port."""
    if entry.startswith("["):
        place, _, rest = entry[1:].partition("]")
        port_text = rest.removeprefix(":")
    elif entry.count(":") == 1:
        place, _, port_text = entry.partition(":")
    else:
        place, port_text = entry, ""
    if not port_text:
        return place, None
    if not port_text.isdecimal() or not 0 < int(port_text) <= _PORT_MAX:
        raise BadAllowList(f"“{entry}” has no port between 1 and {_PORT_MAX}")
    return place, int(port_text)
