"""/ws/chat/: one socket per tab carries all its streams, in both directions.

Tokens come from the log, never through the channel layer, which drops messages under load and carries hints alone.
"""

import asyncio
from contextlib import aclosing
from typing import Any
from uuid import UUID

import orjson
import structlog
from channels.generic.websocket import AsyncWebsocketConsumer

from apps.conversations import requests, services
from apps.conversations.contracts import StreamIdentity
from apps.conversations.edge.follow import follow_all, identities_of, identities_of_turn
from apps.conversations.edge.process import Person, Places, process
from apps.conversations.edge.replies import accepted_json
from apps.conversations.edge.sse import position, wants_html
from apps.conversations.errors import InvalidMessage
from apps.problems import Problem, Unauthenticated
from apps.streaming import hints
from apps.streaming.errors import SlowReader
from apps.tenants import policy
from apps.tenants.contracts import Principal
from apps.tenants.edge.credentials import principal_of_scope, principal_of_token
from apps.tenants.edge.problems import translate
from apps.tenants.edge.watch import Seat
from apps.tenants.errors import TenantMismatch
from apps.tenants.scope import database_step
from apps.tenants.standing import Standing

AUTH_SECONDS = 5.0
MAX_FRAME_BYTES = 1024 * 1024
MAX_STREAMS = 64

CLOSE_UNAUTHENTICATED = 4401
CLOSE_SLOW = 4408
CLOSE_CHANGED = 4409
CLOSE_TOO_MANY = 4429
CLOSE_RESTARTING = 4503

# What each message of a known caller is to the policy.
ACTIONS = {
    "message.send": policy.Action.CHAT_ASK,
    "generation.cancel": policy.Action.CHAT_ASK,
    "subscribe": policy.Action.CHAT_READ,
    "unsubscribe": policy.Action.CHAT_READ,
}

log = structlog.get_logger(__name__)


class ChatConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels ships no types
    """See `docs/protocol.md` for the messages. Every refusal is an `error` event; the socket stays open."""

    principal: Principal | None = None
    _group: str | None = None
    _seat: Seat | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._places: Places | None = None
        self._counted_as: Person | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one socket. However it ends, also where `disconnect` is never called, nothing of it is left."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._let_go()

    async def connect(self) -> None:
        await self.accept()
        if not process().sockets.has_room(None):
            await self.close(CLOSE_TOO_MANY)
            return
        self._places = process().sockets
        self._places.take(None)
        self._start("stopping", self._leave_when_stopping())
        try:
            principal = await principal_of_scope(self.scope)
        except Exception as error:
            await self._refuse(error, {})
            await self.close(_close_code(error))
            return
        if principal is None:
            self._start("auth", self._close_unless_authenticated())
        else:
            await self._welcome(principal)

    async def _let_go(self) -> None:
        if self._places is not None:
            self._places.leave(self._counted_as)
        if self._seat is not None:
            process().watch.leave(self._seat)
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._group is not None and self.channel_layer is not None:
            await self.channel_layer.group_discard(self._group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        frame = text_data.encode("utf-8", "replace") if text_data is not None else bytes_data or b""
        message: dict[str, Any] = {}
        try:
            message = _parse(frame)
            await self._dispatch(message)
        except Exception as error:
            await self._refuse(error, message)

    async def _dispatch(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "ping":
            await self._send({"type": "pong"})
            return
        if kind == "auth":
            await self._authenticate(message)
            return
        if self.principal is None:
            raise Unauthenticated("Send an auth message first.")
        if isinstance(kind, str) and kind in ACTIONS:
            policy.require(self.principal, ACTIONS[kind])
        if self._seat is not None:
            await process().watch.freshen(self._seat)
            if self._seat.standing is not Standing.STANDS:
                return  # it is being closed
        match kind:
            case "message.send":
                await self._message_send(self.principal, message)
            case "generation.cancel":
                await self._cancel(self.principal, message)
            case "subscribe":
                await self._subscribe(self.principal, message)
            case "unsubscribe":
                self._stop(f"stream:{_id(message, 'stream')}")
            case _:
                raise InvalidMessage(f"Unknown type {str(kind)[:40]!r}.", fields={"type": ["Unknown."]})

    async def _authenticate(self, message: dict[str, Any]) -> None:
        token = message.get("token")
        if self.principal is not None or not isinstance(token, str):
            raise InvalidMessage("Send one auth message with a token, before anything else.")
        try:
            principal = await principal_of_token(token)
        except Problem as problem:
            await self._refuse(problem, message)
            await self.close(_close_code(problem))
            return
        self._stop("auth")
        await self._welcome(principal)

    async def _welcome(self, principal: Principal) -> None:
        if not self._count_as((principal.tenant_id, principal.user_id)):
            await self.close(CLOSE_TOO_MANY)
            return
        self.principal = principal
        self._seat = process().watch.enter(principal, self._stand_up)
        self._group = hints.person(principal.tenant_id, principal.user_id)
        if self.channel_layer is not None:
            await self.channel_layer.group_add(self._group, self.channel_name)
        await self._send({"type": "ready", "tenant_id": str(principal.tenant_id), "user_id": str(principal.user_id)})

    def _count_as(self, who: Person) -> bool:
        """Take one of the person's places for the stranger's; False where they hold all that one person may."""
        if self._places is None or not self._places.know(who):
            return False
        self._counted_as = who
        return True

    def _stand_up(self, standing: Standing) -> None:
        """The principal stands no more: nothing is told from here on, and the socket is closed."""
        self.principal = None
        for name in [name for name in self._tasks if name.startswith("stream:")]:
            self._stop(name)
        self._start("leaving", self._leave(standing))

    async def _leave(self, standing: Standing) -> None:
        if standing is Standing.ENDED:
            await self._refuse(Unauthenticated("You are not signed in any more."), {})
            await self.close(CLOSE_UNAUTHENTICATED)
        else:
            await self.close(CLOSE_CHANGED)

    async def _message_send(self, principal: Principal, message: dict[str, Any]) -> None:
        if message.get("tenant_id") not in (None, str(principal.tenant_id)):
            raise TenantMismatch("This page belongs to another organisation than your session. Reload it.")
        client_id = message.get("client_id")
        if not isinstance(client_id, str):
            raise InvalidMessage("client_id: Send a text that is new for each question.")
        wanted, html = requests.turn_request(message, client_id), wants_html(message.get("render"))
        turn = await database_step(services.start_turn, principal, wanted)
        await self._send({"type": "message.accepted", "client_id": client_id, **accepted_json(turn)})
        for identity in await identities_of_turn(principal, turn):
            self._follow(principal, str(identity.generation_id), [identity], {}, html)

    async def _cancel(self, principal: Principal, message: dict[str, Any]) -> None:
        generation_id = _id(message, "generation_id")
        state = await database_step(services.cancel, principal, generation_id)
        await self._send({"type": "generation.cancelling", "generation_id": str(generation_id), "state": state.value})

    async def _subscribe(self, principal: Principal, message: dict[str, Any]) -> None:
        stream = _id(message, "stream")
        if sum(name.startswith("stream:") for name in self._tasks) >= MAX_STREAMS:
            raise InvalidMessage(f"This socket follows {MAX_STREAMS} streams already.")
        identities = await identities_of(principal, stream)
        after = message.get("after")
        if after is not None and not isinstance(after, str):
            raise InvalidMessage("after: Send an event id, a cursor or null.")
        lane = identities[0].lane if identities[0].generation_id == stream else None
        self._follow(principal, str(stream), identities, position(after or "", lane), wants_html(message.get("render")))

    def _follow(
        self, principal: Principal, stream: str, identities: list[StreamIdentity], after: dict[int, Any], html: bool
    ) -> None:
        self._stop(f"stream:{stream}")
        self._start(f"stream:{stream}", self._pump(principal, stream, identities, after, html))

    async def _pump(
        self, principal: Principal, stream: str, identities: list[StreamIdentity], after: dict[int, Any], html: bool
    ) -> None:
        try:
            async with aclosing(follow_all(principal, identities, process(), after, html=html)) as events:
                async for event in events:
                    if event is not None:
                        # Not `self.send`: two calls more, for every token of every reader.
                        await self.base_send({"type": "websocket.send", "text": event.data.decode()})
        except SlowReader:
            await self.close(CLOSE_SLOW)
        except Exception as error:
            await self._refuse(error, {"stream": stream})
        finally:
            if self._tasks.get(f"stream:{stream}") is asyncio.current_task():
                del self._tasks[f"stream:{stream}"]

    async def hint(self, event: dict[str, Any]) -> None:
        """From the channel layer: something happened in one of this person's conversations."""
        if self.principal is not None:
            await self._send(event["payload"])

    async def recheck(self, event: dict[str, Any]) -> None:
        """From the channel layer: a right of this person has ended. Lost ones cost the seconds until the next round."""
        await process().watch.hurry()

    async def _close_unless_authenticated(self) -> None:
        await asyncio.sleep(AUTH_SECONDS)
        if self.principal is None:
            await self.close(CLOSE_UNAUTHENTICATED)

    async def _leave_when_stopping(self) -> None:
        await process().stopping.wait()
        await self.close(CLOSE_RESTARTING)

    async def _refuse(self, error: Exception, message: dict[str, Any]) -> None:
        problem = translate(error)
        if problem is None:
            log.exception("websocket.failed", type=str(message.get("type"))[:40])
            problem = Defect("The fault is ours, and it is noted. Try again.")
        body: dict[str, Any] = {
            "type": "error",
            "code": problem.code,
            "message": problem.detail,
            "retryable": problem.retryable,
            "status": problem.status,
        }
        for name in ("client_id", "stream", "generation_id"):
            if isinstance(message.get(name), str):
                body[name] = message[name][:255]
        await self._send(body)

    async def _send(self, body: dict[str, Any]) -> None:
        await self.send(text_data=orjson.dumps(body).decode())

    def _start(self, name: str, work: Any) -> None:
        self._tasks[name] = asyncio.create_task(work)

    def _stop(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()


class Defect(Problem):
    """Something this code did not expect."""

    code = "internal_error"
    status = 500
    retryable = True


def _close_code(error: Exception) -> int:
    """Whoever cannot be looked up right now is not signed out: that would send them to sign in again for nothing."""
    known = isinstance(error, Problem) and error.status < 500
    return CLOSE_UNAUTHENTICATED if known else CLOSE_RESTARTING


def _parse(frame: bytes) -> dict[str, Any]:
    if len(frame) > MAX_FRAME_BYTES:
        raise InvalidMessage(f"The message has {len(frame):,} bytes; {MAX_FRAME_BYTES:,} are allowed.")
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        raise InvalidMessage("Send JSON objects.") from None
    if not isinstance(message, dict):
        raise InvalidMessage("Send JSON objects.")
    return message


def _id(message: dict[str, Any], name: str) -> UUID:
    value = message.get(name)
    try:
        if isinstance(value, str):
            return UUID(value)
    except ValueError:
        pass
    raise InvalidMessage(f"{name}: This is not an id.", fields={name: ["Not an id."]})
