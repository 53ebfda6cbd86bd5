"""OpenAI's wire format: bodies, stream chunks, errors."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from time import time
from typing import Any

import orjson

from simulator.answer import Answer, ToolCall
from simulator.catalogue import CREATED_UNIX, Model
from simulator.deltas import REASONING, TOOL, Delta
from simulator.errors import ApiError, Unauthenticated
from simulator.openai_request import parse_chat
from simulator.request import ChatRequest
from simulator.wire import Usage

# Ids differ between runs; everything a model says does not.
_PROCESS = secrets.token_hex(6)
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}


@lru_cache(maxsize=256)
def fingerprint(slug: str) -> str:
    """`system_fingerprint` of a model."""
    return "fp_" + blake2b(slug.encode(), digest_size=5).hexdigest()


def error_body(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """`{"error": {...}}` as OpenAI writes it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


class OpenAIWire:
    """Implements `wire.Wire`."""

    def key(self, headers: Mapping[str, str]) -> str:
        header = headers.get("Authorization", "")
        key = header.removeprefix("Bearer ").strip() if header.startswith("Bearer ") else ""
        if not key or key == "invalid":
            raise Unauthenticated(key_given=bool(key))
        return key

    def request(self, body: dict[str, Any]) -> ChatRequest:
        return parse_chat(body)

    def writing(self, call: int, asked: ChatRequest, model: Model) -> OpenAIWriting:
        return OpenAIWriting(call, asked.model, model.slug, usage_null=asked.include_usage)

    def refusal(self, error: ApiError) -> dict[str, Any]:
        return error_body(error.message, error.kind, error.param, error.code)

    def failure(self, status: int) -> dict[str, Any]:
        kind = _ERROR_TYPES.get(status, "server_error")
        code = "rate_limit_exceeded" if status == 429 else None
        return error_body(f"Simulated failure with status {status}.", kind, None, code)

    def stream_error(self) -> dict[str, Any]:
        said = "The server had an error while processing your request. Sorry about that!"
        return error_body(said, "server_error", None, "server_error")

    def models(self, listed: Sequence[Model]) -> dict[str, Any]:
        return {"object": "list", "data": [self.card(model) for model in listed]}

    def card(self, model: Model) -> dict[str, Any]:
        """OpenAI's four fields and one of ours."""
        owner = {"object": "model", "created": CREATED_UNIX, "owned_by": "simulator"}
        return {"id": model.slug, **owner, "switchboard": model.facts()}


OPENAI = OpenAIWire()


class OpenAIWriting:
    """Implements `wire.Writing`. All parts of one answer share id, time and model."""

    __slots__ = ("_after", "_before", "_shared", "_usage_null", "completion_id")

    keep_alive = b": keep-alive\n\n"
    final = b"data: [DONE]\n\n"

    def __init__(self, call: int, model: str, slug: str, *, usage_null: bool = False) -> None:
        self.completion_id = f"chatcmpl-{_PROCESS}{call:012x}"
        self._shared = {
            "id": self.completion_id,
            "created": int(time()),
            "model": model,
            "system_fingerprint": fingerprint(slug),
        }
        # OpenAI puts `"usage": null` on every chunk once usage was asked for.
        self._usage_null: dict[str, Any] = {"usage": None} if usage_null else {}
        self._before: dict[tuple[int, str], bytes] = {}
        self._after = b'},"logprobs":null,"finish_reason":null}]' + (b',"usage":null' if usage_null else b"") + b"}\n\n"

    def opening(self, answers: Sequence[Answer], usage: Usage | None) -> bytes:
        return b"".join(
            self._delta(index, {"role": "assistant", "content": None if answer.tool_calls else "", "refusal": None})
            for index, answer in enumerate(answers)
        )

    def before(self, delta: Delta) -> bytes:
        return b""

    def event(self, delta: Delta) -> bytes:
        if delta.kind != TOOL:
            return self._text_delta(
                delta.index, "reasoning_content" if delta.kind == REASONING else "content", delta.text
            )
        if delta.named is not None:
            return self._delta(delta.index, {"tool_calls": [{"index": delta.place, **_tool_call(delta.named, "")}]})
        fragment = {"index": delta.place, "function": {"arguments": delta.text}}
        return self._delta(delta.index, {"tool_calls": [fragment]})

    def ending(self, reasons: Sequence[str], answers: Sequence[Answer], usage: Usage | None) -> bytes:
        ending = b"".join(self._delta(index, {}, reason) for index, reason in enumerate(reasons))
        # With `include_usage`, an extra chunk comes after the last choice.
        return ending if usage is None else ending + self._chunk([], usage=_usage(usage))

    def error_event(self) -> bytes:
        return b"data: " + orjson.dumps(OPENAI.stream_error()) + b"\n\n"

    def whole(self, answers: Sequence[Answer], reasons: Sequence[str | None], usage: Usage | None) -> dict[str, Any]:
        choices = [
            {"index": index, "message": _message(answer), "logprobs": None, "finish_reason": reason}
            for index, (answer, reason) in enumerate(zip(answers, reasons, strict=True))
        ]
        body = {**self._shared, "object": "chat.completion", "choices": choices, "service_tier": "default"}
        return body if usage is None else {**body, "usage": _usage(usage)}

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        body = {
            **self._shared,
            "object": "chat.completion.chunk",
            "choices": choices,
            **self._usage_null,
            **more,
        }
        return b"data: " + orjson.dumps(body) + b"\n\n"

    def _delta(self, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        """Any one event of a choice."""
        return self._chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}])

    def _text_delta(self, index: int, key: str, text: str) -> bytes:
        """The common event, `{key: text}`, from parts encoded once per answer."""
        before = self._before.get((index, key))
        if before is None:
            shared = orjson.dumps({**self._shared, "object": "chat.completion.chunk"})[:-1]
            before = b'data: %b,"choices":[{"index":%d,"delta":{"%b":' % (shared, index, key.encode())
            self._before[index, key] = before
        return before + orjson.dumps(text) + self._after


def _tool_call(call: ToolCall, arguments: str) -> dict[str, Any]:
    return {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _message(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(answer.content_tokens),
        "refusal": None,
        "annotations": [],
    }
    if answer.reasoning_tokens:
        message["reasoning_content"] = "".join(answer.reasoning_tokens)
    if answer.tool_calls:
        message["content"] = None
        message["tool_calls"] = [_tool_call(call, "".join(call.argument_tokens)) for call in answer.tool_calls]
    return message


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
