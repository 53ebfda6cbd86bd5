"""The streaming doors and their events in the OpenAPI document, which the generator finds only for REST views."""

from typing import Any

from apps.conversations.requests import (
    MAX_IDEMPOTENCY_KEY,
    MAX_LANES,
    MAX_MESSAGE_BYTES,
    MAX_MODEL_NAME,
    MOST_OUTPUT_TOKENS,
)
from apps.routing.contracts import CacheUse
from apps.tenants.contracts import DOLLARS, LONGEST_FIRST_TOKEN_MS, MOST_USD, NANOUSD_PER_USD
from apps.tenants.edge.openapi import REFUSALS, roles_of
from apps.tenants.instructions import MAX_CHARACTERS
from apps.tenants.policy import Action

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_ID: Schema = {"type": "string", "format": "uuid"}
_EVENT_ID: Schema = {"type": "string", "pattern": r"^[1-9]\d*-\d+$", "description": "`<fence>-<seq>`"}


def _object(description: str, properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def _event(type: str, description: str, body: dict[str, Schema]) -> Schema:
    """An event: what every one carries, and its own fields."""
    common = {
        "type": {"const": type},
        "id": _EVENT_ID,
        "seq": _WHOLE,
        "turn_id": _ID,
        "generation_id": _ID,
        "conversation_id": _ID,
        "lane": _WHOLE,
    }
    return _object(description, common | body)


_STATE = {"enum": ["completed", "partial", "cancelled"]}
_USAGE = _object(
    "Tokens; `cached_tokens` and `cache_write_tokens` are parts of input, `reasoning_tokens` part of output.",
    {
        "input_tokens": _WHOLE,
        "output_tokens": _WHOLE,
        "cached_tokens": _WHOLE,
        "cache_write_tokens": _WHOLE,
        "reasoning_tokens": _WHOLE,
        "estimated": {"type": "boolean"},
    },
)
_COST = _object("Exact, in nano-dollars and as decimal US dollars.", {"nanousd": _WHOLE, "usd": _TEXT})
_MAYBE_MS: Schema = {"type": ["integer", "null"]}
_TIMINGS = _object(
    "Milliseconds since the question was accepted.",
    {"queued_ms": _MAYBE_MS, "first_token_ms": _MAYBE_MS, "total_ms": _MAYBE_MS},
)

EVENTS: dict[str, Schema] = {
    "MessageStarted": _event(
        "message.started",
        "A worker begins. A higher fence than seen before voids all text after `keep`.",
        {
            "model": _TEXT,
            "model_name": _TEXT,
            "message_id": _ID,
            "hue": _WHOLE,
            "fence": _WHOLE,
            "keep": _WHOLE,
        },
    ),
    "TokenDelta": _event("token.delta", "The next piece of the answer.", {"text": _TEXT}),
    "ReasoningDelta": _event("reasoning.delta", "The next piece of the model's reasoning.", {"text": _TEXT}),
    "ToolCallStarted": _event("tool.call.started", "The model begins a tool call.", {"call_id": _TEXT, "name": _TEXT}),
    "ToolCallCompleted": _event(
        "tool.call.completed",
        "A tool call is complete; `arguments` is JSON as the model wrote it.",
        {"call_id": _TEXT, "name": _TEXT, "arguments": _TEXT},
    ),
    "MessageRestarted": _event(
        "message.restarted",
        "The provider died and another attempt begins: drop the text after `keep`.",
        {"reason": _TEXT, "keep": _WHOLE},
    ),
    "MessageSnapshot": _event(
        "message.snapshot",
        "The whole answer at once; it replaces what was shown. `html` only with render=html.",
        {"text": _TEXT, "reasoning": _TEXT},
    ),
    "BlockOpen": _event(
        "block.open",
        "With render=html: a block began; `start` counts UTF-16 code units into the raw text.",
        {"index": _WHOLE, "kind": _TEXT, "info": _TEXT, "start": _WHOLE},
    ),
    "BlockHtml": _event(
        "block.html", "With render=html: a block is complete, as safe HTML.", {"index": _WHOLE, "html": _TEXT}
    ),
    "MessageCompleted": _event(
        "message.completed",
        "The end; the answer is stored.",
        {
            "state": _STATE,
            "finish_reason": {"type": ["string", "null"]},
            "text_sha256": _TEXT,
            "usage": _USAGE,
            "cost": _COST,
            "timings": _TIMINGS,
            "route": {"type": "object", "description": "Candidates, exclusions, attempts and prices."},
        },
    ),
    "MessageError": _event(
        "message.error",
        "The end of a failed answer.",
        {"code": _TEXT, "message": _TEXT, "retryable": {"type": "boolean"}, "state": {"const": "failed"}},
    ),
}

_SENT: Schema = _object(
    "A server-sent event. Those that derive from another (`block.*`) have no id of their own.",
    {
        "event": {"enum": [event["properties"]["type"]["const"] for event in EVENTS.values()]},
        "id": {"type": "string", "description": "What to resume after: an event id, on a turn's stream a cursor."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/StreamEvent"},
        },
    },
    optional=("id",),
)
_SLUG: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_MODEL_NAME}
_ASK: Schema = _object(
    "A question. Without a model it goes to the conversation's own, or to the first on offer.",
    {
        "message": {"type": "string", "minLength": 1, "description": f"At most {MAX_MESSAGE_BYTES:,} bytes of UTF-8."},
        "conversation_id": {"type": ["string", "null"], "format": "uuid"},
        "models": {"type": "array", "items": _SLUG, "minItems": 1, "maxItems": MAX_LANES},
        "model": {**_SLUG, "description": "One model; instead of `models`."},
        "instructions": {
            "type": ["string", "null"],
            "maxLength": MAX_CHARACTERS,
            "description": "What the models of a new conversation are told before each question.",
        },
        "max_output_tokens": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": MOST_OUTPUT_TOKENS,
            "description": "At most so many tokens in each answer, thoughts included; the workspace may allow fewer.",
        },
        "max_cost_usd": {
            "type": ["string", "number", "null"],
            "pattern": DOLLARS,
            "minimum": 1 / NANOUSD_PER_USD,
            "maximum": MOST_USD,
            "description": "Models whose answer is likely to cost more US dollars are left out.",
        },
        "max_first_token_ms": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": LONGEST_FIRST_TOKEN_MS,
            "description": "A policy's models measured slower than this come last.",
        },
        "stream": {"type": "boolean", "default": False},
        "cache": {
            "enum": [use.value for use in CacheUse],
            "default": CacheUse.USE.value,
            "description": "`bypass` asks anew and replaces what the workspace's answer cache holds; `no_store` leaves "
            "no trace in it either. `Cache-Control: no-cache` and `no-store` say the same.",
        },
    },
    optional=(
        "conversation_id",
        "models",
        "model",
        "instructions",
        "max_output_tokens",
        "max_cost_usd",
        "max_first_token_ms",
        "stream",
        "cache",
    ),
)
_LANE: Schema = _object(
    "An accepted lane.",
    {
        "generation_id": _ID,
        "message_id": _ID,
        "lane": _WHOLE,
        "model": _TEXT,
        "model_name": _TEXT,
        "hue": _WHOLE,
        "stream_url": _TEXT,
    },
)
_ACCEPTED: Schema = _object(
    "An accepted turn: every generation named here reaches one final state.",
    {
        "conversation_id": _ID,
        "turn_id": _ID,
        "title": _TEXT,
        "created": {"type": "boolean"},
        "stream_url": _TEXT,
        "generations": {"type": "array", "items": {"$ref": "#/components/schemas/AcceptedLane"}},
    },
)


def _parameter(name: str, place: str, schema: Schema, *, required: bool = False) -> Schema:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _answers(**by_status: Schema) -> Schema:
    """Answers by status (`_200`); the refusals are told for all operations alike."""
    return {status.lstrip("_"): answer for status, answer in by_status.items()}


def _json(description: str, schema: str) -> Schema:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


_STREAM: Schema = {
    "description": "Server-sent events. The schema is that of each: its `data` is one of `StreamEvent`, as JSON.",
    "content": {"text/event-stream": {"schema": {"$ref": "#/components/schemas/SentEvent"}}},
}
# Preferences that a server does not know are passed over (RFC 7240).
_PREFER: Schema = {"type": "string", "examples": ["respond-async"]}
_GENERATION = _parameter("generation_id", "path", _ID, required=True)


def _door(operation_id: str, action: Action, description: str, responses: Schema, **more: Any) -> Schema:
    """An operation; `refusals` are those beyond what all operations know."""
    return {
        "operationId": operation_id,
        "tags": ["chat"],
        "description": description,
        "security": [{scheme: []} for scheme in ("bearer", "apiKey", "session")],
        "responses": responses,
        REFUSALS: more.pop("refusals", []),
        **roles_of(action),
        **more,
    }


def _ask_door() -> Schema:
    answer = dict(_json("The finished turn; with stream=true an event stream.", "TurnOut"))
    answer["content"] = answer["content"] | _STREAM["content"]
    key = {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY}
    return _door(
        "chat_ask",
        Action.CHAT_ASK,
        "Ask one question of 1 to 8 models.",
        _answers(_200=answer, _202=_json("Accepted; follow the streams.", "AcceptedTurn")),
        parameters=[_parameter("Idempotency-Key", "header", key), _parameter("Prefer", "header", _PREFER)],
        requestBody={
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Ask"}}},
        },
        refusals=[404, 422, 429],
    )


def _stream_door() -> Schema:
    return _door(
        "chat_stream",
        Action.CHAT_READ,
        "Resume a lane (a generation's id) or a turn, exactly after an id.",
        _answers(_200=_STREAM, _204={"description": "Nothing is left after that id."}),
        parameters=[
            _parameter("stream_id", "path", _ID, required=True),
            _parameter("Last-Event-ID", "header", _TEXT),
            _parameter("last_event_id", "query", _TEXT),
            _parameter("render", "query", {"type": "string", "enum": ["html"]}),
        ],
        refusals=[429],
    )


def _paths() -> dict[str, Schema]:
    cancel = _door(
        "chat_cancel",
        Action.CHAT_ASK,
        "Stop an answer; what was received is kept.",
        _answers(_202=_json("Where it stands now.", "Cancelled")),
        parameters=[_GENERATION],
    )
    retry = _door(
        "chat_retry",
        Action.CHAT_ASK,
        "Ask the same lane the same question again.",
        _answers(_202=_json("The new generation.", "AcceptedLane")),
        parameters=[_GENERATION],
        refusals=[429],
    )
    return {
        "/v1/chat/messages": {"post": _ask_door()},
        "/v1/chat/streams/{stream_id}": {"get": _stream_door()},
        "/v1/chat/generations/{generation_id}/cancel": {"post": cancel},
        "/v1/chat/generations/{generation_id}/retry": {"post": retry},
    }


def add_streaming_doors(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """drf-spectacular's postprocessing hook."""
    schemas: dict[str, Schema] = result.setdefault("components", {}).setdefault("schemas", {})
    schemas |= EVENTS
    schemas |= {
        "SentEvent": _SENT,
        "StreamEvent": {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in EVENTS]},
        "Ask": _ASK,
        "AcceptedLane": _LANE,
        "AcceptedTurn": _ACCEPTED,
        "Cancelled": _object("A generation's state.", {"generation_id": _ID, "state": _TEXT}),
    }
    result["paths"] |= _paths()
    return result
