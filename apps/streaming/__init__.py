"""The stream log on Redis: one log per generation that any process can replay and follow. No tables.

`writer` appends, `reader` replays and follows, `hints` says that something happened, `ids` names positions.
The log is a replayable tail: the writer holds a generation's entries in memory until it is closed, so a Redis that
loses everything is filled again. What is final lives in the caller's database.
"""

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.retry import Retry as BlockingRetry

_CONNECT_TIMEOUT_SECONDS = 1.0
_REPLY_TIMEOUT_SECONDS = 2.0


def connect(url: str) -> Redis:
    """A client for event loops, without hidden retries. `LogWriter` and `LogReader` take it as it is."""
    client: Redis = Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        socket_timeout=_REPLY_TIMEOUT_SECONDS,
    )
    return client


def connect_blocking(url: str) -> BlockingRedis:
    """A client for synchronous callers of `hints.publish_cancel`, without hidden retries."""
    client: BlockingRedis = BlockingRedis.from_url(
        url,
        protocol=2,
        retry=BlockingRetry(NoBackoff(), 0),
        socket_connect_timeout=_CONNECT_TIMEOUT_SECONDS / 2,
        socket_timeout=_CONNECT_TIMEOUT_SECONDS / 2,
    )
    return client
