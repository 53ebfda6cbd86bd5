"""Composition: one application with a state of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from simulator.anthropic_wire import ANTHROPIC
from simulator.calls import Simulator, wire_of
from simulator.control import Control
from simulator.errors import ApiError
from simulator.openai_wire import OPENAI

_MAX_BODY_BYTES = 64 * 1024 * 1024


@web.middleware
async def _json_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Unknown paths and methods answer in the error shape of the caller's format too."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        refused = ApiError(f"{error.reason} ({request.method} {request.path})")
        refused.status = error.status
        return web.json_response(wire_of(request).refusal(refused), status=error.status)


def build_app() -> web.Application:
    """The application: the providers' endpoints and the control endpoints over one fresh state."""
    simulator = Simulator()
    app = web.Application(middlewares=[_json_errors], client_max_size=_MAX_BODY_BYTES)
    app.add_routes(
        [
            web.post("/v1/chat/completions", simulator.chat(OPENAI)),
            web.post("/v1/messages", simulator.chat(ANTHROPIC)),
            web.post("/v1/messages/count_tokens", simulator.count_tokens),
            web.post("/v1/embeddings", simulator.embeddings),
            web.post("/v1/moderations", simulator.moderations),
            web.get("/v1/models", simulator.models),
            web.get("/v1/models/{slug}", simulator.models),
            *Control(simulator).routes(),
        ]
    )
    return app
