"""Positions: the id of one event, and the position of a turn with several lanes. Both are what clients send back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

# 15 digits stay below 2**53, the bound of Redis' scripts and of JavaScript.
_EVENT = re.compile(r"([1-9][0-9]{0,14})-(0|[1-9][0-9]{0,14})")
_LANE = re.compile(r"([1-9][0-9]{0,3}):(.+)")
_MAX_CURSOR_CHARACTERS = 2_000


class EventId(NamedTuple):
    """`<fence>-<seq>`: the fence (from 1) counts claims of the generation, the seq (from 0) entries of one claim."""

    fence: int
    seq: int

    def __str__(self) -> str:
        return f"{self.fence}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> "EventId":
        """The id that `str` wrote; `ValueError` for everything else."""
        found = _EVENT.fullmatch(text)
        if found is None:
            raise ValueError("an event id is <fence>-<seq>, such as 1-15")
        return cls(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class TurnCursor:
    """The last event seen on each lane of a turn, as `1:1-15,2:1-9`, lanes ascending."""

    positions: Mapping[int, EventId]

    def __str__(self) -> str:
        return ",".join(f"{lane}:{id}" for lane, id in sorted(self.positions.items()))

    @classmethod
    def parse(cls, text: str) -> "TurnCursor":
        """The cursor that `str` wrote; `ValueError` for everything else."""
        if len(text) > _MAX_CURSOR_CHARACTERS:
            raise ValueError("a turn cursor has one position per lane")
        positions: dict[int, EventId] = {}
        last_lane = 0
        for part in text.split(","):
            found = _LANE.fullmatch(part)
            if found is None or int(found[1]) <= last_lane:
                raise ValueError("a turn cursor is lane:fence-seq, joined by commas, lanes ascending")
            last_lane = int(found[1])
            positions[last_lane] = EventId.parse(found[2])
        return cls(positions)
