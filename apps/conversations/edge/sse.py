"""Server-sent events: POST /v1/chat/messages, and the resumable streams of a lane or a turn.

Plain async views: a stream holds neither a thread nor a database connection while it waits.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from uuid import UUID

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from apps.conversations import requests, selectors, services
from apps.conversations.contracts import StreamIdentity, TurnAccepted
from apps.conversations.edge import route_header
from apps.conversations.edge.events import Event
from apps.conversations.edge.follow import follow, follow_all, identities_of, identities_of_turn
from apps.conversations.edge.http import door, json_object
from apps.conversations.edge.process import Person, Places, process
from apps.conversations.edge.replies import accepted_json, generation_json, json_response, turn_json
from apps.conversations.errors import InvalidMessage, TooManyStreams
from apps.streaming.ids import EventId, TurnCursor
from apps.tenants.contracts import Principal
from apps.tenants.errors import CredentialRefused
from apps.tenants.policy import Action, opens
from apps.tenants.scope import database_step

RETRY_SECONDS = 2.0

log = structlog.get_logger(__name__)

_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


@opens(POST=Action.CHAT_ASK)
@door("POST")
async def messages(request: HttpRequest, principal: Principal) -> HttpResponseBase:
    """Ask one question of 1 to 8 models: an event stream, 202 with stream addresses, or the finished JSON."""
    body = json_object(request)
    stream = body.get("stream", False)
    if not isinstance(stream, bool):
        raise InvalidMessage("stream: Send true or false.", fields={"stream": ["Send true or false."]})
    wanted = requests.turn_request(
        body, request.headers.get("Idempotency-Key"), request.headers.get("Cache-Control", "")
    )
    turn = await database_step(services.start_turn, principal, wanted)
    if "respond-async" in request.headers.get("Prefer", ""):
        headers = {"Preference-Applied": "respond-async", **route_header.planned(turn.generations)}
        return json_response(accepted_json(turn), status=202, headers=headers)
    identities = await identities_of_turn(principal, turn)
    if stream:
        response = _event_stream(request, principal, identities, {}, lane_stream=False, html=False)
        for name, value in route_header.planned(turn.generations).items():
            response[name] = value
        return response
    return await _finished(principal, turn, identities)


async def _finished(principal: Principal, turn: TurnAccepted, identities: list[StreamIdentity]) -> HttpResponse:
    """Wait until every lane is final, then answer from PostgreSQL. A caller that hangs up cancels nothing."""
    async with aclosing(follow_all(principal, identities, process(), {})) as events:
        async for _ in events:
            pass
    row = await database_step(selectors.turn, principal, turn.conversation_id, turn.turn_id)
    if not all(answer.state.terminal for answer in row.answers):
        # This process is leaving; the answers go on, and another process will tell them.
        return json_response(accepted_json(turn), status=202, headers=route_header.planned(turn.generations))
    return json_response(turn_json(turn.conversation_id, row), headers=route_header.answered(row.answers))


@opens(GET=Action.CHAT_READ)
@door("GET")
async def stream(request: HttpRequest, principal: Principal, stream_id: UUID) -> HttpResponseBase:
    """Resume a lane (a generation's id) or a whole turn exactly after `Last-Event-ID`; 204 where nothing is left."""
    last = request.headers.get("Last-Event-ID") or request.GET.get("last_event_id") or ""
    html = wants_html(request.GET.get("render"))
    identities = await identities_of(principal, stream_id)
    lane_stream = identities[0].generation_id == stream_id
    after = position(last, identities[0].lane if lane_stream else None)
    return await _resumed(request, principal, identities, after, lane_stream=lane_stream, html=html)


async def _resumed(
    request: HttpRequest,
    principal: Principal,
    identities: list[StreamIdentity],
    after: dict[int, EventId],
    *,
    lane_stream: bool,
    html: bool,
) -> HttpResponseBase:
    """204 tells an `EventSource` to stop: everything is final and the reader has it all."""
    if all(identity.state.terminal for identity in identities) and after:
        unread = False
        for identity in identities:
            async with aclosing(follow(principal, identity, process().reader, after.get(identity.lane))) as events:
                unread = unread or [event async for event in events] != []
        if not unread:
            return HttpResponse(status=204)
    return _event_stream(request, principal, identities, after, lane_stream=lane_stream, html=html)


def wants_html(render: object) -> bool:
    """Whether a reader asked for the answer's blocks; raises `InvalidMessage` for what nobody can be shown."""
    if render not in (None, "html"):
        raise InvalidMessage('render: Send "html", or leave it out.', fields={"render": ["Unknown."]})
    return render == "html"


def position(last_event_id: str, lane: int | None) -> dict[int, EventId]:
    """The position per lane that a resume names: an event id on a lane's stream, a cursor on a turn's."""
    if not last_event_id:
        return {}
    try:
        if lane is not None:
            return {lane: EventId.parse(last_event_id)}
        return dict(TurnCursor.parse(last_event_id).positions)
    except ValueError:
        raise InvalidMessage(
            "Last-Event-ID: This is not an id of this stream.", fields={"Last-Event-ID": ["Not an id of this stream."]}
        ) from None


@opens(POST=Action.CHAT_ASK)
@door("POST")
async def cancel(request: HttpRequest, principal: Principal, generation_id: UUID) -> HttpResponseBase:
    """Stop an answer; what was received is kept."""
    state = await database_step(services.cancel, principal, generation_id)
    return json_response({"generation_id": str(generation_id), "state": state.value}, status=202)


@opens(POST=Action.CHAT_ASK)
@door("POST")
async def retry(request: HttpRequest, principal: Principal, generation_id: UUID) -> HttpResponseBase:
    """Ask the same lane the same question again."""
    generation = await database_step(services.retry, principal, generation_id)
    return json_response(generation_json(generation), status=202, headers=route_header.planned([generation]))


def _event_stream(
    request: HttpRequest,
    principal: Principal,
    identities: list[StreamIdentity],
    after: dict[int, EventId],
    *,
    lane_stream: bool,
    html: bool,
) -> StreamingHttpResponse:
    places, who = process().event_streams, (principal.tenant_id, principal.user_id)
    if not places.has_room(who):
        raise TooManyStreams(
            "This process carries as many event streams as it may. The answers go on; resume them in a moment.",
            retry_after_seconds=RETRY_SECONDS,
        )
    events = follow_all(principal, identities, process(), after, html=html)
    frames = _counted(places, who, _frames(events, None if lane_stream else dict(after)))
    return StreamingHttpResponse(frames, content_type="text/event-stream", headers=_HEADERS)


async def _counted(places: Places, who: Person, frames: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """Counted only from its first frame: a response that is never begun is never closed either."""
    places.take(who)
    try:
        async with aclosing(frames):
            async for frame in frames:
                yield frame
    finally:
        places.leave(who)


async def _frames(
    events: AsyncGenerator[Event | None, None], cursor: dict[int, EventId] | None
) -> AsyncGenerator[bytes, None]:
    """Events in SSE's form, with a comment for each stretch of silence. A reader whose right has ended is cut off."""
    try:
        async with aclosing(events):
            async for event in events:
                yield b": keepalive\n\n" if event is None else _frame(event, cursor)
    except CredentialRefused:
        log.info("stream.cut_off")


def _frame(event: Event, cursor: dict[int, EventId] | None) -> bytes:
    """A derived event has no `id:` of its own: resuming after it must bring its entry."""
    if event.type.startswith("block."):
        return b"event: " + event.type.encode() + b"\ndata: " + event.data + b"\n\n"
    if cursor is None:
        id = str(event.id)
    else:
        cursor[event.lane] = event.id
        id = str(TurnCursor(cursor))
    return f"event: {event.type}\nid: {id}\ndata: ".encode() + event.data + b"\n\n"
