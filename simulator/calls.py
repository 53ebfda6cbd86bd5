"""The calls: the providers' endpoints, from request to script to bill."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

from simulator import catalogue
from simulator.answer import compose
from simulator.anthropic_request import parse_messages
from simulator.anthropic_wire import ANTHROPIC
from simulator.bill import Bill, Entry
from simulator.catalogue import Model
from simulator.embeddings import embeddings_body
from simulator.errors import ApiError, ContextLength, UnknownModel
from simulator.faults import Fault, FaultBoard
from simulator.holds import Holds
from simulator.moderations import moderations_body
from simulator.openai_wire import OPENAI
from simulator.options import Options, parse_options, split_name
from simulator.pacing import Script, Track, Wheel
from simulator.prompt_cache import PromptCache
from simulator.request import ChatRequest, model_of, parse_body
from simulator.script import Plan, json_body, refused, streamed, whole
from simulator.tokens import count_prompt
from simulator.wire import Wire

ATTEMPT_HEADER = "X-Switchboard-Attempt"
OPTIONS_HEADER = "X-Simulator-Options"

# What becomes of a call: its script, and the seconds between two parts of its body.
Performance = tuple[Script, float]
# From body, model and the name that was asked for to the document and the tokens that were read.
Reading = Callable[[dict[str, Any], Model, str], tuple[dict[str, Any], int]]


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
    """The state of one server: its timer wheel, bill, prompt cache, fault rules and option rules."""

    def __init__(self) -> None:
        self.bill = Bill()
        self.board = FaultBoard()
        self.holds = Holds()
        self.prompt_cache = PromptCache()
        self.option_rules: list[tuple[str, re.Pattern[str], str]] = []
        self.started = time.monotonic()
        self._wheel: Wheel | None = None

    def chat(self, wire: Wire) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The endpoint that answers in that format."""
        return partial(self._serve, wire=wire, perform=self._chat)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, wire=OPENAI, perform=partial(self._read, answer=embeddings_body))

    async def moderations(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, wire=OPENAI, perform=partial(self._read, answer=moderations_body))

    async def count_tokens(self, request: web.Request) -> web.StreamResponse:
        """Anthropic's count of a prompt, which is not generation and stands on no bill."""
        try:
            ANTHROPIC.key(request.headers)
            asked = parse_messages(parse_body(await request.read()), counting=True)
            catalogue.find(split_name(asked.model)[0])
            return web.json_response({"input_tokens": _prompt_tokens(asked)})
        except ApiError as error:
            return web.json_response(ANTHROPIC.refusal(error), status=error.status)

    async def models(self, request: web.Request) -> web.StreamResponse:
        wire = wire_of(request)
        try:
            wire.key(request.headers)
            slug = request.match_info.get("slug")
            if slug is None:
                listed = wire.models(list(catalogue.MODELS.values()))
                return web.json_response(listed)
            return web.json_response(wire.card(catalogue.find(slug)))
        except ApiError as error:
            return web.json_response(wire.refusal(error), status=error.status)

    async def _serve(
        self, request: web.Request, *, wire: Wire, perform: Callable[[web.Request, Wire, bytes, Entry], Performance]
    ) -> web.StreamResponse:
        """Answers one call and writes its line in the bill, whatever becomes of it."""
        entry = self.bill.open(request.path, request.headers.get(ATTEMPT_HEADER))
        track: Track | None = None
        is_cut = False
        try:
            raw = await request.read()
            try:
                script, interval_seconds = perform(request, wire, raw, entry)
            except ApiError as error:
                script, interval_seconds = json_body(error.status, wire.refusal(error)), 0.0
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

    def _chat(self, request: web.Request, wire: Wire, raw: bytes, entry: Entry) -> Performance:
        key = wire.key(request.headers)
        body = parse_body(raw)
        requested = entry.model = model_of(body)
        model, options, fault = self._resolve(request, requested)
        if model.kind != "chat":
            raise UnknownModel(requested)
        entry.fault = fault.label if fault else None
        if (script := refused(fault, wire, model.context_tokens)) is not None:
            return script, 0.0
        asked = wire.request(body)
        if asked.stream:
            self.bill.streams(entry)
        plan, tokens_per_second = self._plan(wire, key, model, options, fault, asked, entry)
        if not asked.stream:
            return whole(plan), 0.0
        per_second = tokens_per_second * asked.choices
        interval_seconds = plan.chunk_tokens / per_second if per_second else 0.0
        return streamed(plan), 0.0 if plan.kind == "drip" else interval_seconds

    def _read(self, request: web.Request, wire: Wire, raw: bytes, entry: Entry, *, answer: Reading) -> Performance:
        """A call that is answered in one piece: what a model that does not chat makes of a text."""
        wire.key(request.headers)
        body = parse_body(raw)
        requested = entry.model = model_of(body)
        model, _, fault = self._resolve(request, requested)
        entry.fault = fault.label if fault else None
        if (script := refused(fault, wire, model.context_tokens)) is not None:
            return script, 0.0
        document, entry.prompt_tokens = answer(body, model, requested)
        entry.completed = True
        return json_body(200, document), 0.0

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

    def _plan(
        self,
        wire: Wire,
        key: str,
        model: Model,
        options: Options,
        fault: Fault | None,
        asked: ChatRequest,
        entry: Entry,
    ) -> tuple[Plan, float]:
        """The plan of a chat answer and its speed in tokens per second (0 = as fast as possible)."""
        entry.prompt_tokens = _prompt_tokens(asked)
        if entry.prompt_tokens > model.context_tokens:
            raise ContextLength(model.context_tokens, entry.prompt_tokens)
        answers = tuple(compose(model, asked, options, index) for index in range(asked.choices))
        entry.content_tokens = answers[0].content_tokens
        speed = model.tokens_per_second if options.tps is None else options.tps
        first_token_seconds = (model.first_token_ms if options.ttft is None else options.ttft) / 1000
        longest = max(answer.total_tokens for answer in answers)
        read, written = self.prompt_cache.use(key, model.slug, asked.blocks)
        entry.cached_tokens = min(read if options.cached is None else options.cached, entry.prompt_tokens)
        plan = Plan(
            wire=wire,
            writing=wire.writing(entry.call, asked, model),
            answers=answers,
            prompt_tokens=entry.prompt_tokens,
            cached_tokens=entry.cached_tokens,
            written_tokens=written,
            chunk_tokens=options.chunk or model.chunk_tokens,
            first_token_seconds=first_token_seconds,
            whole_seconds=first_token_seconds + (longest / speed if speed else 0.0),
            include_usage=asked.include_usage,
            fault=fault,
            entry=entry,
            limit=self.holds.limit(entry.model, options.hold),
        )
        return plan, speed


def wire_of(request: web.Request) -> Wire:
    """The format of a caller whose path does not tell: Anthropic's send their version."""
    return ANTHROPIC if request.headers.get("anthropic-version") else OPENAI


def _prompt_tokens(asked: ChatRequest) -> int:
    beginning = [{"role": "assistant", "content": asked.prefill}] if asked.prefill else []
    return count_prompt([*asked.messages, *beginning])
