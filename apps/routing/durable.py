"""Scripts on the durable Redis, run from event loops. One client per loop."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from apps.routing.loop_clients import LoopClients

DEADLINE_SECONDS = 1.0
_CONNECTIONS = 16


def _made() -> Redis:
    return Redis.from_pool(
        BlockingConnectionPool.from_url(
            settings.REDIS_URL,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            max_connections=_CONNECTIONS,
            timeout=DEADLINE_SECONDS,
        )
    )


_clients = LoopClients(_made)


class Away(Exception):
    """No reply: it is unknown whether the script has run."""


class Script:
    """Lua, known to Redis by its digest."""

    def __init__(self, text: str) -> None:
        self.text = text
        # SHA-1 is the name Redis gives to scripts, not a protection.
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(path.read_text(encoding="utf-8"))

    async def run(self, keys: Sequence[str], *arguments: Any) -> Any:
        """Run it once. Raises `Away`, after a second at the latest."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                client = await _clients.here()
                try:
                    return await client.evalsha(self._sha, len(keys), *keys, *arguments)
                except NoScriptError:
                    return await client.eval(self.text, len(keys), *keys, *arguments)
        except (RedisError, OSError, TimeoutError) as error:
            raise Away(type(error).__name__) from error
