"""`python -m simulator [--host 127.0.0.1] [--port 9100] [--fd N]`.

With `--fd` it serves on an inherited listening socket. With `--port 0` it prints the port it got as a line
of JSON.
SIGTERM and SIGINT end it at once, open streams included.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import sys

import orjson
from aiohttp import web

from simulator.app import build_app

_BACKLOG = 4096
_KEEP_ALIVE_SECONDS = 75.0
_SHUTDOWN_SECONDS = 0.5


def _listening_socket(host: str, port: int, fd: int | None) -> socket.socket:
    if fd is not None:
        return socket.socket(fileno=fd)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(_BACKLOG)
    return sock


async def _serve(sock: socket.socket, *, announce: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    # A caller's hang-up cancels its handler at once: that is how the bill learns of it.
    runner = web.AppRunner(
        build_app(),
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    sock.setblocking(False)
    await web.SockSite(runner, sock, backlog=_BACKLOG).start()
    if announce:
        sys.stdout.buffer.write(orjson.dumps({"port": sock.getsockname()[1]}) + b"\n")
        sys.stdout.buffer.flush()
    await stop.wait()
    await runner.cleanup()


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop where it is installed: half the CPU per chunk."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="simulator", description="A provider that does what it is told, faults included."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9100, help="0 = any free port, printed as JSON")
    parser.add_argument("--fd", type=int, default=None, help="an inherited listening socket")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    sock = _listening_socket(arguments.host, arguments.port, arguments.fd)
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(_serve(sock, announce=arguments.fd is None and arguments.port == 0))


if __name__ == "__main__":
    main()
