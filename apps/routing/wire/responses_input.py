"""The items of OpenAI's responses as messages in its chat form."""

from collections.abc import Mapping
from typing import Any

from apps.routing.wire import fields
from apps.routing.wire.asked import Seen
from apps.routing.wire.errors import WireError
from apps.routing.wire.fields import at

_ROLES = ("user", "assistant", "system", "developer")
_MISSING = "An item of the type function_call_output is missing: every call needs its output."
_DETAILS = ("auto", "low", "high", "original")
_KEPT_BY_OPENAI = "What a provider keeps is not served here. Send it in the request."
# What items of an answer say beside their content, and clients add to them: they come back with the next request.
_STATE = {"type", "id", "status"}
_MESSAGE_NAMES = _STATE | {"role", "content", "phase"}
_CALL_NAMES = _STATE | {"call_id", "name", "arguments", "parsed_arguments", "caller", "namespace"}
_OUTPUT_NAMES = _STATE | {"call_id", "output", "caller"}

Message = dict[str, Any]


class Reader:
    """Reads the items one after the other. Raises `WireError`."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._open: set[str] = set()
        self.messages: list[Message] = []

    def read(self, given: Any) -> None:
        """A text, or items."""
        if isinstance(given, str):
            self.messages.append({"role": "user", "content": fields.a_text(given, "input", empty=False)})
            return
        for place, item in enumerate(fields.a_list(given, "input", least=1)):
            self._item(fields.an_object(item, f"input.{place}"), f"input.{place}")
        if self._open:
            raise WireError("input", _MISSING)
        if not self.messages:
            raise WireError("input", "There is nothing to answer.")

    def _item(self, item: Mapping[str, Any], path: str) -> None:
        kind = item.get("type", "message")
        if kind == "function_call_output":
            self._output(item, path)
        elif kind == "function_call":
            self._call(item, path)
        elif kind == "message":
            if self._open:
                raise WireError(path, _MISSING)
            self._message(item, path)
        elif kind == "item_reference":
            raise WireError(path, _KEPT_BY_OPENAI)
        elif kind != "reasoning":
            # Thoughts are left out: only the model that had them could read them, and it does without.
            shown = "message, function_call, function_call_output, reasoning"
            raise WireError(at(path, "type"), f"An item of this type is not read here. Known here: {shown}.")

    def _message(self, item: Mapping[str, Any], path: str) -> None:
        fields.known(item, _MESSAGE_NAMES, path)
        role, content, where = item.get("role"), item.get("content"), at(path, "content")
        if role not in _ROLES:
            raise WireError(at(path, "role"), f"Send one of: {', '.join(_ROLES)}.")
        if isinstance(content, str):
            self.messages.append({"role": role, "content": fields.a_text(content, where)})
            return
        parts = fields.a_list(content, where, least=1, most=1_024)
        read = [self._part(part, at(where, place), role) for place, part in enumerate(parts)]
        self.messages.append({"role": role, "content": read})

    def _call(self, item: Mapping[str, Any], path: str) -> None:
        fields.known(item, _CALL_NAMES, path)
        call_id = fields.an_id(item.get("call_id"), at(path, "call_id"))
        function = {
            "name": fields.an_id(item.get("name"), at(path, "name")),
            "arguments": fields.a_text(item.get("arguments"), at(path, "arguments")),
        }
        call = {"id": call_id, "type": "function", "function": function}
        # Calls of one answer are items of their own here, and parts of one message there.
        if self.messages and self.messages[-1]["role"] == "assistant":
            self.messages[-1].setdefault("tool_calls", []).append(call)
        elif self._open:
            raise WireError(path, _MISSING)
        else:
            self.messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        self._open.add(call_id)

    def _output(self, item: Mapping[str, Any], path: str) -> None:
        fields.known(item, _OUTPUT_NAMES, path)
        call_id, output, where = item.get("call_id"), item.get("output"), at(path, "output")
        if not isinstance(call_id, str) or call_id not in self._open:
            raise WireError(at(path, "call_id"), "This is the output of no call before it.")
        self._open.discard(call_id)
        said: Any
        if isinstance(output, str):
            said = fields.a_text(output, where)
        else:
            parts = fields.a_list(output, where, least=1, most=1_024)
            said = [self._part(part, at(where, place), "user") for place, part in enumerate(parts)]
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": said})

    def _part(self, value: Any, path: str, role: str) -> Message:
        part = fields.an_object(value, path)
        kind = part.get("type")
        if kind in ("input_text", "output_text"):
            fields.known(part, {"type", "text", "annotations", "logprobs", "parsed"}, path)
            return {"type": "text", "text": fields.a_text(part.get("text"), at(path, "text"))}
        if kind == "refusal" and role == "assistant":
            fields.known(part, {"type", "refusal"}, path)
            return {"type": "text", "text": fields.a_text(part.get("refusal"), at(path, "refusal"))}
        if kind == "input_image" and role == "user":
            return {"type": "image_url", "image_url": self._picture(part, path)}
        if kind == "input_file" and role == "user":
            return {"type": "file", "file": _file(part, path)}
        shown = "input_text, input_image, input_file" if role == "user" else "input_text, output_text"
        raise WireError(at(path, "type"), f"A part of this type is not read here. Known here: {shown}.")

    def _picture(self, part: Mapping[str, Any], path: str) -> Message:
        fields.known(part, {"type", "image_url", "detail", "file_id"}, path)
        fields.refuse(part, {"file_id": _KEPT_BY_OPENAI}, path)
        self._seen.pictures += 1
        url = fields.picture_url(part.get("image_url"), at(path, "image_url"))
        detail = fields.one_of(part, "detail", _DETAILS, path)
        return {"url": url, **({"detail": detail} if detail else {})}


def _file(part: Mapping[str, Any], path: str) -> Message:
    fields.known(part, {"type", "file_data", "filename", "file_id", "file_url", "detail"}, path)
    fields.refuse(part, {"file_id": _KEPT_BY_OPENAI, "file_url": "Send the file itself, as “file_data”."}, path)
    name = part.get("filename")
    named = {} if name is None else {"filename": fields.an_id(name, at(path, "filename"))}
    return {"file_data": fields.file_data(part.get("file_data"), at(path, "file_data")), **named}
