"""Streams, usage and errors as each provider documents them, replayed over real sockets in pieces of odd sizes.

`fixtures/NAME.sse` is what the provider sends, `fixtures/NAME.json` what must come of it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.routing.attempts import ADAPTERS
from apps.routing.contracts import ReasoningDelta, TextDelta, ToolCallCompleted, ToolCallStarted, Usage
from apps.routing.providers.sse import EventParser
from tests.routing import scripted
from tests.routing.reception import Reception, receive, request

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.json"))


def _answer(expected: dict[str, Any], body: bytes) -> bytes:
    """Status line, headers and body as they go on the wire."""
    status = expected.get("status", 200)
    kind = "text/event-stream" if status == 200 else "application/json"
    headers = {"Content-Type": kind, "Connection": "close", **expected.get("headers", {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + body


async def _replay(name: str, size: int | None) -> tuple[dict[str, Any], Reception]:
    expected = json.loads((FIXTURES / f"{name}.json").read_text())
    wire = _answer(expected, (FIXTURES / f"{name}.sse").read_bytes())
    step = size or len(wire)
    pieces: list[scripted.Step] = []
    for start in range(0, len(wire), step):
        # Without a pause the pieces would be one again before they are read.
        pieces += [wire[start : start + step], 0.0]
    async with scripted.provider([*pieces, None]) as provider:
        return expected, await receive(request(provider.base_url), ADAPTERS[expected["adapter"]])


def _said(reception: Reception, kind: type[TextDelta] | type[ReasoningDelta]) -> str:
    return "".join(delta.text for delta in reception.deltas if isinstance(delta, kind))


@pytest.mark.parametrize("size", [None, 1, 7], ids=["whole", "byte by byte", "torn"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_dialect_is_understood(name: str, size: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    feed = EventParser.feed

    def counted(parser: EventParser, data: bytes) -> list[bytes]:
        fed.append(len(data))
        return feed(parser, data)

    monkeypatch.setattr(EventParser, "feed", counted)
    expected, reception = await _replay(name, size)
    if size and fed:
        assert sum(fed) / len(fed) < 3 * size, "the pieces were joined on their way"
    assert _said(reception, TextDelta) == expected.get("text", "")
    assert _said(reception, ReasoningDelta) == expected.get("reasoning", "")
    calls = [[d.call_id, d.name, d.arguments] for d in reception.deltas if isinstance(d, ToolCallCompleted)]
    assert calls == expected.get("tools", [])
    assert [d.call_id for d in reception.deltas if isinstance(d, ToolCallStarted)] == [call[0] for call in calls]
    progress = reception.progress
    assert progress.skipped_events == 0
    if "error" in expected:
        assert reception.error is not None
        assert reception.error.code == expected["error"]
        assert reception.error.retry_after_seconds == expected.get("retry_after_seconds")
        return
    assert reception.error is None
    assert progress.finish_reason == expected["finish_reason"]
    assert (progress.usage, progress.usage_is_final) == (Usage(**expected["usage"]), True)
    # Parts of the input do not overlap, and thoughts are part of the output.
    assert progress.usage is not None
    assert progress.usage.cached_tokens + progress.usage.cache_write_tokens <= progress.usage.input_tokens
    assert progress.usage.reasoning_tokens <= progress.usage.output_tokens


def test_each_provider_is_there_and_some_pieces_end_within_a_character() -> None:
    providers = {name.split("_")[0] for name in NAMES}
    assert providers >= {"openai", "azure", "openrouter", "vllm", "ollama", "mistral", "deepseek", "anthropic"}
    torn = 0
    for name in NAMES:
        expected = json.loads((FIXTURES / f"{name}.json").read_text())
        wire = _answer(expected, (FIXTURES / f"{name}.sse").read_bytes())
        torn += any(wire[place] & 0xC0 == 0x80 for place in range(7, len(wire), 7))
    assert torn >= 3
