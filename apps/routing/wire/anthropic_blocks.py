"""Anthropic's turns and blocks as messages in OpenAI's chat form."""

from collections.abc import Mapping
from typing import Any

import orjson

from apps.routing.wire import fields
from apps.routing.wire.asked import Seen
from apps.routing.wire.errors import WireError
from apps.routing.wire.fields import at
from apps.routing.wire.openai_messages import mark

MAX_MARKS = 4
_ROLES = ("user", "assistant", "system")
_MISSING = "A block of the kind tool_result is missing: every tool_use needs its result in the turn after it."
_MEDIA = ("image/jpeg", "image/png", "image/gif", "image/webp")
# What an answer's blocks say beside their content, and what is nothing to say: it comes back with the next request.
_TEXT_NAMES = {"type", "text", "cache_control", "citations"}
_TOOL_USE_NAMES = {"type", "id", "name", "input", "cache_control", "caller"}
_RESULT_NAMES = {"type", "tool_use_id", "content", "is_error", "cache_control"}
_DOCUMENT_NAMES = {"type", "source", "cache_control", "citations", "context", "title"}

Message = dict[str, Any]


def read(value: Any, seen: Seen) -> list[Mapping[str, Any]]:
    """Raises `WireError`. A result of a tool stands in the turn after its call, and every call has its result."""
    messages: list[Mapping[str, Any]] = []
    open_calls: set[str] = set()
    for place, turn in enumerate(fields.a_list(value, "messages", least=1)):
        path = f"messages.{place}"
        fields.an_object(turn, path)
        fields.known(turn, {"role", "content"}, path)
        role, content, where = turn.get("role"), turn.get("content"), at(path, "content")
        if role not in _ROLES:
            raise WireError(at(path, "role"), f"Send one of: {', '.join(_ROLES)}.")
        if role == "user":
            messages += _user(content, where, open_calls, seen)
        if open_calls:
            raise WireError(where, _MISSING)
        if role == "assistant":
            messages += _assistant(content, where, open_calls, seen)
        elif role == "system":
            messages.append({"role": "system", "content": texts(content, where, seen)})
    if open_calls:
        raise WireError("messages", _MISSING)
    if not messages:
        raise WireError("messages", "There is nothing to answer.")
    return messages


def texts(content: Any, path: str, seen: Seen) -> str | list[Message]:
    """A text, or blocks of text alone."""
    if isinstance(content, str):
        return fields.a_text(content, path)
    blocks = fields.a_list(content, path, least=1, most=1_024)
    return [
        _text(fields.an_object(block, at(path, place)), at(path, place), seen) for place, block in enumerate(blocks)
    ]


def marked(held: Mapping[str, Any], path: str, seen: Seen) -> Message:
    """The mark of a block or tool, if it has one. Raises `WireError` for more than Anthropic takes."""
    found = mark(held, path)
    if found:
        seen.marks += 1
        if seen.marks > MAX_MARKS:
            raise WireError(at(path, "cache_control"), f"A request has {MAX_MARKS} marks at most.")
    return found


def _user(content: Any, path: str, open_calls: set[str], seen: Seen) -> list[Message]:
    """Results of tools as messages of their own, and then what the user says."""
    if isinstance(content, str):
        return [{"role": "user", "content": fields.a_text(content, path)}]
    results: list[Message] = []
    parts: list[Message] = []
    for place, block in enumerate(fields.a_list(content, path, least=1, most=1_024)):
        where = at(path, place)
        if fields.an_object(block, where).get("type") == "tool_result":
            results.append(_result(block, where, open_calls, seen))
        else:
            parts.append(_part(block, where, seen))
    return [*results, {"role": "user", "content": parts}] if parts else results


def _result(block: Mapping[str, Any], path: str, open_calls: set[str], seen: Seen) -> Message:
    fields.known(block, _RESULT_NAMES, path)
    call_id = block.get("tool_use_id")
    if not isinstance(call_id, str) or call_id not in open_calls:
        raise WireError(at(path, "tool_use_id"), "This answers no tool_use of the turn before it.")
    open_calls.discard(call_id)
    content, where = block.get("content"), at(path, "content")
    said: str | list[Message] = ""
    if isinstance(content, str):
        said = fields.a_text(content, where)
    elif content:
        parts = fields.a_list(content, where, most=1_024)
        said = [_part(part, at(where, place), seen) for place, part in enumerate(parts)]
    result = {"role": "tool", "tool_call_id": call_id, "content": said, **marked(block, path, seen)}
    return {**result, "is_error": True} if fields.flag(block, "is_error", path) else result


def _assistant(content: Any, path: str, open_calls: set[str], seen: Seen) -> list[Message]:
    if isinstance(content, str):
        return [{"role": "assistant", "content": fields.a_text(content, path)}]
    parts: list[Message] = []
    calls: list[Message] = []
    for place, block in enumerate(fields.a_list(content, path, most=1_024)):
        where = at(path, place)
        kind = fields.an_object(block, where).get("type")
        if kind == "text":
            parts.append(_text(block, where, seen))
        elif kind == "tool_use":
            calls.append(_tool_use(block, where, seen))
        elif kind not in ("thinking", "redacted_thinking"):
            # Thoughts are left out: only the model that had them could read them, and it does without.
            raise _unread(where, "text, thinking, tool_use")
    open_calls |= {call["id"] for call in calls}
    if calls:
        return [{"role": "assistant", "content": parts or None, "tool_calls": calls}]
    return [{"role": "assistant", "content": parts}] if parts else []


def _tool_use(block: Mapping[str, Any], path: str, seen: Seen) -> Message:
    fields.known(block, _TOOL_USE_NAMES, path)
    marked(block, path, seen)
    arguments = fields.an_object_of_json(block.get("input"), at(path, "input"))
    name = fields.an_id(block.get("name"), at(path, "name"))
    try:
        written = orjson.dumps(arguments).decode()
    except TypeError as error:
        raise WireError(at(path, "input"), "This holds text that is not valid Unicode.") from error
    return {
        "id": fields.an_id(block.get("id"), at(path, "id")),
        "type": "function",
        "function": {"name": name, "arguments": written},
    }


def _part(value: Any, path: str, seen: Seen) -> Message:
    block = fields.an_object(value, path)
    kind = block.get("type")
    if kind == "text":
        return _text(block, path, seen)
    if kind == "image":
        fields.known(block, {"type", "source", "cache_control"}, path)
        seen.pictures += 1
        url = _picture(fields.an_object(block.get("source"), at(path, "source")), at(path, "source"))
        return {"type": "image_url", "image_url": {"url": url}, **marked(block, path, seen)}
    if kind == "document":
        return {**_document(block, path), **marked(block, path, seen)}
    raise _unread(path, "text, image, document, tool_result")


def _text(block: Mapping[str, Any], path: str, seen: Seen) -> Message:
    if block.get("type") != "text":
        raise _unread(path, "text")
    fields.known(block, _TEXT_NAMES, path)
    return {"type": "text", "text": fields.a_text(block.get("text"), at(path, "text")), **marked(block, path, seen)}


def _picture(source: Mapping[str, Any], path: str) -> str:
    kind = fields.one_of(source, "type", ("base64", "url"), path)
    if kind == "url":
        fields.known(source, {"type", "url"}, path)
        url = fields.picture_url(source.get("url"), at(path, "url"))
        if url.startswith("data:"):
            raise WireError(at(path, "url"), "Send the picture itself as a source of the type base64.")
        return url
    fields.known(source, {"type", "media_type", "data"}, path)
    media = fields.one_of(source, "media_type", _MEDIA, path)
    if kind is None or media is None or not isinstance(source.get("data"), str):
        raise WireError(path, "Send type base64 with media_type and data, or type url with url.")
    return fields.picture_url(f"data:{media};base64,{source['data']}", at(path, "data"))


def _document(block: Mapping[str, Any], path: str) -> Message:
    """A file in the request itself, or plain text. Pages are not cited."""
    fields.known(block, _DOCUMENT_NAMES, path)
    citations = block.get("citations")
    if citations is not None and citations != {"enabled": False}:
        raise WireError(at(path, "citations"), "Citations are not served here. Leave it out.")
    where = at(path, "source")
    source = fields.an_object(block.get("source"), where)
    kind = fields.one_of(source, "type", ("base64", "text"), where)
    fields.known(source, {"type", "media_type", "data"}, where)
    data = source.get("data")
    if kind == "text":
        return {"type": "text", "text": fields.a_text(data, at(where, "data"))}
    if kind is None or source.get("media_type") != "application/pdf" or not isinstance(data, str):
        raise WireError(where, "Send a PDF as base64 with media_type application/pdf, or a text.")
    named = {} if block.get("title") is None else {"filename": fields.an_id(block["title"], at(path, "title"))}
    url = fields.file_data(f"data:application/pdf;base64,{data}", at(where, "data"))
    return {"type": "file", "file": {"file_data": url, **named}}


def _unread(path: str, shown: str) -> WireError:
    return WireError(at(path, "type"), f"A block of this kind is not read here. Known here: {shown}.")
