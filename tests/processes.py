"""Processes that several test folders need."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.servers import ROOT


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running provider simulator; `url` without a slash at its end."""

    url: str
    pid: int


@pytest.fixture(scope="session")
def provider_simulator() -> Iterator[Simulator]:
    """`python -m simulator` on a port of its own, for the whole run of this process. `SIMULATOR_URL` names it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        url = f"http://127.0.0.1:{port}"
        os.environ["SIMULATOR_URL"] = url
        yield Simulator(url, process.pid)
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()
