"""Real Redis servers, and parts that are closed when the test is over."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from apps.streaming import connect
from apps.streaming.reader import LogReader
from apps.streaming.writer import LogWriter
from tests.streaming.server import RedisServer


@pytest.fixture(scope="session")
def stream_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Shared by tests that leave it running; each uses its own generation ids."""
    server = RedisServer(tmp_path_factory.mktemp("streams"))
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """For tests that flush or kill it."""
    server = RedisServer(tmp_path_factory.mktemp("own"))
    yield server
    server.stop()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def redis(stream_server: RedisServer, stack: AsyncExitStack) -> Redis:
    client = connect(stream_server.url)
    stack.push_async_callback(client.aclose)
    return client


@pytest.fixture
async def own_redis(own_server: RedisServer, stack: AsyncExitStack) -> Redis:
    client = connect(own_server.url)
    stack.push_async_callback(client.aclose)
    return client


@pytest.fixture
def make_writer(stack: AsyncExitStack) -> Callable[..., LogWriter]:
    def make(redis: Redis, may_append: Callable[[], bool] = lambda: True, **options: Any) -> LogWriter:
        writer = LogWriter(redis, may_append=may_append, **options)
        stack.push_async_callback(writer.aclose, 0.1)
        return writer

    return make


@pytest.fixture
def make_reader(stack: AsyncExitStack) -> Callable[..., LogReader]:
    def make(redis: Redis, **options: Any) -> LogReader:
        reader = LogReader(redis, **options)
        stack.push_async_callback(reader.aclose)
        return reader

    return make
