"""The calls: OpenAI's endpoints, from request to script to bill."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

from aiohttp import web

from simulator import catalogue
from simulator.answer import compose
from simulator.bill import Bill, Entry
from simulator.catalogue import Model
from simulator.embeddings import embeddings_body
from simulator.errors import ApiError, ContextLength, Unauthenticated, UnknownModel
from simulator.faults import Fault, FaultBoard
from simulator.options import Options, parse_options, split_name
from simulator.pacing import Script, Track, Wheel
from simulator.request import ChatRequest, model_of, parse_body, parse_chat
from simulator.script import Plan, json_body, refused, streamed, whole
from simulator.tokens import count_prompt
from simulator.wire import Envelope

ATTEMPT_HEADER = "X-Switchboard-Attempt"
OPTIONS_HEADER = "X-Simulator-Options"

# What becomes of a call: its script, and the seconds between two parts of its body.
Performance = tuple[Script, float]


class AlreadySent(web.StreamResponse):
    """Tells aiohttp that the response went straight to the transport and the connection may be used again."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._reuse = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._reuse

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class Simulator:
    """The state of one server: its timer wheel, bill, fault rules and option rules."""

    def __init__(self) -> None:
        self.bill = Bill()
        self.board = FaultBoard()
        self.option_rules: list[tuple[str, re.Pattern[str], str]] = []
        self.started = time.monotonic()
        self._wheel: Wheel | None = None

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._chat)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, self._embed)

    async def models(self, request: web.Request) -> web.StreamResponse:
        try:
            _authenticate(request)
            slug = request.match_info.get("slug")
            if slug is None:
                listed = [model.card() for model in catalogue.MODELS.values()]
                return web.json_response({"object": "list", "data": listed})
            return web.json_response(catalogue.find(slug).card())
        except ApiError as error:
            return web.json_response(error.body(), status=error.status)

    async def _serve(
        self, request: web.Request, perform: Callable[[web.Request, bytes, Entry], Performance]
    ) -> web.StreamResponse:
        """Answers one call and writes its line in the bill, whatever becomes of it."""
        entry = self.bill.open(request.path, request.headers.get(ATTEMPT_HEADER))
        track: Track | None = None
        is_cut = False
        try:
            raw = await request.read()
            try:
                script, interval_seconds = perform(request, raw, entry)
            except ApiError as error:
                script, interval_seconds = json_body(error.status, error.body()), 0.0
            transport = request.transport
            if transport is None:
                raise ConnectionResetError
            loop = asyncio.get_running_loop()
            if self._wheel is None:
                self._wheel = Wheel(loop)
            track = Track(self._wheel, loop, transport, script, entry, interval_seconds)
            is_through = await track.done
            return AlreadySent(keep_alive=is_through and request.keep_alive)
        except (asyncio.CancelledError, ConnectionError):
            # Who leaves in the very moment after the last byte has not cut anything.
            is_cut = track is None or not track.is_through
            raise
        finally:
            if track is not None:
                track.stop()
            is_whole = track is not None and track.is_through
            self.bill.close(entry, completed=is_whole and entry.completed, closed_by_caller=is_cut)

    def _chat(self, request: web.Request, raw: bytes, entry: Entry) -> Performance:
        _authenticate(request)
        body = parse_body(raw)
        requested = entry.model = model_of(body)
        model, options, fault = self._resolve(request, requested)
        if model.dimensions:
            raise UnknownModel(requested)
        entry.fault = fault.label if fault else None
        if (script := refused(fault, model.context_tokens)) is not None:
            return script, 0.0
        asked = parse_chat(body)
        if asked.stream:
            self.bill.streams(entry)
        plan, tokens_per_second = _plan(model, options, fault, asked, entry)
        if not asked.stream:
            return whole(plan), 0.0
        per_second = tokens_per_second * asked.choices
        interval_seconds = plan.chunk_tokens / per_second if per_second else 0.0
        return streamed(plan), 0.0 if plan.kind == "drip" else interval_seconds

    def _embed(self, request: web.Request, raw: bytes, entry: Entry) -> Performance:
        _authenticate(request)
        body = parse_body(raw)
        requested = entry.model = model_of(body)
        model, _, fault = self._resolve(request, requested)
        entry.fault = fault.label if fault else None
        if (script := refused(fault, model.context_tokens)) is not None:
            return script, 0.0
        answer, entry.prompt_tokens = embeddings_body(body, model, requested)
        entry.completed = True
        return json_body(200, answer), 0.0

    def _resolve(self, request: web.Request, requested: str) -> tuple[Model, Options, Fault | None]:
        """The model, its options (name over header over control) and this call's fault."""
        slug, options = split_name(requested)
        model = catalogue.find(slug)
        if header := request.headers.get(OPTIONS_HEADER):
            options = options.over(parse_options(header))
        for _, pattern, text in reversed(self.option_rules):
            if pattern.fullmatch(requested) or pattern.fullmatch(slug):
                options = options.over(parse_options(text))
        return model, options, options.named_fault() or self.board.draw(requested, slug)


def _authenticate(request: web.Request) -> None:
    header = request.headers.get("Authorization", "")
    key = header.removeprefix("Bearer ").strip() if header.startswith("Bearer ") else ""
    if not key or key == "invalid":
        raise Unauthenticated(key_given=bool(key))


def _plan(model: Model, options: Options, fault: Fault | None, asked: ChatRequest, entry: Entry) -> tuple[Plan, float]:
    """The plan of a chat answer and its speed in tokens per second (0 = as fast as possible)."""
    entry.prompt_tokens = count_prompt(asked.messages)
    if entry.prompt_tokens > model.context_tokens:
        raise ContextLength(model.context_tokens, entry.prompt_tokens)
    answers = tuple(compose(model, asked, options, index) for index in range(asked.choices))
    entry.content_tokens = answers[0].content_tokens
    speed = model.tokens_per_second if options.tps is None else options.tps
    first_token_seconds = (model.first_token_ms if options.ttft is None else options.ttft) / 1000
    longest = max(answer.total_tokens for answer in answers)
    plan = Plan(
        envelope=Envelope(entry.call, asked.model, model.slug, usage_null=asked.include_usage),
        answers=answers,
        prompt_tokens=entry.prompt_tokens,
        cached_tokens=options.cached or 0,
        chunk_tokens=options.chunk or model.chunk_tokens,
        first_token_seconds=first_token_seconds,
        whole_seconds=first_token_seconds + (longest / speed if speed else 0.0),
        include_usage=asked.include_usage,
        context_tokens=model.context_tokens,
        fault=fault,
        entry=entry,
    )
    return plan, speed
