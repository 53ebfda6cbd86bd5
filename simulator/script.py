"""Turns an answer and its fault into a script: the very bytes, pauses and accidents the caller will meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import orjson

from simulator.answer import Answer
from simulator.bill import Entry
from simulator.deltas import CONTENT, REASONING, Delta, interleaved
from simulator.errors import ContextLength
from simulator.faults import Fault
from simulator.heads import head, retry_headers
from simulator.holds import POLL_SECONDS
from simulator.pacing import Head, Pause, Reset, Script, Silence
from simulator.wire import Usage, Wire, Writing

_STRIKE_AT_TOKEN = frozenset({"die", "silence", "malformed", "error_event", "no_finish", "content_filter"})
_GATEWAY_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a script needs to know. The entry is written as the parts leave."""

    wire: Wire
    writing: Writing
    answers: tuple[Answer, ...]
    prompt_tokens: int
    cached_tokens: int
    written_tokens: int
    chunk_tokens: int
    first_token_seconds: float
    whole_seconds: float
    include_usage: bool
    fault: Fault | None
    entry: Entry
    limit: Callable[[], float] | None = None  # how many tokens may be sent, where the answer is held

    @property
    def kind(self) -> str:
        return self.fault.kind if self.fault else ""

    @property
    def total_tokens(self) -> int:
        return sum(answer.total_tokens for answer in self.answers)

    def usage(self) -> Usage | None:
        """The usage to report, None where the fault swallows it."""
        if self.kind == "no_usage":
            return None
        written = min(self.written_tokens, self.prompt_tokens - self.cached_tokens)
        return Usage(self.prompt_tokens, self.entry.tokens_sent, self.entry.reasoning_sent, self.cached_tokens, written)

    def strike_token(self) -> int | None:
        """After how many tokens the fault strikes; None for faults that do not wait for a token."""
        if self.fault is None or self.kind not in _STRIKE_AT_TOKEN:
            return None
        return self.fault.token(self.total_tokens, otherwise=self.total_tokens if self.kind == "no_finish" else None)

    def send(self, delta: Delta) -> bytes:
        """One event, counted in the bill."""
        self.entry.sent(delta.tokens)
        if delta.kind == REASONING:
            self.entry.reasoning_sent += delta.tokens
        elif delta.kind == CONTENT and delta.index == 0:
            self.entry.content_sent += delta.tokens
        return self.writing.event(delta)


def refused(fault: Fault | None, wire: Wire, context_tokens: int = 0) -> Script | None:
    """The script of a fault that shows before the answer begins, or None when there is no such fault."""
    if fault is None:
        return None
    if fault.kind == "reset":
        return iter((Reset(),))
    if fault.kind == "hang":
        return iter((Silence(),))
    if fault.kind == "context_length":
        return json_body(400, wire.refusal(ContextLength(context_tokens, context_tokens + 1)))
    if fault.status == 502:
        return _plain(502, "text/html", _GATEWAY_PAGE, {})
    if fault.status:
        headers = retry_headers(fault.retry_after_seconds, fault.retry_date_seconds)
        return json_body(fault.status, wire.failure(fault.status), headers)
    return None


def json_body(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Script:
    """A plain JSON response."""
    return _plain(status, "application/json", orjson.dumps(body), headers or {})


def _plain(status: int, content_type: str, payload: bytes, headers: dict[str, str]) -> Script:
    return iter((head(status, content_type, length_bytes=len(payload), extra=headers), payload))


def streamed(plan: Plan) -> Script:
    """The answer as server-sent events."""
    yield head(200, "text/event-stream; charset=utf-8")
    if plan.fault and plan.kind == "keepalive":
        yield from _keep_alive(plan.fault, plan.writing.keep_alive)
    yield Pause(plan.first_token_seconds)
    if plan.fault and plan.kind == "slow":
        yield Pause(plan.fault.at or 0.0)
    if plan.fault and plan.kind == "drip":
        yield from _dripped(plan.fault, _events(plan))
    else:
        yield from _events(plan)


def _events(plan: Plan) -> Script:
    writing, entry = plan.writing, plan.entry
    opening = writing.opening(plan.answers, plan.usage())
    strike = plan.strike_token()
    for delta in interleaved(plan.answers, plan.chunk_tokens):
        if strike is not None and entry.tokens_sent + delta.tokens > strike:
            before, delta = delta.split(strike - entry.tokens_sent)
            if before.tokens:
                yield opening + writing.before(before) + plan.send(before)
                opening = b""
            strike = None
            if plan.kind == "malformed":
                # The bill counts it: a caller who skips it is left with a text that is not the bill's.
                opening += writing.before(delta)
                event = plan.send(delta)
                yield opening + event[: len(event) // 2] + b"\n\n"
                opening = b""
                continue
            if plan.kind != "content_filter":
                yield from _accident(plan)
                return
            yield from _ending(plan, opening, "content_filter")
            return
        if plan.limit is not None:
            yield from _held(plan.limit, entry.tokens_sent + delta.tokens)
        yield opening + writing.before(delta) + plan.send(delta)
        opening = b""
    if plan.limit is not None:
        yield from _held(plan.limit, inf)
    if strike is not None and plan.kind not in ("content_filter", "malformed"):
        yield from _accident(plan)
        return
    yield from _ending(plan, opening, "content_filter" if plan.kind == "content_filter" else None)


def _held(limit: Callable[[], float], tokens: float) -> Script:
    """Wait until that many tokens may have been sent."""
    while limit() < tokens:
        yield Pause(POLL_SECONDS)


def _accident(plan: Plan) -> Script:
    if plan.kind == "die":
        yield Reset()
    elif plan.kind == "silence":
        yield Silence()
    elif plan.kind == "error_event":
        yield plan.writing.error_event()


def _ending(plan: Plan, opening: bytes, reason: str | None) -> Script:
    reasons = [reason or answer.finish_reason for answer in plan.answers]
    ending = opening + plan.writing.ending(reasons, plan.answers, plan.usage() if plan.include_usage else None)
    plan.entry.completed = True
    yield ending if plan.kind == "no_done" else ending + plan.writing.final


def whole(plan: Plan) -> Script:
    """The answer as one JSON body, after the time its generation takes."""
    fault, entry = plan.fault, plan.entry
    if fault and plan.kind == "keepalive":
        yield head(200, "application/json")
        # White space before a JSON text is how a provider keeps such a connection alive.
        yield from _keep_alive(fault, b"\n")
    yield Pause(plan.whole_seconds + (fault.at or 0.0 if fault and plan.kind == "slow" else 0.0))
    if plan.kind == "error_event":
        yield from json_body(200, plan.wire.stream_error())
        return
    strike = plan.strike_token() if plan.kind in ("die", "silence") else None
    filtered = plan.strike_token() if plan.kind == "content_filter" else None
    _count_whole(plan, strike if filtered is None else filtered)
    payload = _whole_payload(plan, filtered)
    if plan.kind == "malformed":
        payload = payload[: len(payload) // 2]
    yield head(200, "application/json", length_bytes=len(payload))
    if strike is not None:
        yield payload[: min(len(payload) * strike // max(1, plan.total_tokens), len(payload) - 1)]
        yield from _accident(plan)
        return
    entry.completed = plan.kind not in ("malformed", "no_finish")
    if fault and plan.kind == "drip":
        yield from _dripped(fault, iter((payload,)))
    else:
        yield payload


def _whole_payload(plan: Plan, filtered: int | None) -> bytes:
    answers, reasons = list(plan.answers), [answer.finish_reason for answer in plan.answers]
    if filtered is not None:
        answers = [
            replace(one, content_tokens=one.content_tokens[: max(0, filtered - len(one.reasoning_tokens))])
            for one in answers
        ]
        reasons = ["content_filter"] * len(answers)
    said: list[str | None] = [None] * len(answers) if plan.kind == "no_finish" else [*reasons]
    return orjson.dumps(plan.writing.whole(answers, said, plan.usage()))


def _count_whole(plan: Plan, only_tokens: int | None) -> None:
    """Writes the tokens of a whole body, or of its beginning, into the bill."""
    entry, first = plan.entry, plan.answers[0]
    sent = plan.total_tokens if only_tokens is None else only_tokens
    thoughts = sum(len(answer.reasoning_tokens) for answer in plan.answers)
    entry.sent(sent)
    entry.reasoning_sent = min(thoughts, sent)
    entry.content_sent = max(0, min(len(first.content_tokens), sent - len(first.reasoning_tokens)))


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
