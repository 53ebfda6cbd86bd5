"""Ports and readiness on this machine."""

from __future__ import annotations

import contextlib
import errno
import http.client
import random
import socket
from pathlib import Path
from urllib.parse import urlsplit

# Below the range from which outgoing connections take theirs, so that a kept port is still free at the next start.
_PORTS = range(20_000, 32_000)


class CannotListen(Exception):
    """The address asked for cannot be had; the message says why and what to do."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        if error.errno == errno.EADDRINUSE:
            text = (
                f"Port {port} on {host} is already in use by another program. "
                f"Choose another one: PORT={port + 1} make run"
            )
        elif error.errno == errno.EACCES:
            text = f"Port {port} needs more rights than this account has. Choose one above 1023: PORT=8000 make run"
        else:
            reason = error.strerror or error
            text = f"Cannot listen on {host}, port {port}: {reason}. HOST must be an address of this machine."
        super().__init__(text)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind((host, port))
            return True
    return False


def kept_port(path: Path) -> int:
    """The port written in a file while it is free, else a new one, which is written there."""
    with contextlib.suppress(OSError, ValueError):
        port = int(path.read_text())
        if is_free(port):
            return port
    path.parent.mkdir(parents=True, exist_ok=True)
    port = next(port for port in random.sample(_PORTS, len(_PORTS)) if is_free(port))
    path.write_text(str(port))
    return port


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens already, to hand to a web server; any free port when None. Raises CannotListen.

    Connections made before the server is up, or while it restarts, wait in its queue instead of being refused.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by accepted connections: a server that got only a descriptor may not know that this is TCP.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port or 0))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise CannotListen(host, port or 0, error) from error
    listener.setblocking(False)
    return listener


def http_ready(url: str, *, any_status: bool = False) -> bool:
    """Whether a GET answers 200 (or at all) within a second."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=1)
    try:
        connection.request("GET", parts.path or "/")
        return bool(connection.getresponse().status == 200 or any_status)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def log_says(path: Path, text: str) -> bool:
    """Whether a log file contains a text."""
    try:
        return text.encode() in path.read_bytes()
    except OSError:
        return False
