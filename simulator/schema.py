"""Values that fit a JSON schema, taken from what was asked where possible."""

from __future__ import annotations

import re
from typing import Any

_QUOTED = re.compile(r"[\"“'`]([^\"”'`\n]{1,200})[\"”'`]")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_PLACE = re.compile(r"\b(?:in|at|near|for|to|from)\s+((?:[A-Z][\w'-]+)(?:\s+[A-Z][\w'-]+)*)")
_FORMATS = {
    "date": "2026-03-14",
    "date-time": "2026-03-14T09:30:00Z",
    "time": "09:30:00",
    "email": "mira@example.com",
    "uri": "https://example.com/",
    "uuid": "0190f0a2-7c1e-7d55-9b3a-3f1f5d2c8e10",
}
_MAX_DEPTH = 8


class Filler:
    """Fills schemas for one prompt: its quoted texts, places and numbers are used in order of appearance."""

    def __init__(self, prompt: str, topic: str, root: dict[str, Any]) -> None:
        self._prompt = prompt
        self._topic = topic
        self._root = root
        self._texts = _QUOTED.findall(prompt) + _PLACE.findall(prompt)
        self._numbers = _NUMBER.findall(prompt)

    def value(self, schema: Any, key: str = "", depth: int = 0) -> Any:
        """One value for a schema; null where the schema is deeper than it is worth following."""
        schema = self._resolve(schema)
        if depth > _MAX_DEPTH:
            return None
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._choose(schema["enum"])
        for branch in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(branch), list) and schema[branch]:
                return self.value(schema[branch][0], key, depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        if kind == "object" or "properties" in schema:
            return self._object(schema, depth)
        if kind == "array":
            length = max(int(schema.get("minItems", 0)), 2)
            length = min(length, int(schema.get("maxItems", length)))
            return [self.value(schema.get("items", {}), key, depth + 1) for _ in range(length)]
        if kind in ("integer", "number"):
            return self._number(schema, is_integer=kind == "integer")
        if kind == "boolean":
            return not re.search(r"\b(not|no|without|never)\b", self._prompt, re.IGNORECASE)
        return None if kind == "null" else self._text(schema, key)

    def _resolve(self, schema: Any) -> dict[str, Any]:
        seen = 0
        while isinstance(schema, dict) and isinstance(schema.get("$ref"), str) and seen < _MAX_DEPTH:
            target: Any = self._root
            for part in schema["$ref"].removeprefix("#").strip("/").split("/"):
                target = target.get(part, {}) if part and isinstance(target, dict) else target
            schema, seen = target, seen + 1
        return schema if isinstance(schema, dict) else {}

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}
        return {name: self.value(child, name, depth + 1) for name, child in properties.items()}

    def _choose(self, allowed: list[Any]) -> Any:
        lowered = self._prompt.lower()
        return next((item for item in allowed if isinstance(item, str) and item.lower() in lowered), allowed[0])

    def _number(self, schema: dict[str, Any], *, is_integer: bool) -> float:
        low, high = schema.get("minimum"), schema.get("maximum")
        value = float(self._numbers.pop(0)) if self._numbers else float(low if low is not None else 3)
        if low is not None:
            value = max(value, low)
        if high is not None:
            value = min(value, high)
        return int(value) if is_integer else value

    def _text(self, schema: dict[str, Any], key: str) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        text = self._texts.pop(0) if self._texts else self._topic
        if not text:
            text = key.replace("_", " ") or "text"
        longest = schema.get("maxLength")
        return text[:longest] if isinstance(longest, int) else text
