"""What one reader was told, and what a page would show after it. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

TERMINAL = frozenset({"message.completed", "message.error"})
START, SNAPSHOT = "message.started", "message.snapshot"


@dataclass(frozen=True, slots=True)
class Seen:
    """One event of one generation, with the Unix time of its arrival. `text` of deltas and snapshots."""

    at: float
    type: str
    fence: int
    seq: int
    text: str
    body: dict[str, Any]

    @property
    def position(self) -> tuple[int, int]:
        return self.fence, self.seq

    @classmethod
    def of(cls, body: dict[str, Any], at: float) -> "Seen":
        fence, _, seq = str(body["id"]).partition("-")
        return cls(at, body["type"], int(fence), int(seq), str(body.get("text", "")), body)


@dataclass(slots=True)
class Break:
    """A connection that ended before the answer did. `at` and `resumed_at` (first event after) in Unix seconds."""

    at: float
    url: str
    wanted: bool
    resumed_at: float | None = None


@dataclass(slots=True)
class Reading:
    """All that one reader was told, by generation id. `faults` is what no reader should meet."""

    reader: str
    over: str
    lanes: dict[str, list[Seen]] = field(default_factory=dict)
    breaks: list[Break] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows after a list of events, and what was wrong with their order."""

    text: str
    ending: Seen | None
    disorder: tuple[str, ...]


def show(events: list[Seen]) -> Shown:
    """Apply the rules every reader applies: a new start or a restart drops the text, a snapshot replaces it."""
    text: list[str] = []
    for event in events:
        match event.type:
            case "message.started" | "message.restarted":
                text.clear()
            case "message.snapshot":
                text = [event.text]
            case "token.delta":
                text.append(event.text)
    ending = next((event for event in events if event.type in TERMINAL), None)
    return Shown("".join(text), ending, tuple(_disorder(events)))


def _disorder(events: list[Seen]) -> Iterator[str]:
    """Ids rise strictly and without a gap within a fence; a fence begins with its start; nothing follows the end.

    A snapshot may jump ahead, or repeat the last position: it replaces everything. Only the end follows it.
    """
    before: Seen | None = None
    for event in events:
        if before is not None and before.type in TERMINAL:
            yield f"{event.type} {event.position} after the end {before.position}"
        elif event.type == SNAPSHOT:
            if before is not None and event.position < before.position:
                yield f"snapshot {event.position} after {before.position}"
        elif before is not None and before.type == SNAPSHOT:
            if event.position != (before.fence, before.seq + 1) or event.type not in TERMINAL:
                yield f"{event.type} {event.position} after the snapshot {before.position}"
        elif event.type == START:
            if event.seq != 0 or (before is not None and event.fence <= before.fence):
                yield f"start {event.position} after {before.position if before else None}"
        elif before is None or event.fence != before.fence or event.seq != before.seq + 1:
            yield f"{event.type} {event.position} after {before.position if before else None}"
        before = event


def first_delta_after(events: list[Seen], instant: float, *, above_fence: int = 0) -> float | None:
    """When the first piece of text came after an instant, under a fence above the given one."""
    for event in events:
        if event.at >= instant and event.fence > above_fence and event.type in ("token.delta", SNAPSHOT):
            return event.at
    return None
