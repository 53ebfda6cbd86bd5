"""Composition: one application with a state of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from simulator.calls import Simulator
from simulator.control import Control
from simulator.errors import error_body

_MAX_BODY_BYTES = 64 * 1024 * 1024


@web.middleware
async def _json_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Unknown paths and methods answer in OpenAI's error shape too."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        body = error_body(f"{error.reason} ({request.method} {request.path})", "invalid_request_error")
        return web.json_response(body, status=error.status)


def build_app() -> web.Application:
    """The application: OpenAI's endpoints and the control endpoints over one fresh state."""
    simulator = Simulator()
    app = web.Application(middlewares=[_json_errors], client_max_size=_MAX_BODY_BYTES)
    app.add_routes(
        [
            web.post("/v1/chat/completions", simulator.chat),
            web.post("/v1/embeddings", simulator.embeddings),
            web.get("/v1/models", simulator.models),
            web.get("/v1/models/{slug}", simulator.models),
            *Control(simulator).routes(),
        ]
    )
    return app
