"""One Redis connection that is held for good: commands packed by hand go out together, replies come back in order."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from apps.streaming.errors import LogUnavailable

CONNECT_TIMEOUT_SECONDS = 2.0
FIRST_BACK_OFF_SECONDS = 0.02
LONGEST_BACK_OFF_SECONDS = 0.5


class HeldConnection:
    """Made like the client's own connections (address, TLS, credentials), but outside its pool.

    Nothing is repeated here: whoever sends knows whether sending again is harmless.
    """

    def __init__(self, redis: Redis) -> None:
        pool = redis.connection_pool
        options: dict[str, Any] = {
            **pool.connection_kwargs,
            "protocol": 2,
            "decode_responses": False,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": None,  # deadlines are set per exchange; a blocking read is meant to wait
            "health_check_interval": 0,
        }
        # These belong to the pool and its newer protocol.
        options.pop("maint_notifications_config", None)
        options.pop("maint_notifications_pool_handler", None)
        self._connection: AbstractConnection = pool.connection_class(**options)

    @property
    def connected(self) -> bool:
        return bool(self._connection.is_connected)

    async def connect(self) -> None:
        """Raises `LogUnavailable`, after `CONNECT_TIMEOUT_SECONDS` at the latest."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await self._connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError) as error:
            await self.disconnect()
            raise LogUnavailable("Redis cannot be reached") from error
        except BaseException:
            await self.disconnect()
            raise

    async def exchange(self, commands: Sequence[bytes], replies: int, timeout_seconds: float) -> list[Any]:
        """Send and wait for this many replies. An error that Redis answers is returned in its place.

        Raises `LogUnavailable` when the connection fails or the time is over; it is then unknown what was done.
        """
        connection = self._connection
        answers: list[Any] = []
        try:
            async with asyncio.timeout(timeout_seconds):
                await connection.send_packed_command(commands, check_health=False)
                for _ in range(replies):
                    try:
                        answers.append(await connection.read_response(disable_decoding=True, timeout=math.inf))
                    except ResponseError as error:
                        answers.append(error)
        except (RedisError, OSError, TimeoutError) as error:
            await self.disconnect()
            raise LogUnavailable("Redis does not answer") from error
        except BaseException:
            await self.disconnect()
            raise
        return answers

    async def disconnect(self) -> None:
        await self._connection.disconnect(nowait=True)


class BackOff:
    """Waits between attempts: short at first, doubling, never longer than half a second."""

    def __init__(self) -> None:
        self._next_seconds = FIRST_BACK_OFF_SECONDS

    def reset(self) -> None:
        self._next_seconds = FIRST_BACK_OFF_SECONDS

    async def wait(self) -> None:
        seconds = self._next_seconds
        self._next_seconds = min(2 * seconds, LONGEST_BACK_OFF_SECONDS)
        await asyncio.sleep(seconds)
