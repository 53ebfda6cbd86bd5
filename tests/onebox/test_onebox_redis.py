"""The durable Redis keeps what it acknowledged, the cache bounds itself, and both want a password."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from onebox.redis import Redis


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Redis]]:
    made: list[Redis] = []

    def make(**options: Any) -> Redis:
        server = Redis(folder / "redis", "pw", log_path=folder / "redis.log", **options)
        made.append(server)
        server.start()
        return server

    yield make
    for server in made:
        server.stop()


def client(server: Redis) -> "redis.Redis":
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_the_durable_server_survives_kill_minus_nine(start: Callable[..., Redis]) -> None:
    server = start()
    port = server.port
    client(server).xadd("log", {"t": "token.delta"}, id="1-1")
    server.kill(signal.SIGKILL)
    server.wait(5)
    server.start()
    assert client(server).xrange("log") == [("1-1", {"t": "token.delta"})]
    assert server.port == port
    assert client(server).config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert client(server).config_get("appendfsync") == {"appendfsync": "everysec"}


def test_the_cache_is_bounded_and_forgets(start: Callable[..., Redis], folder: Path) -> None:
    server = start(cache=True)
    assert client(server).config_get("maxmemory") == {"maxmemory": str(128 * 1024 * 1024)}
    assert client(server).config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
    client(server).set("key", "value")
    server.stop()
    assert server.returncode == 0
    server.start()
    assert client(server).get("key") is None
    assert {path.name for path in (folder / "redis").iterdir()} == {"port", "redis.conf"}


def test_it_wants_a_password_that_no_process_list_shows(start: Callable[..., Redis]) -> None:
    server = start(durable=False)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)).ping()
    assert "pw" not in Path(f"/proc/{server.pid}/cmdline").read_text()
    assert (server.folder / "redis.conf").stat().st_mode & 0o077 == 0
    assert client(server).config_get("bind") == {"bind": "127.0.0.1"}


def test_no_other_account_reads_what_it_keeps(start: Callable[..., Redis], folder: Path) -> None:
    (folder / "redis").mkdir(mode=0o755)  # as an earlier version left it
    server = start()
    client(server).set("answer", "what a model said")
    assert (server.folder / "appendonly.aof").exists()
    assert server.folder.stat().st_mode & 0o777 == 0o700
