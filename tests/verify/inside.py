"""One person's sockets and streams inside this process, for tests that try thousands of inputs on them."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from channels.testing import WebsocketCommunicator
from django.db import connections

from apps.conversations import requests
from apps.conversations import services as conversations
from apps.conversations.connections import event_loop_redis
from apps.conversations.contracts import TurnAccepted
from apps.conversations.edge import process
from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.streaming.handle import LogHandle
from apps.streaming.writer import LogWriter
from apps.tenants import services
from apps.tenants.contracts import Principal
from tests.isolation.product import Faults, Product
from tests.people import new_owner

LAST_SEQ = 6  # of each log that has ended
PATIENCE_SECONDS = 10.0

Message = dict[str, Any]


@dataclass(slots=True)
class Told:
    """An HTTP answer, whole."""

    status: int = 0
    content_type: str = ""
    body: bytes = b""

    def ids(self) -> list[str]:
        return re.findall(r"^id: (.*)$", self.body.decode(), re.MULTILINE)


class Chat:
    """One socket of the application."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._socket = WebsocketCommunicator(product.application, "/ws/chat/", headers=[(b"host", b"testserver")])

    async def open(self, token: str | None = None) -> None:
        connected, _ = await self._socket.connect(timeout=PATIENCE_SECONDS)
        assert connected
        if token is not None:
            await self.say(json.dumps({"type": "auth", "token": token}))
            assert (await self.hear())["type"] == "ready"

    async def say(self, frame: str | bytes) -> None:
        kind = "text" if isinstance(frame, str) else "bytes"
        await self._socket.send_input({"type": "websocket.receive", kind: frame})

    async def hear(self) -> Message:
        """The next message; of a socket that is closed, `{"type": "closed", "code": ...}`."""
        told = await self._socket.receive_output(timeout=PATIENCE_SECONDS)
        if told["type"] == "websocket.close":
            return {"type": "closed", "code": told["code"]}
        return dict(json.loads(told["text"]))

    async def answers(self, frame: str | bytes) -> list[Message]:
        """Everything told from a frame until the answer to a ping behind it, or until the socket is closed."""
        await self.say(frame)
        await self.say('{"type": "ping"}')
        heard: list[Message] = []
        while True:
            heard.append(await self.hear())
            if heard[-1]["type"] == "closed":
                return heard
            if heard[-1]["type"] == "pong":
                return heard[:-1]

    async def close(self) -> None:
        await self._socket.disconnect(timeout=PATIENCE_SECONDS)


@dataclass(slots=True)
class Ground:
    """A person with a key, two lanes whose logs have ended, two answers that were cancelled, and a log that goes on."""

    product: Product
    person: Principal
    secret: str
    ended: TurnAccepted
    cancelled: TurnAccepted
    going_on: UUID
    log: LogHandle | None = None
    seen: list[int] = field(default_factory=list)

    def get(self, path: str, query: str = "", last_event_id: str | None = None) -> Told:
        headers = [(b"host", b"testserver"), (b"authorization", f"Bearer {self.secret}".encode())]
        if last_event_id is not None:
            headers.append((b"last-event-id", last_event_id.encode("latin-1")))
        return self.product.run(self._get(path, query.encode(), headers))

    async def _get(self, path: str, query: bytes, headers: list[tuple[bytes, bytes]]) -> Told:
        scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "root_path": ""}
        scope |= {"path": path, "raw_path": path.encode(), "query_string": query, "headers": headers}
        scope |= {"client": ("10.1.2.4", 5000), "server": ("testserver", 80), "asgi": {"version": "3.0"}}
        incoming: asyncio.Queue[Message] = asyncio.Queue()
        incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        told = Told()

        async def send(message: Message) -> None:
            told.status = message.get("status", told.status)
            for name, value in message.get("headers", ()):
                told.content_type = value.decode() if name.lower() == b"content-type" else told.content_type
            told.body += message.get("body", b"")

        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.product.application(scope, incoming.get, send)
        return told


def _asked(person: Principal, slug: str, lanes: int) -> TurnAccepted:
    wanted = requests.turn_request({"message": "What is a lease?", "models": [slug] * lanes}, None)
    return conversations.start_turn(person, wanted)


async def _write_logs(ground: Ground) -> None:
    writer = LogWriter(event_loop_redis(), may_append=lambda: True)
    for lane in ground.ended.generations:
        log = await writer.open(lane.generation_id, 1, {"fence": 1})
        for number in range(1, LAST_SEQ):
            log.append("token.delta", {"text": f"{number} "})
        await log.close("message.completed", {"state": "completed"}, 3600)
    ground.log = await writer.open(ground.going_on, 1, {"fence": 1})


@contextmanager
def doors() -> Iterator[Ground]:
    """The application with everything that `Ground` holds; afterwards nothing waits to be answered."""
    slug = f"fuzzed-{uuid4().hex[:8]}"
    provider_id = routing.add_provider(name=f"Nobody of {slug}", base_url="http://127.0.0.1:9/v1", key="any")
    price = NewPrice(input_nanousd_per_mtok=1, output_nanousd_per_mtok=1)
    routing.register_model(provider_id=provider_id, upstream_model="none", price=price, slug=slug, name="Nobody")
    person = new_owner("Fuzz", "Fuzz and sons")
    cancelled = _asked(person, slug, 2)
    for lane in cancelled.generations:
        conversations.cancel(person, lane.generation_id)
    process._process = None
    product = Product(Faults())
    going_on = _asked(person, slug, 1).generations[0].generation_id
    secret = services.create_api_key(person, "fuzz").secret
    ground = Ground(product, person, secret, _asked(person, slug, 2), cancelled, going_on)
    try:
        product.run(_write_logs(ground))
        yield ground
    finally:
        product.close()
        process._process = None
        with connections["engine"].cursor() as cursor:
            cursor.execute(
                "UPDATE conversations_generation SET state = 'cancelled', finished_at = clock_timestamp() "
                "WHERE tenant_id = %s AND state = 'queued'",
                [person.tenant_id],
            )
