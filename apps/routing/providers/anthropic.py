"""Anthropic's Messages API over HTTP: Anthropic itself, and those who speak its format."""

from collections.abc import AsyncGenerator

from apps.routing.contracts import ProviderAccess
from apps.routing.providers import http_stream, refusals
from apps.routing.providers.anthropic_body import body_of
from apps.routing.providers.anthropic_events import EventReader
from apps.routing.providers.base import Delta, Progress, Request

VERSION = "2023-06-01"


class Anthropic:
    """Implements `base.Adapter`. Has no state: connections belong to the loop's session."""

    def answer(self, request: Request, progress: Progress) -> AsyncGenerator[Delta, None]:
        """See `base.Adapter.answer`."""
        body, text_tool = body_of(request)
        reader = EventReader(
            progress,
            lambda error: refusals.from_error_object(error, request.provider_name, request.access),
            text_tool=text_tool,
        )
        outgoing = http_stream.Outgoing("messages", body, key_headers(request.access))
        return http_stream.deltas(request, outgoing, reader, progress)


def key_headers(access: ProviderAccess) -> dict[str, str]:
    """How the key travels, with the version of the format."""
    version = {"anthropic-version": VERSION}
    return {"x-api-key": access.key, **version} if access.key else version
