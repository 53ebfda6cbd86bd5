"""Anthropic's wire format: bodies, stream events, errors."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson

from simulator.answer import Answer
from simulator.anthropic_request import parse_messages
from simulator.catalogue import CREATED_UNIX, Model
from simulator.deltas import REASONING, TOOL, Delta
from simulator.errors import ApiError, ContextLength, InvalidRequest, Unauthenticated, UnknownModel
from simulator.request import ChatRequest
from simulator.wire import Usage

_PROCESS = secrets.token_hex(6)
_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def error_body(message: str, kind: str) -> dict[str, Any]:
    """`{"type": "error", "error": {...}}` as Anthropic writes it."""
    return {"type": "error", "error": {"type": kind, "message": message}}


class AnthropicWire:
    """Implements `wire.Wire`."""

    def key(self, headers: Mapping[str, str]) -> str:
        key = headers.get("x-api-key", "").strip()
        if not key or key == "invalid":
            raise Unauthenticated(key_given=bool(key))
        if not headers.get("anthropic-version"):
            raise InvalidRequest("anthropic-version: header is required")
        return key

    def request(self, body: dict[str, Any]) -> ChatRequest:
        return parse_messages(body)

    def writing(self, call: int, asked: ChatRequest, model: Model) -> AnthropicWriting:
        return AnthropicWriting(call, asked.model)

    def refusal(self, error: ApiError) -> dict[str, Any]:
        return error_body(_said(error), _error_type(error.status))

    def failure(self, status: int) -> dict[str, Any]:
        return error_body(
            "Overloaded" if status == 529 else f"Simulated failure with status {status}.", _error_type(status)
        )

    def stream_error(self) -> dict[str, Any]:
        return error_body("Overloaded", "overloaded_error")

    def models(self, listed: Sequence[Model]) -> dict[str, Any]:
        cards = [self.card(model) for model in listed if model.kind == "chat"]
        ends = {"first_id": cards[0]["id"], "last_id": cards[-1]["id"]} if cards else {}
        return {"data": cards, "has_more": False, **ends}

    def card(self, model: Model) -> dict[str, Any]:
        created = datetime.fromtimestamp(CREATED_UNIX, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"type": "model", "id": model.slug, "display_name": model.name, "created_at": created}


ANTHROPIC = AnthropicWire()


def _error_type(status: int) -> str:
    return _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def _said(error: ApiError) -> str:
    if isinstance(error, ContextLength):
        return f"prompt is too long: {error.asked_tokens} tokens > {error.limit_tokens} maximum"
    if isinstance(error, Unauthenticated):
        return "invalid x-api-key" if error.key_given else "x-api-key header is required"
    if isinstance(error, UnknownModel):
        return f"model: {error.model}"
    return error.message


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))


class AnthropicWriting:
    """Implements `wire.Writing`: content blocks one after the other, each opened and closed."""

    __slots__ = ("_block", "_index", "_message")

    keep_alive = _event("ping")
    final = _event("message_stop")

    def __init__(self, call: int, model: str) -> None:
        self._message: dict[str, Any] = {
            "id": f"msg_{_PROCESS}{call:012x}",
            "type": "message",
            "role": "assistant",
            "model": model,
        }
        self._block: tuple[str, int] | None = None  # the kind of the block that is open, and the place of its tool call
        self._index = -1

    def opening(self, answers: Sequence[Answer], usage: Usage | None) -> bytes:
        message = {**self._message, "content": [], "stop_reason": None, "stop_sequence": None}
        if usage is not None:
            # What has been written by then; the sum comes with the stop reason.
            message["usage"] = {**_input_usage(usage), "output_tokens": 1}
        return _event("message_start", message=message)

    def before(self, delta: Delta) -> bytes:
        if self._block == (delta.kind, delta.place) or delta.kind == TOOL:
            return b""
        closed = self._close()
        self._block, self._index = (delta.kind, delta.place), self._index + 1
        empty = {"type": "thinking", "thinking": "", "signature": ""} if delta.kind == REASONING else _text("")
        opened = _event("content_block_start", index=self._index, content_block=empty)
        return closed + opened + (self.keep_alive if self._index == 0 else b"")

    def event(self, delta: Delta) -> bytes:
        if delta.named is not None:
            closed = self._close()
            self._block, self._index = (TOOL, delta.place), self._index + 1
            block = {"type": "tool_use", "id": _tool_id(delta.named.call_id), "name": delta.named.name, "input": {}}
            return closed + _event("content_block_start", index=self._index, content_block=block)
        if delta.kind == TOOL:
            said = {"type": "input_json_delta", "partial_json": delta.text}
        elif delta.kind == REASONING:
            said = {"type": "thinking_delta", "thinking": delta.text}
        else:
            said = {"type": "text_delta", "text": delta.text}
        return _event("content_block_delta", index=self._index, delta=said)

    def ending(self, reasons: Sequence[str], answers: Sequence[Answer], usage: Usage | None) -> bytes:
        told = {} if usage is None else {"usage": {"output_tokens": usage.completion}}
        return self._close() + _event("message_delta", delta=_stop(reasons[0], answers[0]), **told)

    def error_event(self) -> bytes:
        return _event("error", error=ANTHROPIC.stream_error()["error"])

    def whole(self, answers: Sequence[Answer], reasons: Sequence[str | None], usage: Usage | None) -> dict[str, Any]:
        answer = answers[0]
        content: list[dict[str, Any]] = []
        if answer.reasoning_tokens:
            thought = "".join(answer.reasoning_tokens)
            content.append({"type": "thinking", "thinking": thought, "signature": self._signature()})
        if answer.content_tokens:
            content.append(_text("".join(answer.content_tokens)))
        for call in answer.tool_calls:
            block = {"type": "tool_use", "id": _tool_id(call.call_id), "name": call.name}
            content.append({**block, "input": _arguments("".join(call.argument_tokens))})
        body = {**self._message, "content": content, **_stop(reasons[0], answer)}
        if usage is not None:
            body["usage"] = {**_input_usage(usage), "output_tokens": usage.completion}
        return body

    def _close(self) -> bytes:
        """The end of the block that is open."""
        if self._block is None:
            return b""
        closed = _event("content_block_stop", index=self._index)
        if self._block[0] == REASONING:
            signed = {"type": "signature_delta", "signature": self._signature()}
            closed = _event("content_block_delta", index=self._index, delta=signed) + closed
        self._block = None
        return closed

    def _signature(self) -> str:
        return base64.b64encode(blake2b(self._message["id"].encode(), digest_size=48).digest()).decode()


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _tool_id(call_id: str) -> str:
    return "toolu_" + call_id.removeprefix("call_")


def _arguments(text: str) -> Any:
    """The input as an object; what a limit on the output cut off cannot be one."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}


def _stop(reason: str | None, answer: Answer) -> dict[str, Any]:
    if reason == "stop" and answer.stopped_by is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": answer.stopped_by}
    return {"stop_reason": None if reason is None else _STOP_REASONS[reason], "stop_sequence": None}


def _input_usage(usage: Usage) -> dict[str, Any]:
    """Disjoint parts: what was read from the cache and written to it is not in `input_tokens`."""
    return {
        "input_tokens": usage.prompt - usage.cached - usage.written,
        "cache_creation_input_tokens": usage.written,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": usage.written, "ephemeral_1h_input_tokens": 0},
        "service_tier": "standard",
    }
