"""`python -m onebox`: what it prints, how it refuses, how it stops."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from onebox.network import listen

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def onebox(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []

    def start(*words: str, **env: str) -> subprocess.Popen[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("DATABASE_", "REDIS_"))}
        process = subprocess.Popen(
            [sys.executable, "-m", "onebox", *words],
            cwd=ROOT,
            env=clean | {"DATA_DIR": str(folder / "data")} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_services_print_their_addresses_until_they_are_stopped(onebox: Callable[..., subprocess.Popen[str]]) -> None:
    services = onebox("services", "--no-durable")
    assert services.stdout is not None
    exports: dict[str, str] = {}
    for line in services.stdout:
        if line == "# ready\n":
            break
        key, _, value = line.removeprefix("export ").rstrip().partition("=")
        exports[key] = shlex.split(value)[0]
    for key in ("DATABASE_ADMIN_URL", "DATABASE_URL", "DATABASE_ENGINE_URL", "DATABASE_OWNER_URL"):
        with psycopg.connect(exports[key]) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert {"REDIS_URL", "REDIS_CACHE_URL", "SECRET_KEY", "VAULT_KEYS", "API_KEY_PEPPER"} <= set(exports)

    printed = onebox("env")
    text, _ = printed.communicate(timeout=10)
    assert f"export DATABASE_URL={shlex.quote(exports['DATABASE_URL'])}\n" in text

    second = onebox("services")
    _, complaint = second.communicate(timeout=10)
    assert second.returncode == 1
    assert f"process {services.pid}" in complaint

    services.send_signal(signal.SIGINT)
    _, said = services.communicate(timeout=15)
    assert services.returncode == 0
    assert "Stopped in" in said
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(exports["DATABASE_URL"], connect_timeout=1)


def test_a_taken_port_is_told_before_anything_starts(onebox: Callable[..., subprocess.Popen[str]]) -> None:
    with listen("127.0.0.1", None) as taken:
        port = taken.getsockname()[1]
        run = onebox("run", PORT=str(port))
        said, _ = run.communicate(timeout=10)
    assert run.returncode == 1
    assert f"Port {port} on 127.0.0.1 is already in use" in said
    assert "PostgreSQL" not in said


def test_a_port_that_is_no_number_is_refused(onebox: Callable[..., subprocess.Popen[str]]) -> None:
    run = onebox("run", PORT="many")
    _, complaint = run.communicate(timeout=10)
    assert run.returncode == 2
    assert "Wrong setting" in complaint
