"""Folders and servers for the tests of `onebox`: all real, all thrown away."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from onebox.postgres import Postgres
from onebox.process import Process


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's unprivileged account can reach; pytest's own ones are private."""
    path = Path(tempfile.mkdtemp(prefix="onebox-test-", dir="/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """One PostgreSQL for the tests that only talk to one."""
    path = Path(tempfile.mkdtemp(prefix="onebox-test-", dir="/tmp"))
    path.chmod(0o711)
    postgres = Postgres(path / "postgres", "admin-password", log_path=path / "postgres.log", durable=False)
    postgres.start()
    yield postgres
    postgres.stop()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def python_process(folder: Path) -> Iterator[Callable[..., Process]]:
    """Makes processes that run a piece of Python; what still runs at the end is killed."""
    made: list[Process] = []

    def make(name: str, code: str, **options: object) -> Process:
        process = Process(
            name, [sys.executable, "-c", code], dict(os.environ), folder / "logs" / f"{name}.log", **options
        )
        made.append(process)
        return process

    yield make
    for process in made:
        process.end_now()
