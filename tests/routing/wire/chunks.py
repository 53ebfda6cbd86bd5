"""What an engine gives to a writer, and what an SDK reads of it."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from hypothesis import strategies as st

from apps.routing.contracts import (
    Candidate,
    Chunk,
    Finished,
    PriceVersion,
    ReasoningDelta,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    Usage,
)

USAGE = Usage(input_tokens=100, output_tokens=40, cached_tokens=60, reasoning_tokens=15, cache_write_tokens=10)
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def finished(reason: str = "stop", usage: Usage = USAGE, **more: Any) -> Finished:
    price = PriceVersion(uuid4(), 1, 1, 1, 1, 1, False)
    candidate = Candidate(uuid4(), "sim", "Sim", "openai_compatible", "m", "m-1", True, price, 1_000, 100)
    return Finished(reason, usage, uuid4(), candidate, **more)


def called(call_id: str, name: str, arguments: str) -> list[Chunk]:
    return [ToolCallStarted(call_id, name), ToolCallCompleted(call_id, name, arguments)]


@st.composite
def answers(draw: st.DrawFn) -> list[Chunk]:
    """The chunks of one answer: thoughts, text and calls, whatever the order, and its end."""
    pieces: list[list[Chunk]] = draw(
        st.lists(TEXTS.map(lambda text: [TextDelta(text)]) | TEXTS.map(lambda text: [ReasoningDelta(text)]), max_size=5)
    )
    for number in range(draw(st.integers(0, 2))):
        arguments = draw(st.sampled_from(["", "{}", '{"city":"Oslo"}', '{"q":"é😀"}']))
        pieces.insert(draw(st.integers(0, len(pieces))), called(f"call_{number}", "look_up", arguments))
    reason = draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter", "something_new"]))
    counts = st.integers(0, 1_000)
    cached, written, fresh, thought, said = (draw(counts) for _ in range(5))
    usage = Usage(cached + written + fresh, thought + said, cached, thought, False, written)
    return [*(chunk for piece in pieces for chunk in piece), finished(reason, usage)]


def streamed(writer: Any, *many: Sequence[Chunk]) -> bytes:
    """All that the writer says to the answers, which come in turns, one chunk of each."""
    parts: list[bytes] = [writer.begin()]
    for place in range(max(map(len, many))):
        parts += [writer.chunk(index, one[place]) for index, one in enumerate(many) if place < len(one)]
    return b"".join([*parts, writer.end()])


def text_of(chunks: Iterable[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))
