"""A conversation in OpenAI's chat form as Anthropic's system blocks and turns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from apps.routing.errors import ProviderRejected

Block = dict[str, Any]
_MARKED = "cache_control"
_MARK = {_MARKED: {"type": "ephemeral"}}
_DATA_URL = re.compile(r"data:([^;,]+)(?:;[^;,]+)*;base64,", re.ASCII)
_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
# A conversation has to open with the user; where its beginning was left out it does not.
_EARLIER = "(The conversation began earlier.)"


@dataclass(slots=True)
class Conversation:
    """`turns` alternate between user and assistant. A last one of the assistant is the beginning of the answer."""

    system: list[Block] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)

    @property
    def begins_answer(self) -> bool:
        return bool(self.turns) and self.turns[-1]["role"] == "assistant"

    @property
    def ends_with_results(self) -> bool:
        """Whether tools that the model called have just answered."""
        return bool(self.turns) and any(block["type"] == "tool_result" for block in self.turns[-1]["content"])

    def add(self, role: str, blocks: Sequence[Block]) -> None:
        """Neighbours of one role become one turn: a turn without content is none."""
        if not blocks:
            return
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["content"] += blocks
        else:
            self.turns.append({"role": role, "content": list(blocks)})

    @property
    def is_marked(self) -> bool:
        """Whether the caller said what is to be cached."""
        return any(_MARKED in block for block in self.system) or any(
            _MARKED in block for turn in self.turns for block in turn["content"]
        )

    def mark(self) -> None:
        """Mark what the next call will begin with too: the system prompt, and all before the user's newest turn.

        Of several system messages the first is marked by itself, too: a summary behind it changes sooner. With the
        tools that makes the four marks that are allowed. The newest turn is left out: most calls are not followed by
        another, and writing to the cache costs extra.
        """
        if self.system:
            self.system[0] |= _MARK
            self.system[-1] |= _MARK
        newest = max((place for place, turn in enumerate(self.turns) if turn["role"] == "user"), default=0)
        if newest > 0:
            self.turns[newest - 1]["content"][-1] |= _MARK


def conversation(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """Raises `ProviderRejected` for a part that the format has no word for."""
    read = Conversation()
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role in ("system", "developer"):
            read.system += _mark_of(message, _texts(content))
        elif role == "assistant":
            blocks = [*_texts(content), *map(_tool_use, message.get("tool_calls") or ())]
            read.add("assistant", _mark_of(message, blocks))
        elif role in ("tool", "function"):
            read.add("user", _mark_of(message, [_tool_result(message, content)]))
        else:
            read.add("user", _mark_of(message, _parts(content)))
    if read.begins_answer:
        _trim(read.turns)
    if not read.turns or read.turns[0]["role"] != "user":
        read.turns.insert(0, {"role": "user", "content": [text_block(_EARLIER)]})
    return read


def marked(block: Block) -> Block:
    """The block as the end of what is to be cached."""
    return {**block, **_MARK}


def text_block(text: str) -> Block:
    return {"type": "text", "text": text}


def _mark_of(held: Mapping[str, Any], blocks: list[Block]) -> list[Block]:
    """The blocks with the mark of what they are made from, which is that of its end."""
    if blocks and _MARKED in held:
        blocks[-1] = marked(blocks[-1])
    return blocks


def _tool_result(message: Mapping[str, Any], content: Any) -> Block:
    result: Block = {"type": "tool_result", "tool_use_id": _tool_id(message.get("tool_call_id"))}
    if message.get("is_error"):
        result["is_error"] = True
    parts = _parts(content)
    if any(_MARKED in part for part in parts):
        # Parts of a result cannot be marked, the result can.
        result |= _MARK
        parts = [{key: value for key, value in part.items() if key != _MARKED} for part in parts]
    return {**result, "content": parts} if parts else result


def _trim(turns: list[dict[str, Any]]) -> None:
    """The beginning of an answer must not end in white space, nor be nothing else."""
    content = turns[-1]["content"]
    while content and content[-1]["type"] == "text":
        if text := content[-1]["text"].rstrip():
            content[-1] = {**content[-1], "text": text}
            return
        content.pop()
    if not content:
        turns.pop()


def _texts(content: Any) -> list[Block]:
    """The text of a message as blocks; empty ones are refused upstream, so they are left out."""
    if isinstance(content, str):
        return [text_block(content)] if content.strip() else []
    blocks: list[Block] = []
    for part in content or ():
        text = str(part.get("text") or part.get("refusal") or "") if isinstance(part, Mapping) else ""
        if text.strip():
            blocks += _mark_of(part, [text_block(text)])
    return blocks


def _parts(content: Any) -> list[Block]:
    """The parts of a user's message or of a tool's result: text, images and documents."""
    if not isinstance(content, list | tuple):
        return _texts(content)
    blocks: list[Block] = []
    for part in content:
        kind = part.get("type")
        if kind == "text":
            blocks += _texts([part])
        elif kind == "image_url":
            held = part.get("image_url")
            url = str(held.get("url") if isinstance(held, Mapping) else held)
            blocks += _mark_of(part, [_source("image", url)])
        elif kind == "file" and (part.get("file") or {}).get("file_data"):
            blocks += _mark_of(part, [_source("document", str(part["file"]["file_data"]))])
        else:
            raise ProviderRejected(f"The model cannot read a part of the kind “{str(kind)[:40]}”. Leave it out.")
    return blocks


def _source(kind: str, url: str) -> Block:
    """A block whose content is in the address itself, or is fetched from it by the provider."""
    if inline := _DATA_URL.match(url):
        data = {"type": "base64", "media_type": inline[1], "data": url[inline.end() :]}
        return {"type": kind, "source": data}
    if url.startswith(("https://", "http://")):
        return {"type": kind, "source": {"type": "url", "url": url}}
    raise ProviderRejected("An image or a file is given neither as a data URL nor by an address. Attach it again.")


def _tool_use(call: Mapping[str, Any]) -> Block:
    function = call.get("function") or {}
    return {
        "type": "tool_use",
        "id": _tool_id(call.get("id")),
        "name": str(function.get("name")),
        "input": _arguments(function.get("arguments")),
    }


def _tool_id(call_id: Any) -> str:
    """The id in the characters that Anthropic allows; call and result are changed alike."""
    return _NOT_IN_AN_ID.sub("_", str(call_id)) or "_"


def _arguments(text: Any) -> dict[str, Any]:
    """The arguments as an object. Those of an answer that was cut off may be none."""
    try:
        arguments = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return {"arguments": str(text)}
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}
