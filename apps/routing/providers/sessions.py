"""HTTP client sessions that end with their event loop: one for addresses operators chose, one for all others."""

import asyncio
from collections.abc import AsyncGenerator

import aiohttp
from django.conf import settings

from apps.outbound import Policy, client_session

# Below the five seconds after which common servers (uvicorn, vLLM) drop an idle connection: a request that meets
# the drop fails, and it would cost an attempt.
_KEEPALIVE_SECONDS = 4.0
_DNS_CACHE_SECONDS = 60

_Keeper = AsyncGenerator[aiohttp.ClientSession, None]
_open: dict[tuple[asyncio.AbstractEventLoop, bool], tuple[aiohttp.ClientSession, _Keeper]] = {}


async def current(*, trusted: bool) -> aiohttp.ClientSession:
    """The running loop's session: no cookies, no proxies from the environment, no limit on connections.

    One that is not `trusted` calls what `outbound` lets through.
    """
    place = asyncio.get_running_loop(), trusted
    if entry := _open.get(place):
        return entry[0]
    # A loop that shuts down closes the async generators it has seen, so the session ends with its loop.
    keeper = _keep(place)
    session = await anext(keeper)
    _open[place] = session, keeper
    return session


async def close() -> None:
    """Close the running loop's sessions now."""
    for trusted in (True, False):
        if entry := _open.get((asyncio.get_running_loop(), trusted)):
            await entry[1].aclose()


async def _keep(place: tuple[asyncio.AbstractEventLoop, bool]) -> _Keeper:
    session = _trusting() if place[1] else _guarded()
    try:
        yield session
    finally:
        _open.pop(place, None)
        await session.close()


def _trusting() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, keepalive_timeout=_KEEPALIVE_SECONDS, use_dns_cache=True, ttl_dns_cache=_DNS_CACHE_SECONDS
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        headers={"User-Agent": "switchboard"},
    )


def _guarded() -> aiohttp.ClientSession:
    return client_session(
        Policy.parse(settings.ENV.outbound_allow),
        keepalive_seconds=_KEEPALIVE_SECONDS,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        headers={"User-Agent": "switchboard"},
    )
