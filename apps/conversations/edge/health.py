"""/healthz: the process lives. /readyz: it can serve. /metrics: what it counts."""

import asyncio
from collections.abc import Callable

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.loader import MigrationLoader
from django.http import Http404, HttpRequest, HttpResponse
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.conversations.edge.replies import json_response
from apps.conversations.models import Worker
from apps.observability import metrics
from apps.outbound.addresses import is_public, parsed
from apps.routing.services import DEFAULT_QUEUE
from apps.tenants.policy import public
from apps.tenants.scope import database_step

CHECK_SECONDS = 2.0


@public("says nothing but that the process lives")
async def healthz(request: HttpRequest) -> HttpResponse:
    return json_response({"status": "ok"})


@public("says nothing of any tenant")
async def readyz(request: HttpRequest) -> HttpResponse:
    """200 where a message could be accepted and answered; else 503, naming each part that is missing."""
    checks: dict[str, Callable[[], str]] = {
        "database": _database,
        "migrations": _migrations,
        "worker": _worker,
        "redis": lambda: _redis(settings.REDIS_URL),
        "cache": lambda: _redis(settings.REDIS_CACHE_URL),
    }
    results = dict(zip(checks, await asyncio.gather(*(_checked(check) for check in checks.values())), strict=True))
    ready = all(result == "ok" for result in results.values())
    return json_response(
        {"status": "ready" if ready else "not ready", "checks": results},
        status=200 if ready else 503,
        headers={} if ready else {"Retry-After": "2"},
    )


async def _checked(check: Callable[[], str]) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await database_step(check)
    except Exception as error:
        return f"fails: {type(error).__name__}"


def _database() -> str:
    for alias in (DEFAULT_DB_ALIAS, "engine"):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")
    return "ok"


_migrated = False


def _migrations() -> str:
    """Once all are seen applied, a running process need not ask again."""
    global _migrated
    if not _migrated:
        loader = MigrationLoader(connections[DEFAULT_DB_ALIAS])
        missing = set(loader.graph.leaf_nodes()) - set(loader.applied_migrations)
        if missing:
            return f"{len(missing)} not applied; run `manage.py migrate`"
        _migrated = True
    return "ok"


def _worker() -> str:
    ordinary = Worker.objects.using("engine").filter(queue=DEFAULT_QUEUE)
    alive = ordinary.extra(where=["lease_until > clock_timestamp()"]).exists()
    return "ok" if alive else "no worker is alive; start `celery -A chatproject worker -P threads`"


def _redis(url: str) -> str:
    client = Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        client.ping()
    finally:
        client.close()
    return "ok"


@public("counts without names, and not for the internet")
async def prometheus(request: HttpRequest) -> HttpResponse:
    """For the own network: whoever comes from a public address finds nothing, as `TRUSTED_PROXIES` tells it."""
    if _is_from_the_internet(request):
        raise Http404
    body, content_type = metrics.render()
    return HttpResponse(body, content_type=content_type)


def _is_from_the_internet(request: HttpRequest) -> bool:
    try:
        return is_public(parsed(request.META.get("REMOTE_ADDR", "")))
    except ValueError:  # a server on a socket file names nobody
        return False
