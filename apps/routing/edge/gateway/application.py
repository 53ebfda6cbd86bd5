"""Which paths are these doors'; everything else goes on to Django."""

from apps.routing.edge.gateway.doors import Door
from apps.routing.edge.gateway.http import Receive, Scope, Send
from apps.routing.wire import anthropic_messages, openai_chat, openai_responses
from apps.tenants.edge.client_address import Application

DOORS = {
    door.path: door
    for door in (
        Door("/v1/chat/completions", openai_chat),
        Door("/v1/responses", openai_responses),
        Door("/v1/messages", anthropic_messages),
    )
}


class BesideDjango:
    """ASGI application for HTTP."""

    def __init__(self, django: Application) -> None:
        self._django = django

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await DOORS.get(scope["path"], self._django)(scope, receive, send)
