"""Hints to people and to workers: best effort, quick, and never a reason to fail."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.layers import channel_layers, get_channel_layer
from django.test import override_settings
from redis.asyncio import Redis

from apps.streaming import connect_blocking, hints
from tests.streaming.observed import eventually
from tests.streaming.server import RedisServer


def _layer(url: str) -> dict[str, Any]:
    config = {"hosts": [{"address": url, "socket_timeout": None}], "prefix": f"test-{uuid4()}"}
    return {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": config}}


@pytest.fixture
def layer(stream_server: RedisServer) -> Iterator[None]:
    with override_settings(CHANNEL_LAYERS=_layer(stream_server.url)):
        yield
    channel_layers.backends.clear()


@pytest.fixture
def dead_layer(stream_server: RedisServer) -> Iterator[None]:
    with override_settings(CHANNEL_LAYERS=_layer("redis://127.0.0.1:1/0")):
        yield
    channel_layers.backends.clear()


async def _received(group: str, send: Any) -> dict[str, Any]:
    channels: Any = get_channel_layer()
    channel = await channels.new_channel()
    await channels.group_add(group, channel)
    await send()
    async with asyncio.timeout(5):
        message: dict[str, Any] = await channels.receive(channel)
    await channels.flush()
    return message


@pytest.mark.usefixtures("layer")
async def test_a_hint_reaches_the_group_as_its_consumers_expect_it() -> None:
    group = hints.person(uuid4(), uuid4())

    async def send() -> None:
        await hints.ahint(group, {"type": "conversation.changed", "what": "title"})

    assert await _received(group, send) == {
        "type": "hint",
        "payload": {"type": "conversation.changed", "what": "title"},
    }


@pytest.mark.usefixtures("layer")
async def test_a_hint_from_synchronous_code_arrives_too() -> None:
    group = hints.person(uuid4(), uuid4())

    async def send() -> None:
        await asyncio.to_thread(hints.hint, group, {"what": "created"})

    assert (await _received(group, send))["payload"] == {"what": "created"}


def test_a_group_is_one_person_in_one_tenant() -> None:
    tenant, other, user = uuid4(), uuid4(), uuid4()
    assert hints.person(tenant, user) == hints.person(tenant, user)
    assert len({hints.person(tenant, user), hints.person(other, user), hints.person(tenant, other)}) == 3
    assert len(hints.person(tenant, user)) < 100


@pytest.mark.usefixtures("dead_layer")
async def test_a_hint_that_cannot_be_sent_is_counted_and_holds_nobody_up() -> None:
    before = hints.lost()
    began = time.monotonic()
    await hints.ahint("nobody", {"what": "created"})
    hints.hint("nobody", {"what": "created"})
    assert time.monotonic() - began < 2 * hints.HINT_TIMEOUT_SECONDS
    await eventually(lambda: hints.lost() == before + 2)


class Listener:
    """Collects what `listen_cancels` yields; `probe` tells when it is subscribed."""

    def __init__(self, redis: Redis, worker_id: UUID | None) -> None:
        self.heard: list[UUID] = []
        self._cancels = hints.listen_cancels(redis, worker_id)
        self.task = asyncio.create_task(self._collect())

    async def _collect(self) -> None:
        async for generation_id in self._cancels:
            self.heard.append(generation_id)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def listening(own_redis: Redis, stack: AsyncExitStack) -> AsyncIterator[Any]:
    async def start(worker_id: UUID | None) -> Listener:
        listener = Listener(own_redis, worker_id)
        stack.push_async_callback(listener.stop)

        async def subscribed() -> bool:
            probe = uuid4()
            await hints.apublish_cancel(own_redis, worker_id, probe)
            await asyncio.sleep(0.01)
            return probe in listener.heard

        await eventually(subscribed)
        listener.heard.clear()
        return listener

    yield start


async def test_a_cancel_reaches_its_worker_and_whoever_hears_all(own_server: RedisServer, listening: Any) -> None:
    worker_id, generation_id, last = uuid4(), uuid4(), uuid4()
    mine, other, all_workers = await listening(worker_id), await listening(uuid4()), await listening(None)
    with connect_blocking(own_server.url) as client:
        hints.publish_cancel(client, worker_id, generation_id)
        hints.publish_cancel(client, None, last)
    for listener in (mine, other, all_workers):
        await eventually(partial(listener.heard.__contains__, last))
    assert generation_id in mine.heard
    assert generation_id in all_workers.heard
    assert generation_id not in other.heard


async def test_a_worker_that_is_not_known_means_all(own_redis: Redis, listening: Any) -> None:
    one, other = await listening(uuid4()), await listening(uuid4())
    generation_id = uuid4()
    await hints.apublish_cancel(own_redis, None, generation_id)
    await eventually(lambda: generation_id in one.heard and generation_id in other.heard)


async def test_listening_survives_a_restart_of_redis(own_server: RedisServer, own_redis: Redis, listening: Any) -> None:
    worker_id = uuid4()
    listener = await listening(worker_id)
    own_server.kill()
    await asyncio.sleep(0.1)
    await asyncio.to_thread(own_server.start_again)
    generation_id = uuid4()

    async def told() -> bool:
        await hints.apublish_cancel(own_redis, worker_id, generation_id)
        await asyncio.sleep(0.02)
        return generation_id in listener.heard

    await eventually(told)


async def test_what_is_not_an_id_is_passed_over(own_redis: Redis, listening: Any) -> None:
    worker_id = uuid4()
    listener = await listening(worker_id)
    await own_redis.publish(f"cancels:{worker_id}", "nonsense")
    generation_id = uuid4()
    await hints.apublish_cancel(own_redis, worker_id, generation_id)
    await eventually(lambda: listener.heard == [generation_id])


async def test_a_cancel_that_cannot_be_sent_is_counted(own_server: RedisServer, own_redis: Redis) -> None:
    own_server.kill()
    before = hints.lost()
    await hints.apublish_cancel(own_redis, uuid4(), uuid4())
    with connect_blocking(own_server.url) as client:
        hints.publish_cancel(client, uuid4(), uuid4())
    assert hints.lost() == before + 2
