"""Answers in the form of Anthropic's messages."""

from typing import Any

import orjson

from apps.problems import Problem
from apps.routing.contracts import (
    Chunk,
    Finished,
    ReasoningDelta,
    Restarted,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    Usage,
)
from apps.routing.errors import StreamBroken
from apps.routing.wire import errors, usage
from apps.routing.wire.asked import Asked

_STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_TEXT, _THINKING = "text", "thinking"
# The common event, up to its text.
_DELTAS = {
    kind: (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%%d,'
        b'"delta":{"type":"%b_delta","%b":' % (kind.encode(), kind.encode())
    )
    for kind in (_TEXT, _THINKING)
}


class Writer:
    """One message. It collects what it writes, so that `document` can tell it at once.

    `call_id` goes into the message's id, `model` is what the answer names instead of what was asked for; Anthropic's
    messages have no date, so `created` is not told. Where no stream is asked for, `begin`, `chunk` and `end` write
    nothing.

    Blocks come one after the other: what arrives while a tool's input is awaited waits for it.
    """

    keep_alive = b'event: ping\ndata: {"type": "ping"}\n\n'

    def __init__(self, asked: Asked, *, call_id: str, created: int = 0, model: str | None = None) -> None:
        self._stream = asked.stream
        self._stops = asked.prompt.parameters.get("stop") or ()
        self._call_id = call_id
        self._message = {"id": f"msg_{call_id}", "type": "message", "role": "assistant", "model": model or asked.model}
        self._reset()

    def _reset(self) -> None:
        self._content: list[dict[str, Any]] = []
        self._open: str | None = None  # the kind of the block that is open, or the id of its call
        self._calling = False
        self._pieces: list[str] = []
        self._waiting: list[Chunk] = []
        self._stop: dict[str, Any] = {"stop_reason": None, "stop_sequence": None}
        self._usage: Usage | None = None

    def begin(self) -> bytes:
        """The message without its content. What it costs is told with its end."""
        message = {**self._message, "content": [], **self._stop, "usage": usage.anthropic(Usage(0, 0))}
        return self._event("message_start", message=message)

    def chunk(self, index: int, chunk: Chunk) -> bytes:
        """What there is to say of the chunk. Raises `StreamBroken` where it takes back what was written."""
        if self._calling and not self._ends_wait(chunk):
            self._waiting.append(chunk)
            return b""
        match chunk:
            case TextDelta(text):
                return self._said(_TEXT, text)
            case ReasoningDelta(text):
                return self._said(_THINKING, text)
            case ToolCallStarted(call_id, name):
                return self._called(call_id, name)
            case ToolCallCompleted():
                return self._completed(chunk)
            case Finished():
                return self._finished(chunk)
            case Restarted():
                if self._stream:
                    raise StreamBroken
                self._reset()
        return b""

    def end(self) -> bytes:
        """The end of the stream."""
        return self._event("message_stop")

    def failed(self, problem: Problem) -> bytes:
        """The problem as the stream's last event. Nothing may follow."""
        return self._event("error", **errors.anthropic(problem, f"req_{self._call_id}"))

    def document(self) -> dict[str, Any]:
        """The whole answer, once it has finished."""
        return {
            **self._message,
            "content": self._content,
            **self._stop,
            "usage": usage.anthropic(self._usage or Usage(0, 0)),
        }

    def _ends_wait(self, chunk: Chunk) -> bool:
        """Whether the chunk ends the wait for the input of the call that is open."""
        if isinstance(chunk, ToolCallCompleted):
            return chunk.call_id == self._open
        return isinstance(chunk, Finished | Restarted)

    def _said(self, kind: str, text: str) -> bytes:
        opened = b""
        if self._open != kind:
            opened = self._close() + self._start(
                kind, {"type": _TEXT, "text": ""} if kind == _TEXT else {"type": kind, "thinking": "", "signature": ""}
            )
        self._pieces.append(text)
        if not self._stream:
            return b""
        return b"%b%b%b}}\n\n" % (opened, _DELTAS[kind] % (len(self._content) - 1), orjson.dumps(text))

    def _called(self, call_id: str, name: str) -> bytes:
        closed = self._close()
        self._calling = True
        return closed + self._start(call_id, {"type": "tool_use", "id": call_id, "name": name, "input": {}})

    def _completed(self, chunk: ToolCallCompleted) -> bytes:
        opened = b"" if self._calling else self._called(chunk.call_id, chunk.name)
        arguments = _arguments(chunk.arguments)
        self._content[-1]["input"] = arguments
        self._calling = False
        delta = {"type": "input_json_delta", "partial_json": orjson.dumps(arguments).decode()}
        said = self._event("content_block_delta", index=len(self._content) - 1, delta=delta)
        return opened + said + self._close() + self._waited()

    def _waited(self) -> bytes:
        """What came while a call was open; it may open the next."""
        waiting, self._waiting = self._waiting, []
        return b"".join(self.chunk(0, chunk) for chunk in waiting)

    def _finished(self, chunk: Finished) -> bytes:
        said = b""
        while self._calling:
            # Its input never came.
            self._calling = False
            said += self._close() + self._waited()
        said += self._close()
        self._usage = chunk.usage
        reason = _STOP_REASONS.get(chunk.finish_reason, "end_turn")
        if reason == "end_turn" and any(block["type"] == "tool_use" for block in self._content):
            # OpenAI says “stop” of a call that was demanded.
            reason = "tool_use"
        stop = chunk.stop_sequence if chunk.stop_sequence in self._stops else None
        if reason == "end_turn" and stop is not None:
            reason = "stop_sequence"
        self._stop = {"stop_reason": reason, "stop_sequence": stop if reason == "stop_sequence" else None}
        return said + self._event("message_delta", delta=self._stop, usage=usage.anthropic_end(chunk.usage))

    def _start(self, name: str, block: dict[str, Any]) -> bytes:
        self._content.append(block)
        self._open = name
        return self._event("content_block_start", index=len(self._content) - 1, content_block=block)

    def _close(self) -> bytes:
        """The end of the block that is open."""
        if self._open is None:
            return b""
        if self._open in (_TEXT, _THINKING) and self._pieces:
            self._content[-1][self._open] = "".join(self._pieces)
            self._pieces = []
        self._open = None
        return self._event("content_block_stop", index=len(self._content) - 1)

    def _event(self, kind: str, **more: Any) -> bytes:
        if not self._stream:
            return b""
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **more}))


def _arguments(text: str) -> dict[str, Any]:
    """The input as an object. What was cut off, or is none, is kept as the text that it is."""
    try:
        arguments = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return {"arguments": text}
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}
