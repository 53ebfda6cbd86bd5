"""Who is calling a stateless door. A key that this process knows costs no I/O."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import structlog

from apps.problems import Unauthenticated
from apps.routing.edge.gateway.http import Request
from apps.tenants import selectors, services
from apps.tenants.contracts import Principal
from apps.tenants.edge import credentials
from apps.tenants.edge.middleware import TENANT_HEADER
from apps.tenants.errors import TenantMismatch
from apps.tenants.key_secrets import MARK as KEY_MARK
from apps.tenants.policy import Action, require
from apps.tenants.scope import database_step

_TENANT_HEADER = TENANT_HEADER.lower().encode()

_looking: set["asyncio.Future[None]"] = set()

log = structlog.get_logger(__name__)


class Caller:
    """The sender of one request, found before its body is read, and again where what was known is out of date."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._first: tuple[Principal, int] | None = None

    @classmethod
    async def of(cls, request: Request) -> Self:
        """Raises `Unauthenticated`, `CredentialRefused`, `Forbidden` or `TenantMismatch`, or as the database.

        A browser's cookie opens none of these doors: they know no page that would send it knowingly.
        """
        caller = cls(request)
        caller._first = await caller._found()
        return caller

    @property
    def known(self) -> tuple[Principal, int]:
        """Who was found before the body was read, as long as nobody has asked with `find`."""
        if self._first is None:
            raise RuntimeError("ask before the call is opened")
        return self._first

    async def anew(self) -> Principal:
        """Who it is as the database says now."""
        credential = _credential(self._request)
        if credential is not None and credential.startswith(KEY_MARK):
            await database_step(selectors.look_again, credential)
        self._first = await self._found()
        return self._first[0]

    async def find(self) -> tuple[Principal, int]:
        """Who it is, and of which generation of keys. The first time, who was found before the body was read."""
        first, self._first = self._first, None
        return first or await self._found()

    async def _found(self) -> tuple[Principal, int]:
        generation = selectors.generation()
        credential = _credential(self._request)
        if credential is None:
            raise Unauthenticated("Send an API key as “Authorization: Bearer sk-sb-...”. Settings, Keys makes one.")
        principal, stale = selectors.principal_in_memory(credential)
        if principal is None:
            principal = await database_step(credentials.principal_of_credential, credential)
        elif stale:
            _in_background(_look_again, credential, principal)
        credentials.require_scope(principal, credentials.scopes_of_door(self._request.method, self._request.path))
        require(principal, Action.CHAT_ASK)  # before the body is read, as at every door
        named = self._request.header(_TENANT_HEADER)
        if named is not None and named.lower() != str(principal.tenant_id):
            raise TenantMismatch("This key is of another workspace than the request names.")
        return principal, generation


def _look_again(credential: str, principal: Principal) -> None:
    selectors.look_again(credential)
    if principal.api_key_id is not None:
        services.touch_api_key(principal.api_key_id)


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
