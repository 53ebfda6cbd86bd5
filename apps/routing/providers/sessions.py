"""One HTTP client session per event loop, which ends with its loop."""

import asyncio
from collections.abc import AsyncGenerator

import aiohttp

# Below the five seconds after which common servers (uvicorn, vLLM) drop an idle connection: a request that meets
# the drop fails, and it would cost an attempt.
_KEEPALIVE_SECONDS = 4.0
_DNS_CACHE_SECONDS = 60

_Keeper = AsyncGenerator[aiohttp.ClientSession, None]
_open: dict[asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, _Keeper]] = {}


async def current() -> aiohttp.ClientSession:
    """The running loop's session: no cookies, no proxies from the environment, no limit on connections."""
    loop = asyncio.get_running_loop()
    if entry := _open.get(loop):
        return entry[0]
    # A loop that shuts down closes the async generators it has seen, so the session ends with its loop.
    keeper = _keep(loop)
    session = await anext(keeper)
    _open[loop] = session, keeper
    return session


async def close() -> None:
    """Close the running loop's session now."""
    if entry := _open.get(asyncio.get_running_loop()):
        await entry[1].aclose()


async def _keep(loop: asyncio.AbstractEventLoop) -> _Keeper:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, keepalive_timeout=_KEEPALIVE_SECONDS, use_dns_cache=True, ttl_dns_cache=_DNS_CACHE_SECONDS
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        headers={"User-Agent": "switchboard"},
    )
    try:
        yield session
    finally:
        _open.pop(loop, None)
        await session.close()
