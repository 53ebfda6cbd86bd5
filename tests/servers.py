"""The real PostgreSQL and the two real Redis servers of one test run, and a database of its own for each process.

The first pytest process starts the servers and migrates one template database. With xdist its workers inherit the
addresses through the environment and copy the template; without it the first process does so itself. The servers end
with the process that started them, whatever ends it. `python -m tests.servers FILE` is such a process for several runs.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import psycopg
from psycopg import sql

from onebox.bootstrap import OWNER, ROLES, DatabaseUrls, bootstrap, with_database
from onebox.postgres import Postgres
from onebox.redis import Redis

ROOT = Path(__file__).resolve().parent.parent
_VARIABLE = "SWITCHBOARD_TEST_SERVERS"
_PASSWORD = "only-for-tests-0123456789"
REDIS_DATABASES = 16


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a run's servers listen, and its folder. The PostgreSQL addresses name the template database."""

    folder: str
    admin: str
    app: str
    engine: str
    owner: str
    template: str
    redis: str
    redis_cache: str


class Servers:
    """The servers, owned by the process that made this object."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="switchboard-tests-"))
        self._folder.chmod(0o711)  # PostgreSQL may run as another account
        logs = self._folder / "logs"
        self._postgres = Postgres(self._folder / "postgres", _PASSWORD, log_path=logs / "postgres.log", durable=False)
        self._redis = Redis(self._folder / "redis", _PASSWORD, log_path=logs / "redis.log", durable=False)
        self._cache = Redis(
            self._folder / "cache", _PASSWORD, log_path=logs / "cache.log", cache=True, name="redis-cache"
        )

    def start(self) -> Addresses:
        """Start all three and migrate the template."""
        with ThreadPoolExecutor(3) as starters:
            list(starters.map(lambda server: server.start(), (self._postgres, self._redis, self._cache)))
        template = f"tpl_{migrations_hash()}"
        urls = bootstrap(self._postgres.admin_url, template, dict.fromkeys(ROLES, _PASSWORD))
        addresses = Addresses(
            folder=str(self._folder),
            admin=self._postgres.admin_url,
            app=urls.app,
            engine=urls.engine,
            owner=urls.owner,
            template=template,
            redis=self._redis.url,
            redis_cache=self._cache.url,
        )
        _migrate(environment(addresses, urls, "template", 0))
        return addresses

    def stop(self) -> None:
        for server in (self._cache, self._redis, self._postgres):
            server.stop(10)
        shutil.rmtree(self._folder, ignore_errors=True)


def migrations_hash() -> str:
    """Changes whenever a migration, or what migrations are made of, does."""
    found = sorted([*ROOT.glob("apps/*/migrations/*.py"), ROOT / "apps/tenants/row_security.py"])
    return sha256(b"".join(path.read_bytes() for path in found)).hexdigest()[:12]


def share(addresses: Addresses) -> None:
    """Leave the addresses to the processes started from here."""
    os.environ[_VARIABLE] = json.dumps(asdict(addresses))


def shared() -> Addresses | None:
    """The addresses of the process that started this one, if it is a test run."""
    text = os.environ.get(_VARIABLE)
    return Addresses(**json.loads(text)) if text else None


def new_database(addresses: Addresses, worker: str) -> DatabaseUrls:
    """Copy the template for one process; nobody is connected to it by then."""
    name = f"test_{worker}"
    drop_database(addresses, worker)
    with psycopg.connect(addresses.admin, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(addresses.template)
            )
        )
    return DatabaseUrls(*(with_database(url, name) for url in (addresses.app, addresses.engine, addresses.owner)))


def drop_database(addresses: Addresses, worker: str) -> None:
    with psycopg.connect(addresses.admin, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(f"test_{worker}")))


def environment(addresses: Addresses, urls: DatabaseUrls, worker: str, number: int) -> dict[str, str]:
    """The whole environment of the product for one test process and what it starts: nothing of the machine's own."""
    return {
        "SECRET_KEY": "only-for-tests-0123456789-0123456789-0123456789-012345",
        "VAULT_KEYS": "test:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "API_KEY_PEPPER": "only-for-tests-pepper-0123456789",
        "DATABASE_URL": urls.app,
        "DATABASE_ENGINE_URL": urls.engine,
        "DATABASE_OWNER_URL": urls.owner,
        "DB_NAME": urls.app.rpartition("/")[2],
        "DB_POOL_SIZE": "12",
        "REDIS_URL": _redis_database(addresses.redis, number),
        "REDIS_CACHE_URL": _redis_database(addresses.redis_cache, number),
        "REDIS_PREFIX": f"{worker}:",
        # Tests give tenants providers of their own, on this machine.
        "OUTBOUND_ALLOW": "127.0.0.1/32,localhost",
        # Tests share models that always fail; those of breakers set their own rules.
        "BREAKER_FAILURES": "1000000",
        "DEBUG": "1",  # plain static files: nobody has collected them
        "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1],testserver",
        "DATA_DIR": str(Path(addresses.folder) / f"data-{worker}"),
        "LOG_LEVEL": "WARNING",
        "LOG_FORMAT": "console",
        "PYTHONPATH": str(ROOT),
    }


def _redis_database(url: str, number: int) -> str:
    return f"{url.rpartition('/')[0]}/{number % REDIS_DATABASES}"


def _migrate(variables: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--skip-checks", "--verbosity", "0"],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode:
        raise RuntimeError(f"The template database could not be migrated:\n{done.stdout}{done.stderr}")


def main() -> None:
    """Serve until told to end. The file named as the argument says how to use them, once they can be used."""
    told_to_end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_end.set())
    servers = Servers()
    try:
        share(servers.start())
        told = Path(sys.argv[1])
        draft = told.with_suffix(".draft")
        draft.write_text(os.environ[_VARIABLE])
        draft.rename(told)
        told_to_end.wait()
    finally:
        servers.stop()


if __name__ == "__main__":
    main()
