"""Events as doors send them: the log's entry with the envelope that every event of a stream repeats."""

from dataclasses import dataclass

import orjson

from apps.conversations.contracts import StreamIdentity
from apps.streaming.ids import EventId

TERMINAL = frozenset({"message.completed", "message.error"})


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `data` is the whole JSON object, `id` the log's `<fence>-<seq>`.

    Derived events (blocks) carry the id of the entry they come from, and go out before it.
    """

    type: str
    id: EventId
    lane: int
    data: bytes

    @property
    def terminal(self) -> bool:
        return self.type in TERMINAL


class Envelope:
    """Puts what every event of a stream repeats around an entry's body, without parsing the body."""

    def __init__(self, identity: StreamIdentity) -> None:
        fields = {
            "turn_id": str(identity.turn_id),
            "generation_id": str(identity.generation_id),
            "conversation_id": str(identity.conversation_id),
            "lane": identity.lane,
        }
        self._lane = identity.lane
        self._common = orjson.dumps(fields)[1:-1]

    def event(self, type: str, id: EventId, body: bytes) -> Event:
        """`body` is a JSON object, as bytes."""
        rest = b"}" if body == b"{}" else b"," + body[1:]
        head = f'{{"type":"{type}","id":"{id}","seq":{id.seq},'.encode()
        return Event(type, id, self._lane, head + self._common + rest)
