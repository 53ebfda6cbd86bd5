"""PostgreSQL and Redis for one folder: embedded, or yours where the environment names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from onebox.bootstrap import (
    APP,
    DEFAULT_DATABASE,
    ENGINE,
    OWNER,
    BootstrapFailed,
    bootstrap,
    may_create_roles,
    with_database,
)
from onebox.console import Console
from onebox.parallel import together
from onebox.postgres import Postgres
from onebox.process import Process
from onebox.redis import Redis
from onebox.supervisor import Supervisor

REDIS_TIER, POSTGRES_TIER = 2, 3


class Services:
    """Starts what is missing under a supervisor, and knows the addresses of all.

    DATABASE_URL with DATABASE_ENGINE_URL and DATABASE_OWNER_URL: used as they are. DATABASE_ADMIN_URL, or a
    DATABASE_URL whose role may create roles: bootstrapped. Neither: embedded. REDIS_URL and REDIS_CACHE_URL replace
    one server each.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        env: Mapping[str, str],
        secrets: Mapping[str, str],
        *,
        durable: bool,
        restart: bool,
        wrap: Callable[[str, list[str]], list[str]] | None,
        console: Console,
    ) -> None:
        self._supervisor = supervisor
        self._env = env
        self._secrets = secrets
        self._durable = durable
        self._restart = restart
        self._wrap = wrap
        self._console = console

    def start(self) -> dict[str, str]:
        """Start and prepare everything. Returns DATABASE_*URL, REDIS_URL, REDIS_CACHE_URL.

        Raises StartFailed, BootstrapFailed, PostgresUnavailable, RedisUnavailable.
        """
        addresses: dict[str, str] = {}
        together(
            lambda: addresses.update(self._database()),
            lambda: addresses.update(self._redis("REDIS_URL", "redis", cache=False)),
            lambda: addresses.update(self._redis("REDIS_CACHE_URL", "redis-cache", cache=True)),
        )
        return addresses

    def _database(self) -> dict[str, str]:
        given = [self._env.get(f"DATABASE_{which}URL") for which in ("", "ENGINE_", "OWNER_")]
        if given[0] and given[1] and given[2]:
            return {}
        admin_url, database = self._external_admin()
        if admin_url is None:
            server = Postgres(
                self._supervisor.folder / "postgres",
                self._secrets["postgres_password"],
                log_path=self._supervisor.logs / "postgres.log",
                record_path=self._supervisor.records / "postgres.json",
                durable=self._durable,
            )
            with self._console.step("PostgreSQL") as details:
                self._start(server, POSTGRES_TIER)
                details.append(f"embedded, port {server.port}")
                if server.data.parent != server.folder:
                    details.append(f"data in {server.data}")
            admin_url = server.admin_url
        with self._console.step("Database and roles"):
            passwords = {
                OWNER: self._secrets["owner_password"],
                APP: self._secrets["app_password"],
                ENGINE: self._secrets["engine_password"],
            }
            urls = bootstrap(admin_url, database, passwords)
        return {
            "DATABASE_ADMIN_URL": admin_url,
            "DATABASE_URL": urls.app,
            "DATABASE_ENGINE_URL": urls.engine,
            "DATABASE_OWNER_URL": urls.owner,
        }

    def _external_admin(self) -> tuple[str | None, str]:
        """The administrator's address of a server of yours, if any, and the database's name."""
        admin_url, url = self._env.get("DATABASE_ADMIN_URL"), self._env.get("DATABASE_URL")
        named = urlsplit(url or admin_url or "").path.lstrip("/")
        database = named if named not in ("", "postgres") else DEFAULT_DATABASE
        if admin_url:
            return admin_url, database
        if not url:
            return None, DEFAULT_DATABASE
        admin_url = with_database(url, "postgres")  # the named database may not exist yet; this one always does
        if not may_create_roles(admin_url):
            raise BootstrapFailed(
                "The role in DATABASE_URL may not create roles, so DATABASE_ENGINE_URL and DATABASE_OWNER_URL are "
                "needed beside it; or give DATABASE_ADMIN_URL, and all three are made for you."
            )
        return admin_url, database

    def _redis(self, key: str, name: str, *, cache: bool) -> dict[str, str]:
        if self._env.get(key):
            return {}
        server = Redis(
            self._supervisor.folder / name,
            self._secrets["redis_cache_password" if cache else "redis_password"],
            log_path=self._supervisor.logs / f"{name}.log",
            record_path=self._supervisor.records / f"{name}.json",
            durable=self._durable,
            cache=cache,
            name=name,
        )
        with self._console.step("Redis, cache" if cache else "Redis") as details:
            self._start(server, REDIS_TIER)
            details.append(f"embedded, port {server.port}")
        return {key: server.url}

    def _start(self, server: Process, tier: int) -> None:
        server.wrap = self._wrap
        self._supervisor.add(server, tier=tier, restart=self._restart)
        server.start()
