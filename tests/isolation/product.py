"""The real ASGI application on a loop of its own, with one pooled database connection, and faults on request."""

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from channels.testing import WebsocketCommunicator
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.backends.utils import CursorWrapper

T = TypeVar("T")
Heard = list[dict[str, Any]]
PATIENCE_SECONDS = 20.0
STREAM_SECONDS = 2.0  # a stream that is not over by then has told what it has to tell
DOWNLOAD_SECONDS = 15.0  # a file, when many wait for one connection


@dataclass(slots=True)
class Answer:
    """Every byte of an answer. `status` 0: nothing came in time."""

    status: int
    told: bytes


@dataclass(slots=True)
class Faults:
    """What goes wrong inside: the `fail_at`-th statement of role `app` from now on; a scope that outlives its step."""

    fail_at: int = 0
    scope_outlives_transaction: bool = False
    failed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_statement(self, sql: Any) -> tuple[Any, bool]:
        with self.lock:
            if self.scope_outlives_transaction and isinstance(sql, str):
                sql = sql.replace("('app.tenant_id', %s, true)", "('app.tenant_id', %s, false)")
            if self.fail_at:
                self.fail_at -= 1
                if not self.fail_at:
                    self.failed += 1
                    return sql, True
            return sql, False


class Product:
    """The application, called from the test's own thread."""

    def __init__(self, faults: Faults) -> None:
        from chatproject.asgi import application

        self.application = application
        self.faults = faults
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="product", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    def call(self, *calls: "Call", hang_up_seconds: float = STREAM_SECONDS) -> list[Answer]:
        """Make all these calls at once, each heard to its end or until the caller hangs up."""

        async def all_of() -> list[Answer]:
            return list(await asyncio.gather(*(self._http(one, hang_up_seconds) for one in calls)))

        return self.run(all_of())

    async def _http(self, call: "Call", hang_up_seconds: float = STREAM_SECONDS) -> Answer:
        """As a server does it: a caller who has waited long enough hangs up, and nothing is cut off in its middle."""
        # Not a client's: making one reads every certificate of the machine.
        request = httpx.Request(
            call.method,
            f"http://testserver{call.path}",
            params=call.query or None,
            headers={"User-Agent": "isolation", "Accept": "*/*", **call.headers},
            cookies=call.cookies,
            json=call.json,
            data=call.form,
        )
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": call.method,
            "scheme": "http",
            "path": request.url.path,
            "raw_path": request.url.raw_path.split(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": (call.address, 5000),
            "server": ("testserver", 80),
        }
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait({"type": "http.request", "body": request.content, "more_body": False})
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        served = asyncio.ensure_future(self.application(scope, incoming.get, send))
        await asyncio.wait([served], timeout=hang_up_seconds)
        incoming.put_nowait({"type": "http.disconnect"})
        await asyncio.wait([served], timeout=PATIENCE_SECONDS)
        if not served.done():
            served.cancel()
            raise TimeoutError(f"{call.method} {call.path} does not end")
        if served.exception() is not None and not sent:
            raise RuntimeError(f"{call.method} {call.path} was not answered") from served.exception()
        # What breaks in the middle of a stream, a server cuts off.
        told = [value for message in sent for pair in message.get("headers", ()) for value in pair]
        return Answer(
            next((message["status"] for message in sent if "status" in message), 0),
            b"\n".join(told) + b"\n\n" + b"".join(message.get("body", b"") for message in sent),
        )

    def socket(self, headers: dict[str, str], messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Send these messages on one socket, and hear what comes until it falls silent."""
        return self.run(self._socket(headers, messages))

    async def _socket(self, headers: dict[str, str], messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        socket = WebsocketCommunicator(self.application, "/ws/chat/", headers=[(b"host", b"testserver"), *sent])
        heard: list[dict[str, Any]] = []
        await socket.connect(timeout=5)
        for message in messages:
            await socket.send_json_to(message)
        await socket.send_json_to({"type": "ping"})
        ponged_at: float | None = None
        # Waiting with `receive_output` would end the application when the time is over.
        while not await socket.receive_nothing(timeout=0.1 if ponged_at else 5, interval=0.005):
            output = await socket.receive_output(timeout=5)
            heard.append(json.loads(output["text"]) if output["type"] == "websocket.send" else dict(output))
            now = asyncio.get_running_loop().time()
            if heard[-1]["type"] == "pong":
                ponged_at = now
            if heard[-1]["type"] == "websocket.close" or (ponged_at and now > ponged_at + STREAM_SECONDS):
                break
        await socket.disconnect(timeout=2)
        return heard

    def overheard(self, tokens: list[str], call: "Call") -> tuple[Answer, list[Heard]]:
        """Make a call while a socket per token listens: the answer, and what each heard after its welcome."""
        return self.run(self._overheard(tokens, call))

    async def _overheard(self, tokens: list[str], call: "Call") -> tuple[Answer, list[Heard]]:
        headers = [(b"host", b"testserver")]
        sockets = [WebsocketCommunicator(self.application, "/ws/chat/", headers=headers) for _ in tokens]
        for socket, token in zip(sockets, tokens, strict=True):
            await socket.connect(timeout=5)
            await socket.send_json_to({"type": "auth", "token": token})
            assert (await socket.receive_json_from(timeout=5))["type"] == "ready"
        answer = await self._http(call)
        heard: list[Heard] = [[] for _ in sockets]
        for socket, into in zip(sockets, heard, strict=True):
            while not await socket.receive_nothing(timeout=0.4, interval=0.01):
                into.append(await socket.receive_json_from(timeout=5))
            await socket.disconnect(timeout=2)
        return answer, heard

    def scope_left_behind(self) -> str:
        """What the pooled connection still says of a tenant or a person, between requests."""
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT coalesce(current_setting('app.tenant_id', true), '') || "
                "coalesce(current_setting('app.user_id', true), '')"
            )
            (left,) = cursor.fetchone() or ("",)
            # What was found must not be found again: the next attack begins on a clean connection.
            cursor.execute("SELECT set_config('app.tenant_id', '', false), set_config('app.user_id', '', false)")
        give_back_connections()
        return str(left)

    def close(self) -> None:
        async def end() -> None:
            mine = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not mine]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._loop.shutdown_asyncgens()

        self.run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@dataclass(frozen=True, slots=True)
class Call:
    """One request of one credential."""

    method: str
    path: str
    headers: dict[str, str]
    cookies: dict[str, str]
    query: dict[str, str] = field(default_factory=dict)
    json: Any = None
    form: dict[str, str] | None = None
    address: str = "10.1.2.3"


def give_back_connections() -> None:
    """The test's own thread holds none of the pool."""
    for connection in connections.all(initialized_only=True):
        connection.close()


@contextmanager
def one_connection() -> Iterator[None]:
    """Role `app` has a pool of one: whoever comes next gets what the one before left behind."""
    settings = connections.settings["default"]["OPTIONS"]
    pool = settings["pool"]
    _forget_pool()
    settings["pool"] = {**pool, "min_size": 1, "max_size": 1, "timeout": 15}
    try:
        yield
    finally:
        _forget_pool()
        settings["pool"] = pool


def _forget_pool() -> None:
    give_back_connections()
    connection = connections["default"]
    assert isinstance(connection, DatabaseWrapper)
    connection.close_pool()


@contextmanager
def faulty() -> Iterator[Faults]:
    """Statements pass through `Faults`. A failing one fails in the database, so that its transaction is aborted."""
    faults = Faults()
    original = CursorWrapper.execute

    def execute(self: CursorWrapper, sql: Any, params: Any = None) -> Any:
        if self.db.alias != "default":
            return original(self, sql, params)
        sql, fails = faults.next_statement(sql)
        return original(self, "SELECT 1/0") if fails else original(self, sql, params)

    CursorWrapper.execute = execute  # type: ignore[method-assign]
    try:
        yield faults
    finally:
        CursorWrapper.execute = original  # type: ignore[method-assign]
