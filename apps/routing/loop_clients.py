"""One Redis client for each event loop: a connection belongs to the loop that opened it."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from redis.asyncio import Redis

_Keeper = AsyncGenerator[Redis, None]


class LoopClients:
    """`make` makes a loop's client where it is first asked for; it closes with its loop."""

    def __init__(self, make: Callable[[], Redis]) -> None:
        self._make = make
        self._open: dict[asyncio.AbstractEventLoop, tuple[Redis, _Keeper]] = {}

    async def here(self) -> Redis:
        """The running loop's. A loop that shuts down closes the async generators it has seen, so it ends with it."""
        loop = asyncio.get_running_loop()
        if known := self._open.get(loop):
            return known[0]
        keeper = self._keep(loop)
        client = await anext(keeper)
        self._open[loop] = client, keeper
        return client

    async def _keep(self, loop: asyncio.AbstractEventLoop) -> _Keeper:
        client = self._make()
        try:
            yield client
        finally:
            self._open.pop(loop, None)
            await client.aclose()
