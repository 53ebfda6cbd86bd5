"""The streaming doors and their events in the OpenAPI document, which the generator finds only for REST views."""

from typing import Any

from apps.conversations.requests import MAX_LANES, MAX_MESSAGE_BYTES

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
    "Tokens; `cached_tokens` are part of input, `reasoning_tokens` part of output.",
    {
        "input_tokens": _WHOLE,
        "output_tokens": _WHOLE,
        "cached_tokens": _WHOLE,
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

_PROBLEM: Schema = _object(
    "A problem (RFC 9457).",
    {
        "type": _TEXT,
        "title": _TEXT,
        "status": _WHOLE,
        "detail": _TEXT,
        "code": _TEXT,
        "retryable": {"type": "boolean"},
        "errors": {"type": "object", "additionalProperties": {"type": "array", "items": _TEXT}},
    },
    optional=("errors",),
)
_ASK: Schema = _object(
    "A question. Without a model it goes to the conversation's own, or to the first on offer.",
    {
        "message": {"type": "string", "description": f"At most {MAX_MESSAGE_BYTES:,} bytes of UTF-8."},
        "conversation_id": {"type": ["string", "null"], "format": "uuid"},
        "models": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_LANES},
        "model": _TEXT,
        "stream": {"type": "boolean", "default": False},
    },
    optional=("conversation_id", "models", "model", "stream"),
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
    """Answers by status (`_200`), and the problem body for everything else."""
    found = {status.lstrip("_"): answer for status, answer in by_status.items()}
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    found["default"] = {"description": "A problem.", "content": {"application/problem+json": problem}}
    return found


def _json(description: str, schema: str) -> Schema:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


_STREAM: Schema = {
    "description": "Server-sent events; each event's data is one of `StreamEvent`.",
    "content": {"text/event-stream": {"schema": {"$ref": "#/components/schemas/StreamEvent"}}},
}
_GENERATION = _parameter("generation_id", "path", _ID, required=True)


def _paths() -> dict[str, Schema]:
    ask_answer = dict(_json("The finished turn; with stream=true an event stream.", "TurnOut"))
    ask_answer["content"] = ask_answer["content"] | _STREAM["content"]
    return {
        "/v1/chat/messages": {
            "post": {
                "operationId": "chat_ask",
                "tags": ["chat"],
                "description": "Ask one question of 1 to 8 models.",
                "parameters": [
                    _parameter("Idempotency-Key", "header", {"type": "string", "maxLength": 255}),
                    _parameter("Prefer", "header", {"type": "string", "enum": ["respond-async"]}),
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Ask"}}},
                },
                "responses": _answers(_200=ask_answer, _202=_json("Accepted; follow the streams.", "AcceptedTurn")),
            }
        },
        "/v1/chat/streams/{stream_id}": {
            "get": {
                "operationId": "chat_stream",
                "tags": ["chat"],
                "description": "Resume a lane (a generation's id) or a turn, exactly after an id.",
                "parameters": [
                    _parameter("stream_id", "path", _ID, required=True),
                    _parameter("Last-Event-ID", "header", _TEXT),
                    _parameter("last_event_id", "query", _TEXT),
                    _parameter("render", "query", {"type": "string", "enum": ["html"]}),
                ],
                "responses": _answers(_200=_STREAM, _204={"description": "Nothing is left after that id."}),
            }
        },
        "/v1/chat/generations/{generation_id}/cancel": {
            "post": {
                "operationId": "chat_cancel",
                "tags": ["chat"],
                "description": "Stop an answer; what was received is kept.",
                "parameters": [_GENERATION],
                "responses": _answers(_202=_json("Where it stands now.", "Cancelled")),
            }
        },
        "/v1/chat/generations/{generation_id}/retry": {
            "post": {
                "operationId": "chat_retry",
                "tags": ["chat"],
                "description": "Ask the same lane the same question again.",
                "parameters": [_GENERATION],
                "responses": _answers(_202=_json("The new generation.", "AcceptedLane")),
            }
        },
    }


def add_streaming_doors(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """drf-spectacular's postprocessing hook."""
    schemas: dict[str, Schema] = result.setdefault("components", {}).setdefault("schemas", {})
    schemas |= EVENTS
    schemas |= {
        "StreamEvent": {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in EVENTS]},
        "Problem": _PROBLEM,
        "Ask": _ASK,
        "AcceptedLane": _LANE,
        "AcceptedTurn": _ACCEPTED,
        "Cancelled": _object("A generation's state.", {"generation_id": _ID, "state": _TEXT}),
    }
    paths = _paths()
    for path in paths.values():
        for operation in path.values():
            operation["security"] = [{"bearer": []}]
    result["paths"] |= paths
    return result
