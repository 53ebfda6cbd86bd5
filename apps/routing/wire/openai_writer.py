"""Answers in the form of OpenAI's chat completions."""

from collections.abc import Mapping
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
from apps.routing.wire.answer import Answer
from apps.routing.wire.asked import Asked

_DONE = b"data: [DONE]\n\n"


class Writer:
    """One completion with all its choices. It collects what it writes, so that `document` can tell it at once.

    `call_id` goes into the completion's id, `created` is in Unix seconds, `model` what the answer names instead of what
    was asked for. Where no stream is asked for, `begin`, `chunk` and `end` write nothing.
    """

    keep_alive = b": keep-alive\n\n"

    def __init__(self, asked: Asked, *, call_id: str, created: int, model: str | None = None) -> None:
        self._asked = asked
        self._shared = {"id": f"chatcmpl-{call_id}", "created": created, "model": model or asked.model}
        self._answers = [Answer() for _ in range(asked.n)]
        self._probable = bool(asked.prompt.parameters.get("logprobs"))
        head = orjson.dumps({**self._shared, "object": "chat.completion.chunk", "system_fingerprint": None})[:-1]
        # With usage asked for, OpenAI puts `"usage": null` on every chunk.
        self._tail = b',"usage":null}\n\n' if asked.include_usage else b"}\n\n"
        self._head = b"data: " + head + b',"choices":['
        self._text_heads = [b'%b{"index":%d,"delta":{"content":' % (self._head, index) for index in range(asked.n)]
        self._text_tail = b'},"logprobs":null,"finish_reason":null}]' + self._tail

    def begin(self) -> bytes:
        """The role of each choice."""
        if not self._asked.stream:
            return b""
        role = {"role": "assistant", "content": "", "refusal": None}
        return b"".join(self._delta(index, role) for index in range(self._asked.n))

    def chunk(self, index: int, chunk: Chunk) -> bytes:
        """What choice `index` has to say of the chunk. Raises `StreamBroken` where it takes back what was written."""
        answer, stream = self._answers[index], self._asked.stream
        # The common chunk first.
        if isinstance(chunk, TextDelta):
            answer.texts.append(chunk.text)
            if self._probable and chunk.logprobs:
                answer.logprobs += chunk.logprobs
                return self._delta(index, {"content": chunk.text}, logprobs=chunk.logprobs) if stream else b""
            return self._text_heads[index] + orjson.dumps(chunk.text) + self._text_tail if stream else b""
        delta = self._collected(answer, index, chunk)
        if delta is None or not stream:
            return b""
        return self._delta(index, delta, answer.finish_reason)

    def _collected(self, answer: Answer, index: int, chunk: Chunk) -> dict[str, Any] | None:
        match chunk:
            case ReasoningDelta(text):
                answer.thoughts.append(text)
                return {"reasoning_content": text}
            case ToolCallStarted():
                return {"tool_calls": [{"index": answer.started(chunk), **_call(chunk.call_id, chunk.name, "")}]}
            case ToolCallCompleted():
                place, told = answer.completed(chunk)
                arguments = answer.calls[place].arguments or "{}"
                whole = _call(chunk.call_id, chunk.name, arguments)
                return {"tool_calls": [{"index": place, **({"function": {"arguments": arguments}} if told else whole)}]}
            case Finished():
                answer.finished(chunk)
                return {}
            case Restarted():
                if self._asked.stream:
                    raise StreamBroken
                self._answers[index] = Answer()
        return None

    def end(self) -> bytes:
        """The usage, if it was asked for, and the end of the stream."""
        if not self._asked.stream:
            return b""
        if not self._asked.include_usage:
            return _DONE
        return self._event([], usage=usage.openai_chat(self._usage())) + _DONE

    def failed(self, problem: Problem) -> bytes:
        """The problem as the stream's last event. Nothing may follow."""
        return b"data: " + orjson.dumps(errors.openai(problem)) + b"\n\n" if self._asked.stream else b""

    def document(self) -> dict[str, Any]:
        """The whole answer, once every choice has finished."""
        return {
            **self._shared,
            "object": "chat.completion",
            "system_fingerprint": None,
            "choices": [self._choice(index, answer) for index, answer in enumerate(self._answers)],
            "usage": usage.openai_chat(self._usage()),
        }

    def _usage(self) -> Usage:
        return usage.together(answer.usage or Usage(0, 0) for answer in self._answers)

    def _choice(self, index: int, answer: Answer) -> dict[str, Any]:
        logprobs = {"content": answer.logprobs, "refusal": None} if answer.logprobs else None
        text = "".join(answer.texts)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if answer.thoughts:
            message["reasoning_content"] = "".join(answer.thoughts)
        if answer.calls:
            message["content"] = text or None
            message["tool_calls"] = [_call(call.call_id, call.name, call.arguments or "{}") for call in answer.calls]
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": answer.finish_reason}

    def _delta(self, index: int, delta: Mapping[str, Any], reason: str | None = None, logprobs: Any = None) -> bytes:
        probable = {"content": list(logprobs), "refusal": None} if logprobs else None
        choice = {"index": index, "delta": delta, "logprobs": probable, "finish_reason": reason}
        return self._head + orjson.dumps(choice) + b"]" + self._tail

    def _event(self, choices: list[Any], **more: Any) -> bytes:
        body = {**self._shared, "object": "chat.completion.chunk", "system_fingerprint": None, "choices": choices}
        return b"data: " + orjson.dumps({**body, **more}) + b"\n\n"


def _call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
