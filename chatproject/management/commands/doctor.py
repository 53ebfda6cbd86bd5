import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from django.conf import settings
from django.core.mail import get_connection
from django.core.management.base import BaseCommand
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.conversations.models import Worker
from apps.routing.models import Deployment, Provider
from apps.routing.queues import DEFAULT, KNOWN_ADDRESS, LITELLM
from apps.tenants.guard import refuse_unsafe_roles


@dataclass(frozen=True)
class Check:
    """One thing that can be wrong, how to look, and how to mend it."""

    name: str
    look: Callable[[], str]
    mend: str


class Command(BaseCommand):
    """Looks at every part of this installation. Exit status 1 if anything is wrong."""

    help = "Say what is wrong with this installation, and how to mend it."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        with _without_pools():
            wrong = sum(not self._fine(check) for check in CHECKS)
        if wrong:
            self.stdout.write(f"{wrong} of {len(CHECKS)} checks failed.")
            sys.exit(1)
        self.stdout.write("All is well.")

    def _fine(self, check: Check) -> bool:
        """Look, and tell what was seen."""
        try:
            seen = check.look()
        except Exception as error:
            self.stdout.write(self.style.ERROR(f"✗ {check.name}: {_short(error)}"))
            self.stdout.write(f"  mend: {check.mend}")
            return False
        self.stdout.write(self.style.SUCCESS("✓ ") + f"{check.name}: {seen}")
        return True


@contextmanager
def _without_pools() -> Iterator[None]:
    """A pool tries again for seconds, and then says only that it waited; one connection says at once what is wrong."""
    pooled = {alias: connections[alias] for alias in connections}
    for alias, connection in pooled.items():
        connections[alias] = connection.copy()
        connections[alias].settings_dict["OPTIONS"].pop("pool", None)
    try:
        yield
    finally:
        for alias, connection in pooled.items():
            connections[alias].close()
            connections[alias] = connection


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _database() -> str:
    with connections["default"].cursor() as cursor:
        cursor.execute("SHOW server_version")
        (version,) = cursor.fetchone() or ("?",)
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        vector = cursor.fetchone()
    if vector is None:
        raise RuntimeError("the vector extension is not installed in this database")
    return f"PostgreSQL {version}, pgvector {vector[0]}"


def _roles() -> str:
    refuse_unsafe_roles()
    return "the serving roles are bound by row-level security"


def _migrations() -> str:
    loader = MigrationLoader(connections["default"])
    missing = sorted(set(loader.graph.leaf_nodes()) - set(loader.applied_migrations))
    if missing:
        raise RuntimeError(f"not applied: {', '.join('.'.join(node) for node in missing)}")
    return f"{len(loader.applied_migrations)} applied"


def _redis(url: str, *, durable: bool) -> str:
    client = Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))
    try:
        info = client.info()
    finally:
        client.close()
    policy = info["maxmemory_policy"]
    if durable and policy != "noeviction":
        raise RuntimeError(f"maxmemory-policy is {policy}: streams and limits could be evicted")
    return f"Redis {info['redis_version']}, {policy}, {info['used_memory_human']} used"


def _worker() -> str:
    alive = list(Worker.objects.using("engine").extra(where=["lease_until > clock_timestamp()"]))
    if not any(worker.queue == DEFAULT for worker in alive):
        raise RuntimeError("no worker is alive; questions would wait")
    return f"{len(alive)} alive, {sum(worker.slots for worker in alive)} slots"


def _litellm_worker() -> str:
    """Whether somebody serves the deployments that ordinary workers cannot call."""
    offered = Deployment.objects.using("engine").filter(enabled=True, provider__enabled=True, provider__adapter=LITELLM)
    models = sorted(set(offered.values_list("model__slug", flat=True)))
    if not models:
        return "none is needed"
    alive = Worker.objects.using("engine").filter(queue=LITELLM).extra(where=["lease_until > clock_timestamp()"])
    if not (count := alive.count()):
        raise RuntimeError(f"no worker loads litellm, so nobody can call it for: {', '.join(models)}")
    return f"{count} alive, for {len(models)} models"


def _providers() -> str:
    """Only that each address answers at all: a call would cost money."""
    set_up = Provider.objects.using("engine").filter(enabled=True)
    if not set_up.exists():
        raise RuntimeError("no provider is set up")
    # Where litellm knows the address, nobody else does.
    rows = list(set_up.exclude(base_url=KNOWN_ADDRESS).order_by("name").values_list("name", "base_url"))

    async def reach(url: str) -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
                session.get(url, allow_redirects=False),
            ):
                return True
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def all_of() -> list[bool]:
        return list(await asyncio.gather(*(reach(url) for _, url in rows)))

    silent = [name for (name, _), answers in zip(rows, asyncio.run(all_of()), strict=True) if not answers]
    if silent:
        raise RuntimeError(f"no answer from: {', '.join(silent)}")
    return f"{len(rows)} answer"


def _secrets() -> str:
    if len(settings.SECRET_KEY) < 32:
        raise RuntimeError("SECRET_KEY is shorter than 32 characters")
    return "long enough"


def _mail() -> str:
    """Whether the server takes us, as far as one can tell without sending anything."""
    if not settings.MAIL_IS_CONFIGURED:
        return "none is sent, so nobody can reset a password or prove an address; set EMAIL_URL to change that"
    at = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    connection = get_connection(fail_silently=False, timeout=5)
    try:
        connection.open()
    except OSError as error:  # smtplib's are among them
        raise RuntimeError(f"{at} does not take our mail: {_short(error)}") from error
    finally:
        connection.close()
    plain = "" if settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL else ", unencrypted"
    return f"{at} answers{plain}; mail comes from {settings.DEFAULT_FROM_EMAIL}"


CHECKS = (
    Check("secrets", _secrets, "put a long random SECRET_KEY into the environment (see .env.example)"),
    Check("database", _database, "start PostgreSQL and check DATABASE_URL; a superuser runs CREATE EXTENSION vector"),
    Check("roles", _roles, "use separate owner, app and engine roles; `python -m onebox` shows how they are made"),
    Check("migrations", _migrations, "run `manage.py migrate`"),
    Check("redis", lambda: _redis(settings.REDIS_URL, durable=True), "start it with `--maxmemory-policy noeviction`"),
    Check(
        "cache",
        lambda: _redis(settings.REDIS_CACHE_URL, durable=False),
        "start the second Redis and check REDIS_CACHE_URL",
    ),
    Check("mail", _mail, "check EMAIL_URL: host, port, name and password, and smtp:// or smtps://"),
    Check("workers", _worker, "start `celery -A chatproject worker -P threads`"),
    Check(
        "litellm",
        _litellm_worker,
        "start `WORKER_QUEUE=litellm celery -A chatproject worker -P threads --queues=litellm`, or restart `make run`",
    ),
    Check("providers", _providers, "check the address, or add one with `manage.py add_provider`"),
)
