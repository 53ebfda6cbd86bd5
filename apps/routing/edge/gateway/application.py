"""Which paths are these doors'; everything else goes on to Django."""

from apps.routing.edge.gateway.doors import AnswersDoor, CountDoor, Door, VectorsDoor
from apps.routing.edge.gateway.http import Receive, Scope, Send
from apps.routing.wire import anthropic_messages, embeddings, openai_chat, openai_responses
from apps.tenants.edge.client_address import Application
from apps.tenants.edge.slow_bodies import BodiesInTime

DOORS: dict[str, Door] = {
    door.path: door
    for door in (
        AnswersDoor("/v1/chat/completions", openai_chat),
        AnswersDoor("/v1/responses", openai_responses),
        AnswersDoor("/v1/messages", anthropic_messages),
        CountDoor("/v1/messages/count_tokens", anthropic_messages.error_document),
        VectorsDoor("/v1/embeddings", embeddings.error_document),
    )
}


class BesideDjango:
    """ASGI application for HTTP."""

    def __init__(self, django: Application) -> None:
        self._django = BodiesInTime(django)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await DOORS.get(scope["path"], self._django)(scope, receive, send)
