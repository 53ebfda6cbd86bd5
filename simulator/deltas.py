"""The steps an answer is sent in, one event each, before any wire format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from simulator.answer import Answer, ToolCall

REASONING, CONTENT, TOOL = "reasoning", "content", "tool"


@dataclass(slots=True)
class Delta:
    """One event's worth of tokens. `place` counts the tool calls; `named` is the call an event announces."""

    index: int
    kind: str
    pieces: list[str]
    place: int = 0
    named: ToolCall | None = None

    @property
    def tokens(self) -> int:
        return len(self.pieces)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def split(self, at: int) -> tuple[Delta, Delta]:
        return (
            Delta(self.index, self.kind, self.pieces[:at], self.place, self.named),
            Delta(self.index, self.kind, self.pieces[at:], self.place, None if at else self.named),
        )


def interleaved(answers: Sequence[Answer], chunk_tokens: int) -> Iterator[Delta]:
    """Deltas of all choices; several choices take turns, as they do on the real wire."""
    lanes = [_deltas(index, answer, chunk_tokens) for index, answer in enumerate(answers)]
    if len(lanes) == 1:
        return lanes[0]
    return (delta for delta in chain.from_iterable(zip_longest(*lanes)) if delta is not None)


def _deltas(index: int, answer: Answer, chunk_tokens: int) -> Iterator[Delta]:
    for kind, tokens in ((REASONING, answer.reasoning_tokens), (CONTENT, answer.content_tokens)):
        for start in range(0, len(tokens), chunk_tokens):
            yield Delta(index, kind, tokens[start : start + chunk_tokens])
    for place, call in enumerate(answer.tool_calls):
        yield Delta(index, TOOL, [], place, call)
        for start in range(0, len(call.argument_tokens), chunk_tokens):
            yield Delta(index, TOOL, call.argument_tokens[start : start + chunk_tokens], place)
