"""One door of a dialect: read the request, open the call, tell its answer. Read `Door.__call__` top to bottom."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, ClassVar, Protocol

import orjson
import structlog
from django.conf import settings

from apps.observability import context, lines, metrics
from apps.problems import Forbidden, InternalError, MethodNotAllowed, Problem
from apps.routing.contracts import CacheUse, Chunk
from apps.routing.edge.gateway import coding, heads, keyed
from apps.routing.edge.gateway.callers import Caller
from apps.routing.edge.gateway.http import HungUp, Receive, Request, Response, Scope, Send
from apps.routing.stateless.call import OpenCall, open_call
from apps.routing.stateless.counting import count
from apps.routing.stateless.vectors import embed
from apps.routing.wire import anthropic_messages, embeddings
from apps.routing.wire.asked import Asked
from apps.tenants.edge.parsers import parse_json
from apps.tenants.edge.problems import headers_of, translate
from apps.tenants.edge.slow_bodies import HEADERS as NOT_READ
from apps.tenants.errors import BodyTooSlow, PayloadTooLarge
from apps.tenants.policy import Action

log = structlog.get_logger(__name__)


class Writer(Protocol):
    """Tells one answer in a dialect; see `apps.routing.wire`."""

    keep_alive: bytes

    def __init__(self, asked: Asked, *, call_id: str, created: int, model: str | None = None) -> None: ...
    def begin(self) -> bytes: ...
    def chunk(self, index: int, chunk: Chunk) -> bytes: ...
    def end(self) -> bytes: ...
    def failed(self, problem: Problem) -> bytes: ...
    def document(self) -> dict[str, Any]: ...


class Dialect(Protocol):
    """How a family of programs asks and is answered: a module of `apps.routing.wire`."""

    @property
    def Writer(self) -> Callable[..., Writer]: ...
    def read(self, body: Mapping[str, Any]) -> Asked: ...
    def error_document(self, problem: Problem, request_id: str | None = None) -> dict[str, Any]: ...


Refusal = Callable[[Problem, str], dict[str, Any]]


class Door(ABC):
    """ASGI application of one path. `actions` is what it opens to whom, by method, as for every door."""

    actions: ClassVar[Mapping[str, Action]] = {"POST": Action.CHAT_ASK}
    # Whether an idempotency key means something here.
    keyed: ClassVar[bool] = True

    def __init__(self, path: str, refusal: Refusal) -> None:
        self.path = path
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = coding.response_to(request, send)
        ids = _ids(request)
        began = time.monotonic()
        try:
            # Each request is a task of its own, so that nothing has to be unbound.
            context.bind(**ids)
            await self._answer(request, response, ids["request_id"])
        except HungUp:
            pass
        except asyncio.CancelledError:
            if not response.is_given_up():
                raise
        finally:
            response.stop()
            self._note(request, response, ids, time.monotonic() - began)

    def _note(self, request: Request, response: Response, ids: Mapping[str, str], seconds: float) -> None:
        """One line for each request, as for every door. 499: the caller hung up before anything was said."""
        status = response.status or 499
        metrics.http_answered(request.method, self.path, status, seconds)
        said: dict[str, str | int | float | bool | None] = {
            "method": metrics.method_label(request.method),
            "route": self.path,
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            **ids,
        }
        lines.write("request", said | request.facts)

    async def _answer(self, request: Request, response: Response, request_id: str) -> None:
        head = {"x-request-id": request_id, **heads.EVERY}
        try:
            if request.method != "POST":
                raise MethodNotAllowed("Use POST here.")
            if settings.SECURE_SSL_REDIRECT and request.scheme != "https":
                raise Forbidden("Come over HTTPS. This key has crossed the network in the open: replace it.")
            caller = await Caller.of(request)
            body = parse_json(await request.body())
            key = request.raw_header(keyed.HEADER) if self.keyed else None
            if key is None:
                await self._serve(caller, request, body, response, head)
            else:
                told_again = keyed.Keyed(key, self.path, self._serve, self._cut)
                await keyed.answer(told_again, caller, request, body, response, head)
        except HungUp:
            raise
        except Exception as error:
            if response.status is not None:
                raise
            await self._refuse(_told(error), response, request_id, head)

    async def _refuse(self, problem: Problem, response: Response, request_id: str, head: Mapping[str, str]) -> None:
        told = {**head, **heads.of_refusal(problem), "content-type": "application/json"}
        told |= {name.lower(): value for name, value in headers_of(problem).items()}
        if isinstance(problem, MethodNotAllowed):
            told["allow"] = "POST"
        elif isinstance(problem, BodyTooSlow | PayloadTooLarge):
            told |= NOT_READ
        await response.whole(problem.status, told, orjson.dumps(self._refusal(problem, request_id)))

    def _cut(self, body: Any, problem: Problem) -> bytes:
        """What tells in a stream that it ends before its end."""
        return b""

    @abstractmethod
    async def _serve(
        self, caller: Caller, request: Request, body: Any, response: Response, head: Mapping[str, str]
    ) -> None:
        """Answer what the body asks. What it raises before anything was told is told as an error."""


class AnswersDoor(Door):
    """Where models answer."""

    def __init__(self, path: str, dialect: Dialect) -> None:
        super().__init__(path, dialect.error_document)
        self._dialect = dialect

    async def _serve(
        self, caller: Caller, request: Request, body: Any, response: Response, head: Mapping[str, str]
    ) -> None:
        asked = self._dialect.read(body)
        async with request.while_here():
            cache = CacheUse.of_header(request.header(b"cache-control") or "")
            opened = await open_call(caller.find, asked, cache)
            async with opened:
                request.facts = opened.facts
                tell = _tell_as_it_comes if asked.stream else _tell_whole
                await tell(opened, partial(self._writer, asked, opened), response, head)

    def _cut(self, body: Any, problem: Problem) -> bytes:
        return self._dialect.Writer(self._dialect.read(body), call_id="", created=int(time.time())).failed(problem)

    def _writer(self, asked: Asked, opened: OpenCall) -> Writer:
        """To be made with the first piece: by then it is known who answers."""
        call_id = opened.lanes[0].admission.call_id
        return self._dialect.Writer(asked, call_id=call_id.hex, created=int(time.time()), model=opened.answering.model)


class CountDoor(Door):
    """Where a request's tokens are counted, as Anthropic has it: an estimate, since no tokenizer runs here."""

    keyed = False

    async def _serve(
        self, caller: Caller, request: Request, body: Any, response: Response, head: Mapping[str, str]
    ) -> None:
        asked = anthropic_messages.read_to_count(body)
        input_tokens, left = await count(caller.find, asked)
        told = {**head, **heads.limits(left), "content-type": "application/json"}
        await response.whole(200, told, orjson.dumps({"input_tokens": input_tokens}))


class VectorsDoor(Door):
    """Where texts become vectors, as OpenAI has it."""

    async def _serve(
        self, caller: Caller, request: Request, body: Any, response: Response, head: Mapping[str, str]
    ) -> None:
        asked = embeddings.read(body)
        async with request.while_here():
            made = await embed(caller.find, asked)
        told = {**head, **heads.of_vectors(made), "content-type": "application/json"}
        await response.whole(200, told, orjson.dumps(embeddings.document(asked, made.vectors, made.usage)))


async def _tell_whole(
    opened: OpenCall, new_writer: Callable[[], Writer], response: Response, head: Mapping[str, str]
) -> None:
    writer: Writer | None = None
    async with aclosing(opened.chunks()) as chunks:
        async for number, chunk in chunks:
            writer = writer or new_writer()
            writer.chunk(number, chunk)
    told = {**head, **heads.of(opened), "content-type": "application/json"}
    await response.whole(200, told, orjson.dumps((writer or new_writer()).document()))


async def _tell_as_it_comes(
    opened: OpenCall, new_writer: Callable[[], Writer], response: Response, head: Mapping[str, str]
) -> None:
    """The status waits for the first piece: what fails before it is told as an error, not as a stream."""
    writer: Writer | None = None
    try:
        async with aclosing(opened.chunks()) as chunks:
            async for number, chunk in chunks:
                if writer is None:
                    writer = new_writer()
                    await response.start(200, {**head, **heads.of(opened), **heads.STREAM}, writer.keep_alive)
                    piece = writer.begin() + writer.chunk(number, chunk)
                else:
                    piece = writer.chunk(number, chunk)
                if piece:
                    await response.write(piece)
    except Exception as error:
        if writer is None:
            raise
        await response.end(writer.failed(_told(error)), cut=True)
    else:
        await response.end(writer.end() if writer is not None else b"")


def _ids(request: Request) -> dict[str, str]:
    """What every line about the request is found by. Who sends no trace has none here: nothing follows it further."""
    ids = {"request_id": context.request_id(request.header(b"x-request-id"))}
    given = request.header(b"traceparent")
    if given is not None and (trace := context.TraceParent.parse(given)) is not None:
        ids["trace_id"] = trace.trace_id
    return ids


def _told(error: Exception) -> Problem:
    """The problem that tells an exception; a defect of ours is noted and says no more than that."""
    problem = translate(error)
    if problem is not None:
        return problem
    log.exception("gateway.crashed")
    return InternalError("The fault is ours, and it is noted. Try again.")
