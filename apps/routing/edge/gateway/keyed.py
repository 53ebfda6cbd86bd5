"""Calls with an idempotency key: answered once, and told again to whoever comes with the same key and request.

To be told again takes a request from the limits per minute, and nothing else. A call with a key goes on when its caller
hangs up. Read `answer` top to bottom.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson
import structlog

from apps.billing import services as billing
from apps.observability import lines
from apps.problems import Problem
from apps.routing.edge.gateway import heads
from apps.routing.edge.gateway.callers import Caller
from apps.routing.edge.gateway.http import Request, Response
from apps.routing.repeats import store
from apps.routing.repeats.errors import AnswerLost, AnswerNotKept, KeyInUse, KeyOfAnother, StoreAway, TooManyKeys
from apps.routing.repeats.held import Held
from apps.routing.repeats.place import Place, checked, fingerprint, place_of
from apps.routing.repeats.store import Found, State
from apps.routing.stateless import load
from apps.routing.stateless.counting import counted
from apps.tenants import selectors as callers
from apps.tenants.contracts import Principal
from apps.tenants.policy import Action, require

HEADER = b"idempotency-key"
REPLAYED = {"idempotency-replayed": "true"}
# What belongs to the call that was made, and not to the request that is told of it.
_NOT_STORED = frozenset({"x-request-id", "content-length", "content-encoding", "vary", "cache-control"})
_NOT_STORED_PREFIX = "x-ratelimit-"
_POLL_SECONDS = 0.05
_AGAIN_SECONDS = 0.25

Serve = Callable[[Caller, Request, Any, Response, Mapping[str, str]], Awaitable[None]]

_running: set["asyncio.Task[None]"] = set()

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Keyed:
    """One request with a key, at one door. `cut` tells in the dialect that a stream breaks off."""

    key: bytes
    route: str
    serve: Serve
    cut: Callable[[Any, Problem], bytes]


async def answer(
    keyed: Keyed, caller: Caller, request: Request, body: Any, response: Response, head: Mapping[str, str]
) -> None:
    """Answer as `keyed.serve` does, or as it did. Raises as it does, and the problems of `repeats.errors`."""
    key = checked(keyed.key)
    principal, generation = caller.known
    place = place_of(principal.tenant_id, principal.user_id, principal.api_key_id, keyed.route, key)
    print_of_body, is_counted = fingerprint(body), False
    while True:
        epoch = billing.epoch_of(principal.tenant_id)
        held = Held(place, print_of_body)
        found = await held.claim()
        if found.state is State.NEW:
            await _lead(keyed, held, caller, request, body, response, head)
            return
        # Nothing is admitted here, so nothing else would notice that the key or the role is no longer what it was.
        if found.epoch > epoch or callers.generation() != generation:
            generation = callers.generation()
            principal = await caller.anew()
        require(principal, Action.CHAT_ASK)
        if found.state is State.KEPT:
            request.facts = _told_again(principal)
            await _tell(found, response, {**head, **heads.limits(await counted(caller.find))})
            return
        if found.state is not State.RUNNING or not _streams(body):
            _refuse(found)
        async with request.while_here():
            request.facts = _told_again(principal)
            if not is_counted:
                head, is_counted = {**head, **heads.limits(await counted(caller.find))}, True
            # Whoever follows asks Redis many times a second: it takes a place as a call does.
            load.here().enter(principal.tenant_id, 1)
            try:
                if await _followed(place, found.owner, keyed, body, response, head):
                    return
            finally:
                load.here().leave(principal.tenant_id, 1)
            # That call ended before it told anything, or its process did: this one may be the next to ask.
            await asyncio.sleep(_AGAIN_SECONDS)


def _told_again(principal: Principal) -> dict[str, Any]:
    """What the log says of an answer that nobody was asked for."""
    return {"tenant_id": str(principal.tenant_id), "user_id": str(principal.user_id), "replayed": True}


def _streams(body: Any) -> bool:
    return isinstance(body, dict) and body.get("stream") is True


def _refuse(found: Found) -> NoReturn:
    if found.state is State.OTHER:
        raise KeyOfAnother("This idempotency key was used for another request. Use a new key.")
    if found.state is State.UNKEPT:
        raise AnswerNotKept("The call of this idempotency key was answered, but its answer was too large to keep.")
    if found.state is State.FULL:
        raise TooManyKeys(
            "This workspace has as many idempotency keys in use as are kept. Ask without a key, or later.",
            retry_after_seconds=found.wait_seconds,
        )
    raise KeyInUse("The call of this idempotency key is still being answered.", retry_after_seconds=1)


async def _lead(
    keyed: Keyed,
    held: Held,
    caller: Caller,
    request: Request,
    body: Any,
    response: Response,
    head: Mapping[str, str],
) -> None:
    """Make the call, in a task of its own that outlives its caller's connection."""
    recording = Recording(response, held)
    try:
        async with request.while_here():
            request.attended = False
            task = asyncio.create_task(_made(keyed, held, caller, request, body, recording, head))
            _running.add(task)
            task.add_done_callback(_running.discard)
            await asyncio.shield(task)
    finally:
        recording.leave()


async def _made(
    keyed: Keyed,
    held: Held,
    caller: Caller,
    request: Request,
    body: Any,
    recording: "Recording",
    head: Mapping[str, str],
) -> None:
    try:
        await keyed.serve(caller, request, body, recording, head)
        if not recording.heard:
            # The line of the request was written when its caller left.
            lines.write("gateway.answered_unheard", {"route": keyed.route, **request.facts})
    except Exception as error:
        if recording.heard:
            raise
        log.warning("gateway.keyed_call_failed", error=type(error).__name__)
    finally:
        await held.give_up()  # unless it was kept


class Recording(Response):
    """Tells the caller, as long as there is one, and writes down what is told."""

    def __init__(self, response: Response, held: Held) -> None:
        self.status: int | None = None
        self.heard = True
        self._response = response
        self._held = held

    def leave(self) -> None:
        """The caller is gone."""
        self.heard = False

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self._held.begin(_stored(status, headers, b""))
        self._held.add(body)
        await self._held.keep()
        await self._tell(self._response.whole(status, headers, body))

    async def start(self, status: int, headers: Mapping[str, str], keep_alive: bytes) -> None:
        self.status = status
        self._held.begin(_stored(status, headers, keep_alive))
        await self._tell(self._response.start(status, headers, keep_alive))

    async def write(self, piece: bytes) -> None:
        self._held.add(piece)
        await self._tell(self._response.write(piece))

    async def end(self, piece: bytes = b"", *, cut: bool = False) -> None:
        if cut:
            # Nobody pays for it, so it is not what the key stands for.
            await self._held.give_up()
        else:
            self._held.add(piece)
            await self._held.keep()
        await self._tell(self._response.end(piece, cut=cut))

    async def _tell(self, telling: Coroutine[Any, Any, None]) -> None:
        if not self.heard:
            telling.close()
            return
        try:
            await telling
        except asyncio.CancelledError:
            if not self._response.is_given_up():
                raise
            self.heard = False  # the call goes on, as when it hangs up

    def stop(self) -> None:
        self._response.stop()


def _stored(status: int, headers: Mapping[str, str], keep_alive: bytes) -> bytes:
    kept = {
        name: value
        for name, value in headers.items()
        if name not in _NOT_STORED and not name.startswith(_NOT_STORED_PREFIX)
    }
    return orjson.dumps({"status": status, "headers": kept, "keep_alive": keep_alive.decode("latin-1")})


async def _tell(found: Found, response: Response, head: Mapping[str, str]) -> None:
    """The kept answer."""
    stored = orjson.loads(found.head)
    told, body = {**stored["headers"], **head, **REPLAYED}, b"".join(found.pieces)
    if stored["keep_alive"]:
        await response.start(stored["status"], told, stored["keep_alive"].encode("latin-1"))
        await response.end(body)
    else:
        await response.whole(stored["status"], told, body)


async def _followed(
    place: Place, owner: str, keyed: Keyed, body: Any, response: Response, head: Mapping[str, str]
) -> bool:
    """Tell a running stream from its beginning to its end. False where it ended before it told anything."""
    known = 0
    while True:
        try:
            found = await store.follow(place, owner, known)
        except StoreAway:
            if response.status is None:
                raise
            found = Found(State.GONE)
        if found.state is State.UNKEPT and response.status is None:
            _refuse(found)
        if found.state in (State.GONE, State.UNKEPT):
            if response.status is None:
                return False
            lost = AnswerLost("The call that this one followed cannot be followed to its end. Send its key again.")
            await response.end(keyed.cut(body, lost), cut=True)
            return True
        if found.head and response.status is None:
            stored = orjson.loads(found.head)
            told = {**stored["headers"], **head, **REPLAYED}
            await response.start(stored["status"], told, stored["keep_alive"].encode("latin-1"))
        known += len(found.pieces)
        if found.state is State.KEPT:
            await response.end(b"".join(found.pieces))
            return True
        if found.pieces:
            await response.write(b"".join(found.pieces))
        await asyncio.sleep(_POLL_SECONDS)


async def finish_all(seconds: float = 3.0) -> None:
    """Before this loop ends: let calls whose callers have left come to their end, for so long; then end them."""
    loop = asyncio.get_running_loop()
    if tasks := {task for task in _running if task.get_loop() is loop}:
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
