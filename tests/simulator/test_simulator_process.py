"""The process: inherited socket, announced port, clean end with streams open."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time

import aiohttp
import pytest

from tests.simulator.client import Client
from tests.simulator.conftest import ROOT


@pytest.fixture
def listening() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.set_inheritable(True)
    return sock


async def test_serves_on_an_inherited_socket_and_ends_on_sigterm_with_streams_open(listening: socket.socket) -> None:
    command = [sys.executable, "-m", "simulator", "--fd", str(listening.fileno())]
    process = subprocess.Popen(  # noqa: ASYNC220
        command, cwd=ROOT, pass_fds=[listening.fileno()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with aiohttp.ClientSession() as session:
            client = Client(session, url)
            stream = asyncio.create_task(client.stream("bench+tps=10+tokens=500"))
            while (await client.health())["active_streams"] == 0:
                await asyncio.sleep(0.02)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            out, err = await asyncio.to_thread(process.communicate, timeout=5)
            took = time.monotonic() - began
            reading = await stream
    assert (process.returncode, out, err) == (0, b"", b"")
    assert took < 2
    assert not reading.is_done


def test_the_simulator_imports_nothing_of_the_product() -> None:
    code = (
        "import sys, simulator.__main__; "
        "print([m for m in sys.modules if m.split('.')[0] in ('apps', 'django', 'chatproject')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.strip() == "[]"
