"""What a provider says it offers: `GET /models`."""

import asyncio
from typing import Any

import aiohttp
import orjson

from apps.outbound import refusal
from apps.routing.contracts import ProviderAccess
from apps.routing.errors import ConnectFailed, FirstTokenTimeout, MalformedStream, ProviderMisconfigured, StreamCut
from apps.routing.providers import anthropic, openai_compatible, refusals, sessions

_MAX_BYTES = 4_194_304
# How each format asks. Anthropic's list comes in pages, and a thousand is its longest.
_ASKED = {
    "openai_compatible": ("", openai_compatible.key_headers),
    "anthropic": ("?limit=1000", anthropic.key_headers),
}


async def upstream_models(
    access: ProviderAccess, provider_name: str, *, timeout_seconds: float, adapter: str = "openai_compatible"
) -> list[str]:
    """Names of the provider's models, sorted. Raises a `ProviderFailed` that says why there is no list."""
    query, key_headers = _ASKED[adapter]
    headers = {"Accept": "application/json", **key_headers(access)}
    session = await sessions.current(trusted=access.trusted)
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            session.get(f"{access.base_url}/models{query}", headers=headers, allow_redirects=False) as response,
        ):
            body = b""
            while len(body) <= _MAX_BYTES and (data := await response.content.readany()):
                body += data
            if response.status != 200:
                raise refusals.from_status(response.status, body, response.headers, provider_name, access)
    except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
        if refused := refusal(error):
            raise ProviderMisconfigured(
                f"{access.base_url} may not be called for a tenant ({refused}). OUTBOUND_ALLOW can allow it."
            ) from error
        raise ConnectFailed(f"{provider_name} cannot be reached at {access.base_url}. Is it running?") from error
    except TimeoutError as error:
        raise FirstTokenTimeout(f"{provider_name} did not list its models within {timeout_seconds:g} s.") from error
    except (aiohttp.ClientError, OSError) as error:
        raise StreamCut(f"{provider_name} ended the connection without an answer.") from error
    names = _names(body)
    if names is None:
        raise MalformedStream(f"What {provider_name} answered is no list of models. Check the address.")
    return sorted(names)


def _names(body: bytes) -> set[str] | None:
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    listed = document.get("data") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return None
    return {str(entry["id"]) for entry in listed if isinstance(entry, dict) and entry.get("id")}
