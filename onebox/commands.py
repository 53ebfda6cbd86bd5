"""The command lines of the product's processes. Web servers get a socket that listens already."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB_SERVERS = ("daphne", "uvicorn")
# Being root is our caller's choice, and only JSON is accepted: the warning about it would open every log.
_CELERY = (sys.executable, "-W", "ignore:You're running the worker", "-m", "celery", "--quiet", "-A", "chatproject")
_APPLICATION = "chatproject.asgi:application"


def web(server: str, listener: socket.socket) -> list[str]:
    """daphne or uvicorn on an inherited socket. Raises ValueError for another name."""
    descriptor = str(listener.fileno())
    if server == "daphne":
        # No -b: beside --fd it would listen on port 8000 as well.
        return [sys.executable, "-m", "daphne", "--fd", descriptor, "-v", "0", "--no-server-name", _APPLICATION]
    if server == "uvicorn":
        # Which proxies are believed is said by TRUSTED_PROXIES alone; uvicorn would believe everybody on this machine.
        quiet = ["--no-access-log", "--no-server-header", "--log-level", "warning", "--no-proxy-headers"]
        drain = ["--timeout-graceful-shutdown", "30"]
        return [sys.executable, "-m", "uvicorn", "--fd", descriptor, *quiet, *drain, _APPLICATION]
    raise ValueError(f"WEB_SERVER must be one of {', '.join(WEB_SERVERS)}, not {server!r}.")


def worker(name: str, threads: str, queue: str = "celery") -> list[str]:
    """One Celery worker; its threads only wake the process, so few are enough."""
    options = f"-P threads -c {threads} -Q {queue} -n {name}@%h --loglevel=WARNING"
    quiet = "--without-mingle --without-gossip --without-heartbeat"
    return [*_CELERY, "worker", *options.split(), *quiet.split()]


def beat(folder: Path) -> list[str]:
    """Celery's clock, with its schedule file in the data folder and no pid file to go stale."""
    schedule = ["--schedule", str(folder / "beat-schedule"), "--pidfile=", "--loglevel=WARNING"]
    return [*_CELERY, "beat", *schedule]


def simulator(listener: socket.socket) -> list[str]:
    """The provider simulator."""
    return [sys.executable, "-m", "simulator", "--fd", str(listener.fileno())]
