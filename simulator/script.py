"""Turns an answer and its fault into a script: the very bytes, pauses and accidents the caller will meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import orjson

from simulator import wire
from simulator.answer import Answer
from simulator.bill import Entry
from simulator.errors import ContextLength, error_body
from simulator.faults import Fault
from simulator.pacing import Head, Pause, Reset, Script, Silence

_STRIKE_AT_TOKEN = frozenset({"die", "silence", "malformed", "error_event", "no_finish", "content_filter"})
_NEXT_KEEPALIVE = b": keep-alive\n\n"
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}
_GATEWAY_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"
_STREAM_ERROR = error_body(
    "The server had an error while processing your request. Sorry about that!",
    "server_error",
    None,
    "server_error",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a script needs to know. The entry is written as the parts leave."""

    envelope: wire.Envelope
    answers: tuple[Answer, ...]
    prompt_tokens: int
    cached_tokens: int
    chunk_tokens: int
    first_token_seconds: float
    whole_seconds: float
    include_usage: bool
    context_tokens: int
    fault: Fault | None
    entry: Entry

    @property
    def kind(self) -> str:
        return self.fault.kind if self.fault else ""

    @property
    def total_tokens(self) -> int:
        return sum(answer.total_tokens for answer in self.answers)

    def usage(self) -> wire.Usage | None:
        """The usage to report, None where the fault swallows it."""
        if self.kind == "no_usage":
            return None
        sent, thought = self.entry.tokens_sent, self.entry.reasoning_sent
        return wire.Usage(self.prompt_tokens, sent, thought, min(self.cached_tokens, self.prompt_tokens))

    def strike_token(self) -> int | None:
        """After how many tokens the fault strikes; None for faults that do not wait for a token."""
        if self.fault is None or self.kind not in _STRIKE_AT_TOKEN:
            return None
        return self.fault.token(self.total_tokens, otherwise=self.total_tokens if self.kind == "no_finish" else None)


def refused(fault: Fault | None, context_tokens: int = 0) -> Script | None:
    """The script of a fault that shows before the answer begins, or None when there is no such fault."""
    if fault is None:
        return None
    if fault.kind == "reset":
        return iter((Reset(),))
    if fault.kind == "hang":
        return iter((Silence(),))
    if fault.kind == "context_length":
        return json_body(400, ContextLength(context_tokens, context_tokens + 1).body())
    if fault.status == 502:
        return _plain(502, "text/html", _GATEWAY_PAGE, {})
    if fault.status:
        kind = _ERROR_TYPES.get(fault.status, "server_error")
        code = "rate_limit_exceeded" if fault.status == 429 else None
        body = error_body(f"Simulated failure with status {fault.status}.", kind, None, code)
        headers = wire.retry_headers(fault.retry_after_seconds, fault.retry_date_seconds)
        return json_body(fault.status, body, headers)
    return None


def json_body(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Script:
    """A plain JSON response."""
    return _plain(status, "application/json", orjson.dumps(body), headers or {})


def _plain(status: int, content_type: str, payload: bytes, headers: dict[str, str]) -> Script:
    return iter((wire.head(status, content_type, length_bytes=len(payload), extra=headers), payload))


def streamed(plan: Plan) -> Script:
    """The answer as server-sent events."""
    yield wire.head(200, "text/event-stream; charset=utf-8")
    if plan.fault and plan.kind == "keepalive":
        yield from _keep_alive(plan.fault, _NEXT_KEEPALIVE)
    yield Pause(plan.first_token_seconds)
    if plan.fault and plan.kind == "slow":
        yield Pause(plan.fault.at or 0.0)
    if plan.fault and plan.kind == "drip":
        yield from _dripped(plan.fault, _events(plan))
    else:
        yield from _events(plan)


def _events(plan: Plan) -> Script:
    envelope, entry = plan.envelope, plan.entry
    opening = b"".join(
        envelope.delta(index, {"role": "assistant", "content": None if answer.tool_calls else "", "refusal": None})
        for index, answer in enumerate(plan.answers)
    )
    strike = plan.strike_token()
    for delta in _interleaved(plan):
        if strike is not None and entry.tokens_sent + delta.tokens > strike:
            before, delta = delta.split(strike - entry.tokens_sent)
            if before.tokens:
                yield opening + before.send(envelope, entry)
                opening = b""
            strike = None
            if plan.kind == "malformed":
                # The bill counts it: a caller who skips it is left with a text that is not the bill's.
                event = delta.send(envelope, entry)
                yield opening + event[: len(event) // 2] + b"\n\n"
                opening = b""
                continue
            if plan.kind != "content_filter":
                yield from _accident(plan)
                return
            yield from _ending(plan, opening, "content_filter")
            return
        yield opening + delta.send(envelope, entry) if opening else delta.send(envelope, entry)
        opening = b""
    if strike is not None and plan.kind not in ("content_filter", "malformed"):
        yield from _accident(plan)
        return
    yield from _ending(plan, opening, "content_filter" if plan.kind == "content_filter" else None)


def _accident(plan: Plan) -> Script:
    if plan.kind == "die":
        yield Reset()
    elif plan.kind == "silence":
        yield Silence()
    elif plan.kind == "error_event":
        yield b"data: " + orjson.dumps(_STREAM_ERROR) + b"\n\n"


def _ending(plan: Plan, opening: bytes, reason: str | None) -> Script:
    ending = opening
    for index, answer in enumerate(plan.answers):
        ending += plan.envelope.delta(index, {}, reason or answer.finish_reason)
    if plan.include_usage and (usage := plan.usage()) is not None:
        ending += plan.envelope.usage_chunk(usage)
    plan.entry.completed = True
    yield ending if plan.kind == "no_done" else ending + wire.DONE


@dataclass(slots=True)
class _Delta:
    """One event's worth of tokens. `call` is the place of a tool call, `named` its announcement."""

    index: int
    key: str
    pieces: list[str]
    call: int = 0
    named: dict[str, Any] | None = None

    @property
    def tokens(self) -> int:
        return len(self.pieces)

    def split(self, at: int) -> tuple[_Delta, _Delta]:
        return (
            _Delta(self.index, self.key, self.pieces[:at], self.call, self.named),
            _Delta(self.index, self.key, self.pieces[at:], self.call, None if at else self.named),
        )

    def event(self, envelope: wire.Envelope) -> bytes:
        text = "".join(self.pieces)
        if self.key != "tool":
            return envelope.text_delta(self.index, self.key, text)
        if self.named is not None:
            return envelope.delta(self.index, {"tool_calls": [self.named]})
        return envelope.delta(self.index, {"tool_calls": [{"index": self.call, "function": {"arguments": text}}]})

    def send(self, envelope: wire.Envelope, entry: Entry) -> bytes:
        """The event, counted in the bill."""
        entry.sent(len(self.pieces))
        if self.key == "reasoning_content":
            entry.reasoning_sent += len(self.pieces)
        elif self.key == "content" and self.index == 0:
            entry.content_sent += len(self.pieces)
        return self.event(envelope)


def _interleaved(plan: Plan) -> Iterator[_Delta]:
    """Deltas of all choices; several choices take turns, as they do on the real wire."""
    lanes = [_deltas(index, answer, plan.chunk_tokens) for index, answer in enumerate(plan.answers)]
    if len(lanes) == 1:
        return lanes[0]
    return (delta for delta in chain.from_iterable(zip_longest(*lanes)) if delta is not None)


def _deltas(index: int, answer: Answer, chunk_tokens: int) -> Iterator[_Delta]:
    for key, tokens in (("reasoning_content", answer.reasoning_tokens), ("content", answer.content_tokens)):
        for start in range(0, len(tokens), chunk_tokens):
            yield _Delta(index, key, tokens[start : start + chunk_tokens])
    for place, call in enumerate(answer.tool_calls):
        named = {
            "index": place,
            "id": call.call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }
        yield _Delta(index, "tool", [], place, named)
        for start in range(0, len(call.argument_tokens), chunk_tokens):
            yield _Delta(index, "tool", call.argument_tokens[start : start + chunk_tokens], place)


def whole(plan: Plan) -> Script:
    """The answer as one JSON body, after the time its generation takes."""
    fault, entry = plan.fault, plan.entry
    if fault and plan.kind == "keepalive":
        yield wire.head(200, "application/json")
        # White space before a JSON text is how a provider keeps such a connection alive.
        yield from _keep_alive(fault, b"\n")
    yield Pause(plan.whole_seconds + (fault.at or 0.0 if fault and plan.kind == "slow" else 0.0))
    if plan.kind == "error_event":
        yield from json_body(200, _STREAM_ERROR)
        return
    strike = plan.strike_token() if plan.kind in ("die", "silence") else None
    filtered = plan.strike_token() if plan.kind == "content_filter" else None
    _count_whole(plan, strike if filtered is None else filtered)
    choices = [_choice(plan, index, answer, filtered) for index, answer in enumerate(plan.answers)]
    payload = orjson.dumps(plan.envelope.completion(choices, plan.usage()))
    if plan.kind == "malformed":
        payload = payload[: len(payload) // 2]
    yield wire.head(200, "application/json", length_bytes=len(payload))
    if strike is not None:
        yield payload[: min(len(payload) * strike // max(1, plan.total_tokens), len(payload) - 1)]
        yield from _accident(plan)
        return
    entry.completed = plan.kind not in ("malformed", "no_finish")
    if fault and plan.kind == "drip":
        yield from _dripped(fault, iter((payload,)))
    else:
        yield payload


def _count_whole(plan: Plan, only_tokens: int | None) -> None:
    """Writes the tokens of a whole body, or of its beginning, into the bill."""
    entry, first = plan.entry, plan.answers[0]
    sent = plan.total_tokens if only_tokens is None else only_tokens
    thoughts = sum(len(answer.reasoning_tokens) for answer in plan.answers)
    entry.sent(sent)
    entry.reasoning_sent = min(thoughts, sent)
    entry.content_sent = max(0, min(len(first.content_tokens), sent - len(first.reasoning_tokens)))


def _choice(plan: Plan, index: int, answer: Answer, filtered: int | None) -> dict[str, Any]:
    content = answer.content_tokens
    if filtered is not None:
        content = content[: max(0, filtered - len(answer.reasoning_tokens))]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(content),
        "refusal": None,
        "annotations": [],
    }
    if answer.reasoning_tokens:
        message["reasoning_content"] = "".join(answer.reasoning_tokens)
    if answer.tool_calls:
        message["content"] = None
        message["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.argument_tokens)},
            }
            for call in answer.tool_calls
        ]
    reason = None if plan.kind == "no_finish" else "content_filter" if filtered is not None else answer.finish_reason
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}


def _keep_alive(fault: Fault, beat: bytes) -> Script:
    while True:
        yield beat
        yield Pause(fault.at or 1.0)


def _dripped(fault: Fault, parts: Script) -> Script:
    seconds = 1.0 / (fault.at or 1.0)
    for part in parts:
        if not isinstance(part, bytes):
            yield part
            continue
        for position in range(len(part)):
            yield part[position : position + 1]
            yield Pause(seconds)


__all__ = ["Head", "Plan", "json_body", "refused", "streamed", "whole"]
