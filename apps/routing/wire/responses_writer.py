"""Answers in the form of OpenAI's responses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
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
from apps.routing.wire import usage
from apps.routing.wire.asked import Asked

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_MESSAGE, _REASONING = "message", "reasoning"
_DELTA = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":'


@dataclass
class _Item:
    """An item of the output and the pieces of its text so far."""

    index: int
    item: dict[str, Any]
    pieces: list[str] = field(default_factory=list)
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)

    @cached_property
    def place(self) -> bytes:
        """Where a delta of its text belongs, up to that text."""
        place = {"item_id": self.item["id"], "output_index": self.index, "content_index": 0, "logprobs": []}
        return orjson.dumps(place)[1:-1] + b',"delta":'


class Writer:
    """One response. It collects what it writes, so that `document` can tell it at once.

    `call_id` goes into the ids, `created` is in Unix seconds, `model` what the answer names instead of what was asked
    for. Where no stream is asked for, `begin`, `chunk` and `end` write nothing.
    """

    keep_alive = b": keep-alive\n\n"

    def __init__(self, asked: Asked, *, call_id: str, created: int, model: str | None = None) -> None:
        self._stream = asked.stream
        self._probable = bool(asked.prompt.parameters.get("logprobs"))
        self._call_id = call_id
        self._shared = {"id": f"resp_{call_id}", "object": "response", "created_at": created}
        self._asked = {**asked.details, "model": model or asked.model}
        self._number = 0
        self._reset()

    def _reset(self) -> None:
        self._items: list[_Item] = []
        self._speaking: _Item | None = None
        self._calls: list[_Item] = []
        self._finished: Finished | None = None

    def begin(self) -> bytes:
        """The response without its output."""
        empty = self._response("in_progress")
        return self._event("response.created", response=empty) + self._event("response.in_progress", response=empty)

    def chunk(self, index: int, chunk: Chunk) -> bytes:
        """What there is to say of the chunk. Raises `StreamBroken` where it takes back what was written."""
        match chunk:
            case TextDelta(text):
                return self._text(text, chunk.logprobs if self._probable else None)
            case ReasoningDelta(text):
                return self._thought(text)
            case ToolCallStarted(call_id, name):
                return self._called(call_id, name)
            case ToolCallCompleted():
                return self._completed(chunk)
            case Finished():
                self._finished = chunk
                return self._close() + b"".join(self._done_call(call, "") for call in list(self._calls))
            case Restarted():
                if self._stream:
                    raise StreamBroken
                self._reset()
        return b""

    def end(self) -> bytes:
        """The whole response as the stream's last event."""
        return self._event(f"response.{self._status}", response=self.document())

    def failed(self, problem: Problem) -> bytes:
        """The problem as the stream's last event. Nothing may follow."""
        code = "server_error" if problem.status >= 500 else "invalid_prompt"
        error = {"code": "rate_limit_exceeded" if problem.status == 429 else code, "message": problem.detail}
        return self._event("response.failed", response=self._response("failed", error=error))

    def document(self) -> dict[str, Any]:
        """The whole answer, once it has finished."""
        told = self._finished.usage if self._finished else Usage(0, 0)
        reason = _INCOMPLETE.get(self._finished.finish_reason) if self._finished else None
        return self._response(
            self._status,
            incomplete_details={"reason": reason} if reason else None,
            usage=usage.openai_responses(told),
        )

    @property
    def _status(self) -> str:
        cut = self._finished is not None and self._finished.finish_reason in _INCOMPLETE
        return "incomplete" if cut else "completed"

    def _response(self, status: str, **more: Any) -> dict[str, Any]:
        empty = {"error": None, "incomplete_details": None, "usage": None}
        return {
            **self._shared,
            **self._asked,
            **empty,
            "status": status,
            "output": [one.item for one in self._items],
            **more,
        }

    def _text(self, text: str, logprobs: tuple[Mapping[str, Any], ...] | None) -> bytes:
        opened, speaking = b"", self._speaking
        if speaking is None or speaking.item["type"] != _MESSAGE:
            opened = self._close() + self._add("msg", type=_MESSAGE, role="assistant", status="in_progress", content=[])
            speaking = self._speaking = self._items[-1]
            opened += self._of_text("response.content_part.added", part=_output_text("", []))
        speaking.pieces.append(text)
        speaking.logprobs += logprobs or ()
        if logprobs or not self._stream:
            return opened + self._of_text("response.output_text.delta", delta=text, logprobs=list(logprobs or ()))
        # The common event, written at once.
        number, self._number = self._number, self._number + 1
        return b"%b%b%d,%b%b}\n\n" % (opened, _DELTA, number, speaking.place, orjson.dumps(text))

    def _thought(self, text: str) -> bytes:
        opened, speaking = b"", self._speaking
        if speaking is None or speaking.item["type"] != _REASONING:
            opened = self._close() + self._add("rs", type=_REASONING, summary=[])
            speaking = self._speaking = self._items[-1]
            part = {"type": "summary_text", "text": ""}
            opened += self._of_thought("response.reasoning_summary_part.added", part=part)
        speaking.pieces.append(text)
        return opened + self._of_thought("response.reasoning_summary_text.delta", delta=text)

    def _called(self, call_id: str, name: str) -> bytes:
        closed = self._close()
        call = {"type": "function_call", "call_id": call_id, "name": name, "arguments": "", "status": "in_progress"}
        opened = self._add("fc", **call)
        self._calls.append(self._items[-1])
        return closed + opened

    def _completed(self, chunk: ToolCallCompleted) -> bytes:
        opened = b""
        if not any(call.item["call_id"] == chunk.call_id for call in self._calls):
            opened = self._called(chunk.call_id, chunk.name)
        call = next(call for call in self._calls if call.item["call_id"] == chunk.call_id)
        return opened + self._done_call(call, chunk.arguments or "{}")

    def _done_call(self, call: _Item, arguments: str) -> bytes:
        """The end of a call; without arguments where they never came."""
        self._calls.remove(call)
        call.item |= {"arguments": arguments, "status": "completed" if arguments else "incomplete"}
        place = {"item_id": call.item["id"], "output_index": call.index}
        said = b""
        if arguments:
            said = self._event("response.function_call_arguments.delta", **place, delta=arguments)
            name = call.item["name"]
            said += self._event("response.function_call_arguments.done", **place, arguments=arguments, name=name)
        return said + self._event("response.output_item.done", output_index=call.index, item=call.item)

    def _close(self) -> bytes:
        """The end of the message or the thoughts that are open."""
        speaking = self._speaking
        if speaking is None:
            return b""
        text = "".join(speaking.pieces)
        if speaking.item["type"] == _REASONING:
            part: dict[str, Any] = {"type": "summary_text", "text": text}
            speaking.item["summary"] = [part]
            said = self._of_thought("response.reasoning_summary_text.done", text=text)
            said += self._of_thought("response.reasoning_summary_part.done", part=part)
        else:
            part = _output_text(text, speaking.logprobs)
            speaking.item |= {"content": [part], "status": "completed"}
            said = self._of_text("response.output_text.done", text=text, logprobs=speaking.logprobs)
            said += self._of_text("response.content_part.done", part=part)
        self._speaking = None
        return said + self._event("response.output_item.done", output_index=speaking.index, item=speaking.item)

    def _add(self, prefix: str, **item: Any) -> bytes:
        index = len(self._items)
        self._items.append(_Item(index, {"id": f"{prefix}_{self._call_id}_{index}", **item}))
        return self._event("response.output_item.added", output_index=index, item=self._items[-1].item)

    def _of_text(self, kind: str, **more: Any) -> bytes:
        return self._of_item(kind, content_index=0, **more)

    def _of_thought(self, kind: str, **more: Any) -> bytes:
        return self._of_item(kind, summary_index=0, **more)

    def _of_item(self, kind: str, **more: Any) -> bytes:
        speaking = self._speaking
        if speaking is None or not self._stream:
            return b""
        return self._event(kind, item_id=speaking.item["id"], output_index=speaking.index, **more)

    def _event(self, kind: str, **more: Any) -> bytes:
        if not self._stream:
            return b""
        body = {"type": kind, "sequence_number": self._number, **more}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(body))


def _output_text(text: str, logprobs: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}
