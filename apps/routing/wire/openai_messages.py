"""The messages of OpenAI's chat form, checked."""

from collections.abc import Mapping
from typing import Any

from apps.routing.wire import fields
from apps.routing.wire.asked import Seen
from apps.routing.wire.errors import WireError
from apps.routing.wire.fields import at

_ROLES = ("system", "developer", "user", "assistant", "tool")
_PLAIN = {"role", "content"}
_NAMES = {"role", "content", "name", "cache_control"}
# What else stands in an answer, or is added by clients that read it, and comes back as part of the next request.
_ECHOES = {
    "annotations",
    "audio",
    "function_call",
    "parsed",
    "provider_specific_fields",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
}
_ASSISTANT_NAMES = {*_NAMES, *_ECHOES, "tool_calls", "refusal"}
_TOOL_NAMES = {*_NAMES, "tool_call_id"}
_NOT_SERVED = {
    "audio": "Audio is not served here. Leave it out.",
    "function_call": "Functions are called through “tool_calls”.",
}
_DETAILS = ("auto", "low", "high", "original")
_MAX_CALLS = 128


def read(value: Any, seen: Seen) -> list[Mapping[str, Any]]:
    """Raises `WireError`. A result of a tool answers a call just before it, and every call has its result."""
    messages: list[Mapping[str, Any]] = []
    open_calls: set[str] = set()
    for place, message in enumerate(fields.a_list(value, "messages", least=1)):
        path = f"messages.{place}"
        fields.an_object(message, path)
        role = message.get("role")
        if role not in _ROLES:
            raise WireError(at(path, "role"), f"Send one of: {', '.join(_ROLES)}.")
        if role == "tool":
            messages.append(_result(message, path, open_calls, seen))
            continue
        if open_calls:
            raise WireError(path, "A message of the role tool is missing: every call of a tool needs its result.")
        # The common message first: a text and nothing else.
        content = message.get("content")
        if content.__class__ is str and message.keys() == _PLAIN:
            fields.a_text(content, at(path, "content"))
            messages.append(message)
        elif role == "assistant":
            messages.append(_assistant(message, path, open_calls, seen))
        else:
            fields.known(message, _NAMES, path)
            messages.append({"role": role, **_said(message, path, seen, pictures=role == "user")})
    if open_calls:
        raise WireError("messages", "A message of the role tool is missing: every call of a tool needs its result.")
    return messages


def _result(message: Mapping[str, Any], path: str, open_calls: set[str], seen: Seen) -> Mapping[str, Any]:
    fields.known(message, _TOOL_NAMES, path)
    call_id = message.get("tool_call_id")
    if not isinstance(call_id, str) or call_id not in open_calls:
        raise WireError(at(path, "tool_call_id"), "This answers no call of the message before it.")
    open_calls.discard(call_id)
    return {"role": "tool", "tool_call_id": call_id, **_said(message, path, seen, pictures=False)}


def _assistant(message: Mapping[str, Any], path: str, open_calls: set[str], seen: Seen) -> Mapping[str, Any]:
    fields.known(message, _ASSISTANT_NAMES, path)
    fields.refuse(message, _NOT_SERVED, path)
    read: dict[str, Any] = {"role": "assistant"}
    calls = message.get("tool_calls")
    if calls is not None:
        where = at(path, "tool_calls")
        read["tool_calls"] = [
            _call(call, at(where, place)) for place, call in enumerate(fields.a_list(calls, where, most=_MAX_CALLS))
        ]
    if not read.get("tool_calls"):
        read.pop("tool_calls", None)
    refusal = message.get("refusal")
    if message.get("content") is None and refusal is not None:
        # What a model said instead of an answer is what it said: rules that screen texts look into the content alone.
        read["content"] = fields.a_text(refusal, at(path, "refusal"))
    elif message.get("content") is None and "tool_calls" in read:
        read["content"] = None
    else:
        read |= _said(message, path, seen, pictures=False)
    open_calls |= {call["id"] for call in read.get("tool_calls", ())}
    return read


def _call(value: Any, path: str) -> Mapping[str, Any]:
    call = fields.an_object(value, path)
    # `index` stands in what a stream was put together from.
    fields.known(call, {"id", "type", "function", "index"}, path)
    if call.get("type", "function") != "function":
        raise WireError(at(path, "type"), "Send “function”: other kinds of tools are not served here.")
    where = at(path, "function")
    function = fields.an_object(call.get("function"), where)
    fields.known(function, {"name", "arguments", "parsed_arguments"}, where)
    return {
        "id": fields.an_id(call.get("id"), at(path, "id")),
        "type": "function",
        "function": {
            "name": fields.an_id(function.get("name"), at(where, "name")),
            "arguments": fields.a_text(function.get("arguments"), at(where, "arguments")),
        },
    }


def _said(message: Mapping[str, Any], path: str, seen: Seen, *, pictures: bool) -> dict[str, Any]:
    """Content, name and mark of a message."""
    said: dict[str, Any] = {}
    content, where = message.get("content"), at(path, "content")
    if isinstance(content, str):
        said["content"] = fields.a_text(content, where)
    elif isinstance(content, list) and content:
        parts = fields.a_list(content, where, most=1_024)
        said["content"] = [_part(part, at(where, place), seen, pictures) for place, part in enumerate(parts)]
    else:
        raise WireError(where, "Send a text, or a list of parts with at least one.")
    if message.get("name") is not None:
        said["name"] = fields.an_id(message["name"], at(path, "name"))
    return said | mark(message, path)


def mark(value: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The mark that says “what is up to here comes again”, which Anthropic's models need and others do without."""
    given = value.get("cache_control")
    if given is None:
        return {}
    where = at(path, "cache_control")
    fields.known(fields.an_object(given, where), {"type", "ttl"}, where)
    if given.get("type") != "ephemeral":
        raise WireError(at(where, "type"), "Send “ephemeral”.")
    fields.one_of(given, "ttl", ("5m", "1h"), where)
    # Always the short time: writing for the long one has another price, and counts come without the difference.
    return {"cache_control": {"type": "ephemeral"}}


def _part(value: Any, path: str, seen: Seen, pictures: bool) -> Mapping[str, Any]:
    part = fields.an_object(value, path)
    kind = part.get("type")
    if kind == "text":
        fields.known(part, {"type", "text", "cache_control"}, path)
        return {"type": "text", "text": fields.a_text(part.get("text"), at(path, "text")), **mark(part, path)}
    if kind == "refusal":
        fields.known(part, {"type", "refusal"}, path)
        return {"type": "text", "text": fields.a_text(part.get("refusal"), at(path, "refusal"))}
    if kind == "image_url" and pictures:
        fields.known(part, {"type", "image_url", "cache_control"}, path)
        return {"type": "image_url", "image_url": _picture(part, path, seen), **mark(part, path)}
    if kind == "file" and pictures:
        fields.known(part, {"type", "file", "cache_control"}, path)
        return {"type": "file", "file": _file(part, path), **mark(part, path)}
    shown = "text, image_url, file" if pictures else "text"
    raise WireError(at(path, "type"), f"A part of this kind is not read here. Known here: {shown}.")


def _picture(part: Mapping[str, Any], path: str, seen: Seen) -> dict[str, Any]:
    where = at(path, "image_url")
    held = fields.an_object(part.get("image_url"), where)
    fields.known(held, {"url", "detail"}, where)
    seen.pictures += 1
    url = fields.picture_url(held.get("url"), at(where, "url"))
    detail = fields.one_of(held, "detail", _DETAILS, where)
    return {"url": url, **({"detail": detail} if detail else {})}


def _file(part: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A file in the request itself. One that was uploaded to a provider belongs to whoever holds the key."""
    where = at(path, "file")
    held = fields.an_object(part.get("file"), where)
    fields.known(held, {"file_data", "filename"}, where)
    name = held.get("filename")
    named = {} if name is None else {"filename": fields.an_id(name, at(where, "filename"))}
    return {"file_data": fields.file_data(held.get("file_data"), at(where, "file_data")), **named}
