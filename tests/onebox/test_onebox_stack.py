"""The whole product starts from nothing, starts faster the second time, restarts what crashes, and stops."""

import io
import json
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from onebox import commands
from onebox.bootstrap import APP, ENGINE, OWNER, BootstrapFailed, with_database
from onebox.console import Console
from onebox.identity import is_running
from onebox.network import listen
from onebox.postgres import Postgres
from onebox.process import StartFailed
from onebox.redis import Redis
from onebox.reload import restart
from onebox.stack import Stack
from tests.onebox import product
from tests.onebox.conftest import PASSWORD
from tests.onebox.waiting import eventually


@pytest.fixture
def tree(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tree = product.write(folder / "tree")
    monkeypatch.setattr(commands, "ROOT", tree)
    return tree


@pytest.fixture
def stack(folder: Path, tree: Path, with_data: Callable[[Path], Path]) -> Iterator[Callable[..., Stack]]:
    made: list[Stack] = []
    with_data(folder / "data" / "postgres")
    (folder / "data" / "secrets.json").write_text(json.dumps({"postgres_password": PASSWORD}))

    def make(**options: Any) -> Stack:
        made.append(Stack(folder / "data", durable=False, **options))
        return made[-1]

    yield make
    for stack in made:
        stack.supervisor.hurry()
        stack.stop()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:
        return str(response.read().decode())


def managed(stack: Stack) -> list[str]:
    return (stack.data_dir / "managed").read_text().split()


def test_everything_runs_and_everything_stops(stack: Callable[..., Stack]) -> None:
    everything = stack(webs=2, workers=1, demo=True, env={"WORKER_THREADS": "2", "LOG_LEVEL": "ERROR"})
    everything.start()
    names = {"web-1", "web-2", "worker-1", "beat", "simulator", "postgres", "redis", "redis-cache"}
    assert set(everything.processes) == names
    assert len(set(everything.web_urls)) == 2
    assert everything.url == everything.web_urls[0]
    pids = {name: process.pid for name, process in everything.processes.items()}
    assert [get(url) for url in everything.web_urls] == [str(pids["web-1"]), str(pids["web-2"])]
    seen = dict(line.split("=", 1) for line in get(f"{everything.url}/environment").splitlines() if "=" in line)
    assert seen["LOG_LEVEL"] == "ERROR"
    assert "switchboard_app:" in seen["DATABASE_URL"]
    assert "switchboard_engine:" in seen["DATABASE_ENGINE_URL"]
    assert seen["REDIS_URL"] != seen["REDIS_CACHE_URL"]
    assert seen["VAULT_KEYS"].startswith("k1:")
    assert sorted(managed(everything)) == ["collectstatic", "migrate", "seed_demo"]
    assert (everything.data_dir / "demo.json").stat().st_mode & 0o077 == 0

    everything.stop()
    assert not any(map(is_running, pids.values()))


def test_what_is_prepared_already_is_not_repeated_and_a_changed_file_only_redoes_what_it_concerns(
    stack: Callable[..., Stack], tree: Path
) -> None:
    one = stack(workers=0, beat=False, simulator=False)
    one.start_services()

    def prepare() -> list[str]:
        one.prepare()
        done = managed(one) if (one.data_dir / "managed").exists() else []
        (one.data_dir / "managed").unlink(missing_ok=True)
        return sorted(done)

    assert prepare() == ["collectstatic", "migrate"]
    assert prepare() == []
    (tree / "apps/billing/migrations/0002_more.py").write_text("")
    assert prepare() == ["migrate"]
    (tree / "static/more.css").write_text("")
    assert prepare() == ["collectstatic"]
    with psycopg.connect(one.env["DATABASE_OWNER_URL"]) as connection:
        connection.execute("DROP TABLE django_migrations")  # as after restoring an older backup
    assert prepare() == ["migrate"]
    one.stop()

    again = stack(workers=0, beat=False, simulator=False)
    again.start_services()
    again.prepare()
    assert not (again.data_dir / "managed").exists()


def test_a_crashed_web_process_keeps_its_address_and_nobody_is_refused(stack: Callable[..., Stack]) -> None:
    one = stack(workers=0, beat=False, simulator=False, web_server="uvicorn")
    one.start()
    crashed = one.processes["web-1"].pid
    assert get(one.url) == str(crashed)
    one.processes["web-1"].kill(signal.SIGKILL)
    assert eventually(lambda: not one.processes["web-1"].alive or one.processes["web-1"].pid != crashed)
    # Waits in the queue of the socket we hold until the new process takes it.
    assert get(one.url) == str(one.processes["web-1"].pid) != str(crashed)


def test_given_addresses_replace_the_embedded_servers(
    stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_CACHE_URL", "redis://elsewhere.example/3")
    given = {
        "DATABASE_URL": "postgresql://app:a@db.example/x",
        "DATABASE_ENGINE_URL": "postgresql://engine:e@db.example/x",
        "DATABASE_OWNER_URL": "postgresql://owner:o@db.example/x",
        "REDIS_URL": "redis://redis.example/0",
        "SECRET_KEY": "mine",
    }
    one = stack(webs=0, workers=0, simulator=False, env=given)
    one.start_services()
    assert set(one.processes) == {"redis-cache"}
    assert {key: one.env[key] for key in given} == given
    # What merely lies in our own environment belongs to another installation.
    cache = one.processes["redis-cache"]
    assert isinstance(cache, Redis)
    assert one.env["REDIS_CACHE_URL"] == cache.url


def test_a_server_of_ones_own_is_prepared_with_an_administrators_address(
    stack: Callable[..., Stack], server: Postgres
) -> None:
    one = stack(webs=0, workers=0, simulator=False, env={"DATABASE_ADMIN_URL": server.admin_url})
    one.start_services()
    assert set(one.processes) == {"redis", "redis-cache"}
    for key, role in (("DATABASE_URL", APP), ("DATABASE_ENGINE_URL", ENGINE), ("DATABASE_OWNER_URL", OWNER)):
        with psycopg.connect(one.env[key]) as connection:
            row = connection.execute("SELECT current_user, current_database()").fetchone()
        assert row == (role, "switchboard")
    one.stop()

    again = stack(webs=0, workers=0, simulator=False, env={"DATABASE_URL": with_database(server.admin_url, "mine")})
    again.start_services()
    assert again.env["DATABASE_OWNER_URL"].endswith("/mine")
    again.stop()

    limited = stack(webs=0, workers=0, simulator=False, env={"DATABASE_URL": one.env["DATABASE_URL"]})
    with pytest.raises(BootstrapFailed, match="may not create roles"):
        limited.start()


def test_a_changed_source_file_restarts_web_and_worker_and_a_changed_migration_migrates(
    stack: Callable[..., Stack], tree: Path
) -> None:
    one = stack(workers=0, beat=False, env={"DEBUG": "1"})
    one.start()
    before = {name: process.pid for name, process in one.processes.items()}
    migration = tree / "apps/billing/migrations/0002_more.py"
    migration.write_text("")
    restart(one, Console(quiet=True), [migration])
    after = {name: process.pid for name, process in one.processes.items()}
    assert {name for name in before if before[name] != after[name]} == {"web-1"}
    assert managed(one) == ["migrate", "migrate"]

    shown = io.StringIO()
    (tree / "chatproject/asgi.py").write_text("def (")
    restart(one, Console(shown), [tree / "chatproject/asgi.py"])
    assert "web-1 ended with code 1." in shown.getvalue()
    assert one.processes["postgres"].alive


def test_a_failing_step_stops_what_had_started_and_shows_its_output(stack: Callable[..., Stack], tree: Path) -> None:
    (tree / "manage.py").write_text("import sys; sys.exit('it went wrong')")
    one = stack(workers=0, beat=False, simulator=False)
    with pytest.raises(StartFailed, match=r"(?s)manage\.py (migrate|collectstatic) failed.*it went wrong"):
        one.start()
    assert not any(process.alive for process in one.processes.values())


def test_an_unknown_web_server_is_named() -> None:
    with listen("127.0.0.1", None) as listener, pytest.raises(ValueError, match="daphne, uvicorn, not 'gunicorn'"):
        commands.web("gunicorn", listener)
