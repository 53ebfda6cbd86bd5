"""Who is calling a stateless door. A key that this process knows costs no I/O."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from apps.problems import Unauthenticated
from apps.routing.edge.gateway.http import Request
from apps.tenants import selectors, services
from apps.tenants.contracts import Principal, Scope
from apps.tenants.edge import credentials
from apps.tenants.edge.middleware import TENANT_HEADER
from apps.tenants.errors import TenantMismatch
from apps.tenants.scope import database_step

_TENANT_HEADER = TENANT_HEADER.lower().encode()

_looking: set["asyncio.Future[None]"] = set()

log = structlog.get_logger(__name__)


async def caller_of(request: Request) -> Principal:
    """Raises `Unauthenticated`, `CredentialRefused`, `InsufficientScope`, `TenantMismatch`; what the database raises.

    A browser's cookie opens none of these doors: they know no page that would send it knowingly.
    """
    credential = _credential(request)
    if credential is None:
        raise Unauthenticated("Send an API key as “Authorization: Bearer sk-sb-...”. Settings, Keys makes one.")
    caller, stale = selectors.principal_in_memory(credential)
    if caller is None:
        caller = await database_step(credentials.principal_of_credential, credential)
    elif stale:
        _in_background(_look_again, credential, caller)
    credentials.require_scope(caller, Scope.CHAT)
    named = request.header(_TENANT_HEADER)
    if named is not None and named.lower() != str(caller.tenant_id):
        raise TenantMismatch("This key is of another workspace than the request names.")
    return caller


def _look_again(credential: str, caller: Principal) -> None:
    selectors.look_again(credential)
    if caller.api_key_id is not None:
        services.touch_api_key(caller.api_key_id)


def _in_background(step: Callable[..., None], *args: Any) -> None:
    """Nobody waits for it, and a database that is away stops nobody whose key is known."""
    task = asyncio.ensure_future(database_step(step, *args))
    _looking.add(task)
    task.add_done_callback(_done)


def _done(task: "asyncio.Future[None]") -> None:
    _looking.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("gateway.key_not_read_again", error=type(error).__name__)


def _credential(request: Request) -> str | None:
    scheme, _, value = (request.header(b"authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return request.header(b"x-api-key")
