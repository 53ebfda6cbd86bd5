"""Replay what was said, then follow: the one loop behind WebSocket, SSE and finished JSON.

Authorised once under row-level security; afterwards the Redis log is read. The row in PostgreSQL stays the truth: an
idle reader asks it again, a log older than the row's fence is ignored, and a finished answer needs no log at all.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from uuid import UUID

import orjson

from apps.conversations import selectors
from apps.conversations.contracts import AnswerRow, GenerationState, StreamIdentity, TurnAccepted
from apps.conversations.edge.blocks import BlockEvents
from apps.conversations.edge.events import TERMINAL, Envelope, Event
from apps.conversations.edge.html import rendered_answer
from apps.conversations.edge.process import WebProcess
from apps.conversations.generation.finish import completed_body
from apps.streaming.errors import LogClosed
from apps.streaming.ids import EventId
from apps.streaming.reader import LogReader
from apps.streaming.subscription import Subscription
from apps.tenants.contracts import Principal
from apps.tenants.errors import CredentialRefused
from apps.tenants.scope import DATABASE_AWAY, database_step
from apps.tenants.standing import Standing

RECHECK_SECONDS = 2.0
KEEPALIVE_SECONDS = 15.0
_MERGED_EVENTS = 256


class OwnReader:
    """The process's log reader as one connection uses it: all that it subscribed can be let go of at once."""

    def __init__(self, reader: LogReader) -> None:
        self.has_let_go = False
        self._reader = reader
        self._subscriptions: list[Subscription] = []

    def subscribe(self, generation_id: UUID, after: EventId | None) -> Subscription:
        if self.has_let_go:
            raise LogClosed("This connection is being closed.")
        subscription = self._reader.subscribe(generation_id, after)
        self._subscriptions.append(subscription)
        return subscription

    def let_go(self) -> None:
        """Close every subscription; who waits for one gets `LogClosed`, and there will be no new one."""
        self.has_let_go = True
        for subscription in self._subscriptions:
            subscription.close()


async def follow(
    principal: Principal,
    identity: StreamIdentity,
    reader: LogReader | OwnReader,
    after: EventId | None,
    *,
    html: bool = False,
) -> AsyncGenerator[Event | None, None]:
    """Every event of one generation after `after`, in order, up to its terminal event.

    None stands for `RECHECK_SECONDS` of silence, after which the row was asked. Raises `LogClosed` when the reader's
    process is stopping. With `html`, block events are derived on the way; the log is then read from its beginning, so
    that the blocks come out the same for a reader that returns in the middle.
    """
    envelope = Envelope(identity)
    state, fence = identity.state, identity.fence
    if state.terminal:
        async for event in _from_database(principal, identity, envelope, after, html):
            yield event
        return
    if after is not None and after.fence < fence:
        after = None
    blocks = BlockEvents(envelope) if html else None
    subscription = reader.subscribe(identity.generation_id, None if html else after)
    try:
        while True:
            entry = await subscription.next(RECHECK_SECONDS)
            if entry is None:
                try:
                    state, fence = await database_step(selectors.standing, principal, identity.generation_id)
                except DATABASE_AWAY:
                    yield None  # the log goes on without it, and so does its reader
                    continue
                if state.terminal:
                    async for event in _from_database(principal, identity, envelope, after, html):
                        yield event
                    return
                yield None
                continue
            if entry.fence < fence:
                continue
            fence = entry.fence
            id = EventId(entry.fence, entry.seq)
            if after is None or id > after:
                for event in await blocks.derive(entry) if blocks is not None else ():
                    yield event
                yield envelope.event(entry.type, id, entry.body)
            elif blocks is not None:
                await blocks.derive(entry)
            if entry.type in TERMINAL:
                return
    finally:
        subscription.close()


async def _from_database(
    principal: Principal, identity: StreamIdentity, envelope: Envelope, after: EventId | None, html: bool
) -> AsyncGenerator[Event, None]:
    """The finished answer: the whole text at once, then its terminal event. Nothing where the reader has it all."""
    answer = await database_step(selectors.answer, principal, identity.generation_id)
    # No log told an end that a reaper wrote, or that came in the queue: its id lies beyond all that a log can tell,
    # so that a reader who was in the middle of a log is told too.
    last = EventId.parse(answer.last_event_id) if answer.last_event_id else EventId(answer.fence + 1, 1)
    if after is not None and after >= last:
        return
    snapshot: dict[str, object] = {"text": answer.text, "reasoning": answer.reasoning}
    if html:
        snapshot["html"] = await asyncio.to_thread(rendered_answer, answer)
    # One below the end's: who is cut off between the two and returns must still be told that it ended.
    yield envelope.event("message.snapshot", EventId(last.fence, last.seq - 1), orjson.dumps(snapshot))
    failed = answer.state is GenerationState.FAILED
    yield envelope.event("message.error" if failed else "message.completed", last, orjson.dumps(terminal_body(answer)))


def terminal_body(answer: AnswerRow) -> dict[str, object]:
    """The body of an answer's terminal event, from its row."""
    if answer.state is GenerationState.FAILED:
        return {
            "code": answer.error_code or "failed",
            "message": answer.error_message or "The answer failed. Try again.",
            "retryable": answer.error_retryable,
            "state": answer.state.value,
        }
    return completed_body(
        state=answer.state,
        finish_reason=answer.finish_reason,
        text_sha256=answer.text_sha256,
        usage=answer.usage,
        cost_nanousd=answer.cost_nanousd or 0,
        queued_ms=answer.queued_ms or 0,
        first_token_ms=answer.first_token_ms,
        total_ms=answer.total_ms,
        route=answer.route,
    )


async def follow_all(
    principal: Principal,
    identities: list[StreamIdentity],
    process: WebProcess,
    after: Mapping[int, EventId],
    *,
    html: bool = False,
) -> AsyncGenerator[Event | None, None]:
    """The events of several lanes as they come, each lane in its own order. `after` holds a position per lane.

    None stands for `KEEPALIVE_SECONDS` of silence. Ends early, without terminal events, when the process is stopping
    or the principal's role has changed: the reader comes back after its last id. Raises `CredentialRefused` when the
    principal does not stand any more.
    """
    if process.stopping.is_set():
        return
    reader = OwnReader(process.reader)
    seat = process.watch.enter(principal, lambda standing: reader.let_go())
    lanes = [follow(principal, one, reader, after.get(one.lane), html=html) for one in identities]
    # Most streams are one lane: a queue and a task between it and its reader would double the cost of an event.
    merged = lanes[0] if len(lanes) == 1 else _merged(lanes)
    loop = asyncio.get_running_loop()
    quiet_since = loop.time()
    try:
        async with aclosing(merged):
            async for event in merged:
                if event is not None:
                    yield event
                elif loop.time() - quiet_since < KEEPALIVE_SECONDS:
                    continue
                else:
                    yield None
                quiet_since = loop.time()
    except LogClosed:
        if seat.standing is Standing.ENDED:
            raise CredentialRefused("The key or sign-in that opened this stream has ended.") from None
        if not (process.stopping.is_set() or reader.has_let_go):
            raise
    finally:
        process.watch.leave(seat)


async def _merged(lanes: list[AsyncGenerator[Event | None, None]]) -> AsyncGenerator[Event | None, None]:
    """What comes from any lane, until all have ended. An error of one ends all."""
    queue: asyncio.Queue[Event | BaseException | None] = asyncio.Queue(maxsize=_MERGED_EVENTS)
    ended = LaneEnded()

    async def pump(lane: AsyncGenerator[Event | None, None]) -> None:
        try:
            async with aclosing(lane):
                async for event in lane:
                    await queue.put(event)
            await queue.put(ended)
        except Exception as error:
            await queue.put(error)

    tasks = [asyncio.create_task(pump(lane)) for lane in lanes]
    open_lanes = len(tasks)
    try:
        while open_lanes:
            item = await queue.get()
            if item is ended:
                open_lanes -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class LaneEnded(Exception):
    """One lane of several has told everything."""


async def identities_of_turn(principal: Principal, turn: TurnAccepted) -> list[StreamIdentity]:
    """The lanes of a turn that was accepted just now. A repeated one may have moved on, so its rows are asked."""
    if turn.replayed:
        return await identities_of(principal, turn.turn_id)
    return [
        StreamIdentity(
            generation_id=lane.generation_id,
            turn_id=turn.turn_id,
            conversation_id=turn.conversation_id,
            message_id=lane.message_id,
            lane=lane.lane,
            model=lane.model,
            model_name=lane.model_name,
            hue=lane.hue,
            state=GenerationState.QUEUED,
            fence=0,
        )
        for lane in turn.generations
    ]


async def identities_of(principal: Principal, stream_id: UUID) -> list[StreamIdentity]:
    """The lanes behind a generation's or a turn's id. Raises `NotFound`."""
    return await database_step(selectors.stream_identities, principal, stream_id)
