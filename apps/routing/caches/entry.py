"""What is kept of an answer, and which answers are kept at all."""

import time
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import orjson

from apps.routing.contracts import (
    CacheHit,
    CacheKind,
    Candidate,
    Chunk,
    Finished,
    Plan,
    ReasoningDelta,
    Restarted,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    Usage,
)

# Longer ones are rare, seldom asked for twice, and would push out many others.
MAX_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished answer, with what it used and who gave it. `kept_at` in Unix seconds."""

    text: str
    reasoning: str
    usage: Usage
    attempt_id: UUID
    deployment_id: UUID
    model: str
    kept_at: float

    def to_json(self) -> bytes:
        # As text: `uuid6` has a class of its own, which orjson does not know.
        ids = {name: str(getattr(self, name)) for name in ("attempt_id", "deployment_id")}
        return orjson.dumps({**asdict(self), **ids})

    @classmethod
    def from_json(cls, document: bytes | str) -> "Entry | None":
        """The entry that `to_json` wrote; None for anything else, such as one of another release."""
        try:
            fields: dict[str, Any] = orjson.loads(document)
            ids = {name: UUID(fields[name]) for name in ("attempt_id", "deployment_id")}
            return cls(**{**fields, **ids, "usage": Usage(**fields["usage"])})
        except (KeyError, TypeError, ValueError):
            return None

    def candidate(self, plan: Plan) -> Candidate | None:
        """Who gave it, where they might still answer this call; an answer of somebody else is not served."""
        return next((one for one in plan.candidates if one.deployment_id == self.deployment_id), None)

    def hit(self, kind: CacheKind, candidate: Candidate, similarity: float = 1.0) -> CacheHit:
        return CacheHit(
            kind=kind,
            age_seconds=max(0.0, time.time() - self.kept_at),
            similarity=similarity,
            saved_nanousd=candidate.price.amount_nanousd(self.usage),
            saved_input_tokens=self.usage.input_tokens,
            saved_output_tokens=self.usage.output_tokens,
        )


class Recording:
    """Listens to an answer on its way, and gives the entry to keep once it has ended well."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._bytes = 0
        self._fit = True

    def hear(self, chunk: Chunk) -> None:
        match chunk:
            case TextDelta(text):
                self._take(self._text, text)
            case ReasoningDelta(text):
                self._take(self._reasoning, text)
            case Restarted():
                self._text.clear()
                self._reasoning.clear()
                self._bytes, self._fit = 0, True
            case ToolCallStarted() | ToolCallCompleted():
                self._fit = False

    def entry(self, finished: Finished) -> Entry | None:
        """None for what is never served again: cut, filtered, empty, very long, with tool calls, pieced together
        from several attempts, or of a stand-in that only answered because others failed."""
        if not self._fit or not any(self._text) or finished.finish_reason != "stop":
            return None
        if finished.candidate.after is not None or finished.parts or finished.cache is not None:
            return None
        return Entry(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            usage=finished.usage,
            attempt_id=finished.attempt_id,
            deployment_id=finished.candidate.deployment_id,
            model=finished.candidate.model,
            kept_at=time.time(),
        )

    def _take(self, parts: list[str], text: str) -> None:
        self._bytes += len(text.encode("utf-8", "surrogatepass"))
        if self._bytes > MAX_BYTES:
            self._fit = False
            parts.clear()
        elif self._fit:
            parts.append(text)
