"""OpenAI's wire shapes: heads, bodies, stream chunks."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from hashlib import blake2b
from http import HTTPStatus
from time import time
from typing import Any

import orjson

from simulator.pacing import Head

DONE = b"data: [DONE]\n\n"

# Ids differ between runs; everything a model says does not.
_PROCESS = secrets.token_hex(6)


@lru_cache(maxsize=256)
def fingerprint(slug: str) -> str:
    """`system_fingerprint` of a model."""
    return "fp_" + blake2b(slug.encode(), digest_size=5).hexdigest()


def head(
    status: int, content_type: str, *, length_bytes: int | None = None, extra: dict[str, str] | None = None
) -> Head:
    """Status line and headers; chunked when no length is given. A caller may always keep the connection."""
    lines = [f"HTTP/1.1 {status} {_reason(status)}", f"Content-Type: {content_type}", "Server: simulator"]
    if length_bytes is None:
        lines += ["Transfer-Encoding: chunked", "Cache-Control: no-cache"]
    else:
        lines.append(f"Content-Length: {length_bytes}")
    lines += [f"{name}: {value}" for name, value in (extra or {}).items()]
    return Head(status, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), length_bytes is None)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded"


def retry_headers(after_seconds: float | None, date_seconds: float | None) -> dict[str, str]:
    """`Retry-After` in seconds or, the other form the standard allows, as a date."""
    if date_seconds is not None:
        return {"Retry-After": formatdate(time() + date_seconds, usegmt=True)}
    if after_seconds is not None:
        return {"Retry-After": format(after_seconds, "g")}
    return {}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call; `completion` includes the reasoning."""

    prompt: int
    completion: int
    reasoning: int = 0
    cached: int = 0

    def body(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


class Envelope:
    """What all parts of one answer share: id, time, model."""

    __slots__ = ("_after", "_before", "_shared", "_usage_null", "completion_id")

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

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        body = {
            **self._shared,
            "object": "chat.completion.chunk",
            "choices": choices,
            **self._usage_null,
            **more,
        }
        return b"data: " + orjson.dumps(body) + b"\n\n"

    def delta(self, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        """Any one event of a choice."""
        return self._chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}])

    def text_delta(self, index: int, key: str, text: str) -> bytes:
        """The common event, `{key: text}`, from parts encoded once per answer."""
        before = self._before.get((index, key))
        if before is None:
            shared = orjson.dumps({**self._shared, "object": "chat.completion.chunk"})[:-1]
            before = b'data: %b,"choices":[{"index":%d,"delta":{"%b":' % (shared, index, key.encode())
            self._before[index, key] = before
        return before + orjson.dumps(text) + self._after

    def usage_chunk(self, usage: Usage) -> bytes:
        """The extra chunk after the last choice."""
        return self._chunk([], usage=usage.body())

    def completion(self, choices: list[dict[str, Any]], usage: Usage | None) -> dict[str, Any]:
        """The whole answer of a call that does not stream."""
        body = {**self._shared, "object": "chat.completion", "choices": choices, "service_tier": "default"}
        return body if usage is None else {**body, "usage": usage.body()}
