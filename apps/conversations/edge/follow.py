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
from apps.streaming.ids import EventId
from apps.streaming.reader import LogEntry, LogReader
from apps.tenants.contracts import Principal
from apps.tenants.scope import DATABASE_AWAY, database_step

RECHECK_SECONDS = 2.0
KEEPALIVE_SECONDS = 15.0


async def follow(
    principal: Principal, identity: StreamIdentity, reader: LogReader, after: EventId | None, *, html: bool = False
) -> AsyncGenerator[Event, None]:
    """Every event of one generation after `after`, in order, up to its terminal event.

    With `html`, block events are derived on the way; the log is then read from its beginning, so that the blocks
    come out the same for a reader that returns in the middle.
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
                    continue  # the log goes on without it, and so does its reader
                if state.terminal:
                    async for event in _from_database(principal, identity, envelope, after, html):
                        yield event
                    return
                continue
            if entry.fence < fence:
                continue
            fence = entry.fence
            fresh = after is None or EventId(entry.fence, entry.seq) > after
            for event in _events(entry, envelope, blocks):
                if fresh:
                    yield event
            if entry.type in TERMINAL:
                return
    finally:
        subscription.close()


def _events(entry: LogEntry, envelope: Envelope, blocks: BlockEvents | None) -> list[Event]:
    event = envelope.event(entry.type, EventId(entry.fence, entry.seq), entry.body)
    return [event] if blocks is None else [*blocks.derive(entry), event]


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

    None stands for `KEEPALIVE_SECONDS` of silence. Ends early, without terminal events, when the process is stopping:
    the reader comes back after its last id.
    """
    queue: asyncio.Queue[Event | BaseException | None] = asyncio.Queue(maxsize=256)

    async def pump(identity: StreamIdentity) -> None:
        try:
            events = follow(principal, identity, process.reader, after.get(identity.lane), html=html)
            async with aclosing(events):
                async for event in events:
                    await queue.put(event)
            await queue.put(None)
        except Exception as error:
            await queue.put(error)

    async def leave() -> None:
        await process.stopping.wait()
        await queue.put(Leaving())

    tasks = [asyncio.create_task(pump(identity)) for identity in identities]
    open_lanes = len(tasks)
    tasks.append(asyncio.create_task(leave()))
    try:
        while open_lanes:
            try:
                async with asyncio.timeout(KEEPALIVE_SECONDS):
                    item = await queue.get()
            except TimeoutError:
                yield None
                continue
            if item is None:
                open_lanes -= 1
            elif isinstance(item, Leaving):
                return
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Leaving(Exception):
    """This process is about to stop."""


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
