"""Rendered blocks for readers that ask for HTML: a Markdown block is rendered once, when it closes."""

import asyncio

import orjson

from apps.conversations.edge.events import TERMINAL, Envelope, Event
from apps.markdown import BlockClosed, BlockEvent, BlockStream
from apps.streaming.ids import EventId
from apps.streaming.reader import LogEntry


class BlockEvents:
    """Derives block events from one generation's log entries, read from the beginning of the log."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._stream = BlockStream()

    async def derive(self, entry: LogEntry) -> list[Event]:
        """The events that go out before `entry`'s own.

        A long block takes long to parse and draw; that happens beside the event loop, which serves other readers.
        """
        id = EventId(entry.fence, entry.seq)
        if entry.type == "token.delta":
            text = orjson.loads(entry.body)["text"]
            if self._stream.is_heavy(text):
                return self._events(id, await asyncio.to_thread(self._stream.feed, text))
            return self._events(id, self._stream.feed(text))
        if entry.type in ("message.started", "message.restarted"):
            self._stream = BlockStream()
        elif entry.type in TERMINAL:
            if self._stream.is_heavy(None):
                return self._events(id, await asyncio.to_thread(self._stream.finish))
            return self._events(id, self._stream.finish())
        return []

    def _events(self, id: EventId, blocks: list[BlockEvent]) -> list[Event]:
        return [self._event(id, block) for block in blocks]

    def _event(self, id: EventId, block: BlockEvent) -> Event:
        if isinstance(block, BlockClosed):
            return self._envelope.event("block.html", id, orjson.dumps({"index": block.index, "html": block.html}))
        body = {"index": block.index, "kind": block.kind, "info": block.info, "start": block.start}
        return self._envelope.event("block.open", id, orjson.dumps(body))
