"""One real simulator process for all its tests, and a fresh client for each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import orjson
import pytest

from tests.simulator.client import Client

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def simulator_url() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    port = orjson.loads(process.stdout.readline())["port"]
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    _, said = process.communicate(timeout=5)
    assert process.returncode == 0
    assert said == b"", "the simulator must not complain"


@pytest.fixture
async def simulator(simulator_url: str) -> AsyncIterator[Client]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Client(session, simulator_url)
        await session.delete(f"{simulator_url}/control/faults")
        await session.delete(f"{simulator_url}/control/options")
        await session.delete(f"{simulator_url}/control/release")
