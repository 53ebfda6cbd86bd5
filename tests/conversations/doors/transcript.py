"""What a reader of a stream holds: events as they came, and the texts they add up to by the rules of the protocol."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

TERMINAL = ("message.completed", "message.error")


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `sse_id` is the id line of its frame, None where it has none."""

    type: str
    data: dict[str, Any]
    sse_id: str | None = None

    @property
    def position(self) -> tuple[int, int]:
        fence, _, seq = str(self.data["id"]).partition("-")
        return int(fence), int(seq)


@dataclass(slots=True)
class Lane:
    """One generation as its reader sees it."""

    events: list[Event] = field(default_factory=list)
    text: str = ""
    reasoning: str = ""

    def take(self, event: Event) -> None:
        self.events.append(event)
        match event.type:
            case "message.started" | "message.restarted":
                self.text = self.reasoning = ""
            case "token.delta":
                self.text += event.data["text"]
            case "reasoning.delta":
                self.reasoning += event.data["text"]
            case "message.snapshot":
                self.text, self.reasoning = event.data["text"], event.data["reasoning"]

    @property
    def types(self) -> list[str]:
        """Event types in order, repeated ones once."""
        return [
            event.type
            for place, event in enumerate(self.events)
            if place == 0 or event.type != self.events[place - 1].type
        ]

    @property
    def end(self) -> Event:
        assert self.events and self.events[-1].type in TERMINAL, f"not ended: {self.types}"
        return self.events[-1]

    def check(self) -> "Lane":
        """Ids ascend without a gap within a fence, one terminal event comes last, and its digest is the text's."""
        positions = [event.position for event in self.events if event.type not in ("block.html", "block.open")]
        if self.events[0].type != "message.snapshot":
            for before, after in pairwise(positions):
                assert after in ((before[0], before[1] + 1), (after[0], 0)), f"{after} follows {before}"
                assert after > before
        assert [event.type in TERMINAL for event in self.events].index(True) == len(self.events) - 1
        if self.end.type == "message.completed":
            assert self.end.data["text_sha256"] == hashlib.sha256(self.text.encode()).hexdigest()
        return self


class Transcript:
    """The events of any number of lanes, by generation id."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events: list[Event] = []
        self.lanes: dict[str, Lane] = {}
        for event in events:
            self.take(event)

    def take(self, event: Event) -> None:
        self.events.append(event)
        self.lanes.setdefault(event.data["generation_id"], Lane()).take(event)

    @property
    def only(self) -> Lane:
        (lane,) = self.lanes.values()
        return lane

    @property
    def by_number(self) -> dict[int, Lane]:
        return {lane.events[0].data["lane"]: lane for lane in self.lanes.values()}

    def check_all(self) -> list[Lane]:
        """Every lane, each checked."""
        return [lane.check() for lane in self.lanes.values()]
