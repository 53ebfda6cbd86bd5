"""Calls that are answered in one piece: embeddings and moderation, in OpenAI's form."""

import asyncio
from typing import Any
from uuid import UUID

import aiohttp
import orjson

from apps.outbound import refusal
from apps.routing.contracts import ProviderAccess
from apps.routing.errors import ConnectFailed, GapTimeout, MalformedStream, ProviderMisconfigured, StreamCut
from apps.routing.providers import refusals, sessions
from apps.routing.providers.http_stream import ATTEMPT_HEADER, refused_sentence
from apps.routing.providers.openai_compatible import key_headers

_MAX_BYTES = 4_194_304


async def post(
    access: ProviderAccess, provider: str, path: str, document: Any, attempt_id: UUID, *, timeout_seconds: float
) -> dict[str, Any]:
    """What the provider answers to that document, as JSON. Raises a `ProviderFailed`."""
    session = await sessions.current(trusted=access.trusted)
    headers = {"Content-Type": "application/json", ATTEMPT_HEADER: str(attempt_id), **key_headers(access)}
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            session.post(
                f"{access.base_url.rstrip('/')}/{path}",
                data=orjson.dumps(document),
                headers=headers,
                allow_redirects=False,
            ) as response,
        ):
            body = b""
            while len(body) <= _MAX_BYTES and (data := await response.content.readany()):
                body += data
            if response.status != 200:
                raise refusals.from_status(response.status, body, response.headers, provider, access)
    except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
        if refusal(error):
            raise ProviderMisconfigured(refused_sentence(provider)) from error
        raise ConnectFailed(f"{provider} cannot be reached. Try again in a minute.") from error
    except TimeoutError as error:
        raise GapTimeout(f"{provider} did not answer within {timeout_seconds:g} s.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise StreamCut(f"{provider} ended the connection without an answer.") from error
    return _object(body, provider)


def _object(body: bytes, provider: str) -> dict[str, Any]:
    try:
        document = orjson.loads(body) if len(body) <= _MAX_BYTES else None
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise MalformedStream(f"What {provider} answered cannot be read.")
    return document
