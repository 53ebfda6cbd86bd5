"""What never reaches a log: secrets by their field's name or their look, and what people and models said."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

REDACTED = "[redacted]"
# Fields that carry people's words. Log the length or the id instead.
WORDS = frozenset(
    {"message", "messages", "text", "content", "contents", "prompt", "prompts", "answer", "answers", "reasoning"}
)
_SECRET_NAME = re.compile(
    r"(^|[_.-])(secrets?|passwords?|passwd|pwd|authorization|cookies?|set-cookie|credentials?|pepper|private[_-]?key"
    r"|api[_-]?keys?|access[_-]?keys?|vault[_-]?keys?|sealed[_-]?keys?|secret[_-]?keys?|tokens?|jwt|session[_-]?(id|key)?|csrf\w*|dsn)$",
    re.IGNORECASE,
)
# Counts that the name alone would hide.
_COUNTED = re.compile(r"(^|_)(input|output|cached|reasoning|total|max|prompt|completion)_tokens$", re.IGNORECASE)
_SECRET_LOOKS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 " + REDACTED),
    (re.compile(r"(\w+://[^\s:/@]*):[^\s@/]+@"), r"\1:" + REDACTED + "@"),
    (
        re.compile(r"(?i)\b((?:[\w-]*[_-])?(?:token|secret|password|api[_-]?key|signature)=)[^&\s'\"]+"),
        r"\1" + REDACTED,
    ),
    (re.compile(r"\b(sk|sb)([-_])[A-Za-z0-9_-]{16,}"), r"\1\2" + REDACTED),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), REDACTED),
)
_MAX_DEPTH = 6


def is_secret(name: str) -> bool:
    """Whether a field of this name holds a secret. `api_key_id` and `input_tokens` do not."""
    return bool(_SECRET_NAME.search(name)) and not _COUNTED.search(name)


def without_secrets(text: str) -> str:
    """The text with everything that looks like a credential blotted out."""
    for look, replacement in _SECRET_LOOKS:
        text = look.sub(replacement, text)
    return text


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if depth >= _MAX_DEPTH and isinstance(value, Mapping | list | tuple | set | frozenset):
        return "[too deep]"
    if isinstance(value, Mapping):
        return _clean_fields(value, depth + 1)
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth + 1) for item in value]
    return value


def _clean_fields(fields: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
    kept: dict[Any, Any] = {}
    for key, value in fields.items():
        name = str(key)
        if name.lower() in WORDS:
            continue
        kept[key] = REDACTED if is_secret(name) and value is not None else _clean(value, depth)
    return kept


def redact(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: drops fields of people's words, blots out secrets, at any depth. Names are enough."""
    internal = {key: value for key, value in event.items() if key.startswith("_") or key == "exc_info"}
    cleaned = _clean_fields({key: value for key, value in event.items() if key not in internal}, 0)
    return cleaned | internal
