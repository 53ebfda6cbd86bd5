"""The embedded PostgreSQL starts, keeps what was committed, and is never blocked by what a crash left behind."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from onebox.identity import exists, is_running
from onebox.postgres import Postgres
from onebox.process import StartFailed
from tests.onebox.conftest import PASSWORD


@pytest.fixture
def postgres(folder: Path, with_data: Callable[[Path], Path]) -> Iterator[Callable[..., Postgres]]:
    made: list[Postgres] = []
    place = with_data(folder / "postgres")

    def make(**options: Any) -> Postgres:
        server = Postgres(place, PASSWORD, log_path=folder / "postgres.log", **options)
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()


def query(server: Postgres, text: str) -> object:
    with psycopg.connect(server.admin_url, autocommit=True, connect_timeout=3) as connection:
        cursor = connection.execute(text.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def test_committed_rows_survive_kill_minus_nine_and_a_clean_stop(postgres: Callable[..., Postgres]) -> None:
    server = postgres()
    server.start()
    first_port = server.port
    query(server, "CREATE TABLE kept AS SELECT 42 AS value")

    server.kill(signal.SIGKILL)
    assert server.wait(5) == -signal.SIGKILL
    server.start()
    assert query(server, "SELECT value FROM kept") == 42

    server.stop()
    assert not server.alive
    assert server.returncode == 0
    server.start()
    assert query(server, "SELECT value FROM kept") == 42
    assert server.port == first_port


def test_durable_means_fsync_and_not_durable_means_none(postgres: Callable[..., Postgres], server: Postgres) -> None:
    durable = postgres()
    durable.start()
    assert query(durable, "SHOW fsync") == "on"
    assert query(durable, "SHOW synchronous_commit") == "on"
    assert query(durable, "SHOW max_connections") == "200"
    assert query(server, "SHOW fsync") == "off"


def test_it_listens_on_this_machine_alone_and_wants_a_password(server: Postgres) -> None:
    assert query(server, "SHOW listen_addresses") == "127.0.0.1"
    assert query(server, "SHOW unix_socket_directories") == ""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/postgres")
    assert server.password not in Path(f"/proc/{server.pid}/cmdline").read_text()


def test_it_never_runs_as_root(server: Postgres) -> None:
    owner = Path(f"/proc/{server.pid}").stat().st_uid
    assert owner != 0
    assert owner == server.data.stat().st_uid


def test_a_lock_whose_process_id_belongs_to_somebody_else_is_removed(postgres: Callable[..., Postgres]) -> None:
    server = postgres(durable=False)
    server.start()
    lock = (server.data / "postmaster.pid").read_text()
    server.stop()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (server.data / "postmaster.pid").write_text(lock.replace(lock.split("\n")[0], str(stranger.pid), 1))
        server.start()
        assert query(server, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_lock_of_a_zombie_is_removed(postgres: Callable[..., Postgres]) -> None:
    server = postgres(durable=False)
    server.start()
    lock = (server.data / "postmaster.pid").read_text()
    server.stop()
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert exists(zombie.pid)
    assert not is_running(zombie.pid)
    (server.data / "postmaster.pid").write_text(lock.replace(lock.split("\n")[0], str(zombie.pid), 1))
    server.start()
    assert query(server, "SELECT 1") == 1
    zombie.wait()


def test_a_server_left_on_the_folder_is_ended_first(postgres: Callable[..., Postgres]) -> None:
    left, new = postgres(durable=False), postgres(durable=False)
    left.start()
    new.start()
    assert not left.alive
    assert query(new, "SELECT 1") == 1


def test_a_taken_port_is_replaced(postgres: Callable[..., Postgres]) -> None:
    server = postgres(durable=False)
    server.start()
    taken = server.port
    server.stop()
    with socket.create_server(("127.0.0.1", taken)):
        server.start()
        assert server.port != taken
        assert query(server, "SELECT 1") == 1


def test_a_folder_nobody_else_may_enter_is_no_obstacle(postgres: Callable[..., Postgres]) -> None:
    """As root, PostgreSQL's account cannot walk into a private folder; otherwise it is our own folder anyway."""
    with tempfile.TemporaryDirectory(dir="/tmp") as private:
        assert Path(private).stat().st_mode & 0o777 == 0o700
        server = Postgres(
            Path(private) / "below" / "postgres", "pw", log_path=Path(private) / "postgres.log", durable=False
        )
        server.start()
        try:
            assert query(server, "SELECT 1") == 1
            home = server.data.parent
        finally:
            server.stop()
        assert home == server.folder or not home.exists()


def test_a_start_that_fails_says_why(postgres: Callable[..., Postgres]) -> None:
    server = postgres(durable=False, settings={"shared_buffers": "nonsense"})
    with pytest.raises(StartFailed, match="shared_buffers"):
        server.start()
    assert not server.alive
