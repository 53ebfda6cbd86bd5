"""Folders and servers for the tests of `onebox`: all real, all thrown away."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onebox.postgres import Postgres
from onebox.process import Process

PASSWORD = "admin-p4ss'word"


def _place() -> str:
    """Memory where there is plenty: making PostgreSQL's thousand files takes most of these tests' time."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2**30 else "/tmp"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's unprivileged account can reach; pytest's own ones are private."""
    path = Path(tempfile.mkdtemp(prefix="onebox-test-", dir=_place()))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """One PostgreSQL for the tests that only talk to one."""
    path = Path(tempfile.mkdtemp(prefix="onebox-test-", dir=_place()))
    path.chmod(0o711)
    postgres = Postgres(path / "postgres", PASSWORD, log_path=path / "postgres.log", durable=False)
    postgres.start()
    postgres.stop()
    _copy(postgres.data, path / "pristine")
    postgres.start()
    yield postgres
    postgres.stop()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def with_data(server: Postgres) -> Callable[[Path], Path]:
    """Puts a fresh data folder of PASSWORD where a server will look for it: ten times as fast as making one."""

    def put(folder: Path) -> Path:
        folder.mkdir(parents=True)
        folder.chmod(0o711)
        _copy(server.folder.parent / "pristine", folder / "data")
        return folder

    return put


def _copy(source: Path, target: Path) -> None:
    """A copy that keeps the owner, who may be another account than ours."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


@pytest.fixture
def python_process(folder: Path) -> Iterator[Callable[..., Process]]:
    """Makes processes that run a piece of Python; what still runs at the end is killed."""
    made: list[Process] = []

    def make(name: str, code: str, **options: Any) -> Process:
        process = Process(
            name, [sys.executable, "-c", code], dict(os.environ), folder / "logs" / f"{name}.log", **options
        )
        made.append(process)
        return process

    yield make
    for process in made:
        process.end_now()
