"""Breakers shared by many processes through Redis, and kept by each alone where Redis is away."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from redis import Redis

from apps.routing.circuit import Asker, Rules, Verdict
from apps.routing.fleet import Fleet

NOWHERE = "redis://127.0.0.1:1/0"
RULES = Rules(failures=3, open_ms=150, open_max_ms=150, lease_ms=400)
# Joins a fleet, takes the probe of one deployment and holds it until it is killed.
PROBER = """
import asyncio, sys, time
from uuid import UUID
from tests.routing.test_fleet import RULES
from apps.routing.circuit import Asker
from apps.routing.fleet import Fleet
fleet = Fleet(sys.argv[1], prefix=sys.argv[2], rules=RULES)
fleet.sync()
print('token', asyncio.run(fleet.ask(UUID(sys.argv[3]), Asker.CALL)), flush=True)
while True:
    fleet.sync()
    time.sleep(0.1)
"""
Join = Callable[..., Fleet]


@pytest.fixture
def join() -> Iterator[Join]:
    """Fleets as several processes have them: each with a memory and a connection of its own."""
    prefix = f"fleet{uuid4().hex}:"
    made: list[Fleet] = []

    def one(url: str = settings.REDIS_URL, rules: Rules = RULES) -> Fleet:
        made.append(Fleet(url, prefix=prefix, rules=rules))
        return made[-1]

    yield one
    for fleet in made:
        fleet.close()


def fail(fleet: Fleet, deployment_id: UUID, times: int = 3) -> None:
    for _ in range(times):
        fleet.note_failure(deployment_id, "provider_overloaded")
        fleet.took(deployment_id, Verdict.FAILED)


async def half_open(*fleets: Fleet) -> UUID:
    """A deployment that failed, as all of these know it once its time is over."""
    deployment_id = uuid4()
    fail(fleets[0], deployment_id)
    for fleet in fleets:
        fleet.sync()
    await asyncio.sleep(0.2)
    return deployment_id


async def test_failures_in_different_processes_open_it_for_all(join: Join) -> None:
    first, second, third = join(), join(), join()
    deployment_id = uuid4()
    fail(first, deployment_id, 2)
    assert first.sync()
    fail(second, deployment_id, 1)
    assert not second.record(deployment_id).circuit.open, "one failure is all it knows"
    for fleet in (second, third, first):
        fleet.sync()
        record = fleet.record(deployment_id)
        assert record.circuit.open
        assert record.failure == "provider_overloaded"


async def test_one_probe_in_the_whole_fleet(join: Join) -> None:
    fleets = [join() for _ in range(4)]
    deployment_id = await half_open(*fleets)
    tokens = await asyncio.gather(*(fleet.ask(deployment_id, Asker.CALL) for fleet in fleets for _ in range(10)))
    assert len([token for token in tokens if token]) == 1
    assert tokens.count(None) == 39


async def test_a_caller_who_goes_away_while_asking_keeps_no_lease(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = replace(RULES, lease_ms=60_000)
    first, second = join(rules=rules), join(rules=rules)
    deployment_id = await half_open(first, second)
    asked, answer = first._ask_fleet, threading.Event()

    def slowly(*words: Any) -> Any:
        answer.wait(5)
        return asked(*words)

    monkeypatch.setattr(first, "_ask_fleet", slowly)
    asking = asyncio.ensure_future(first.ask(deployment_id, Asker.CALL))
    await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    answer.set()
    first._asking.shutdown(wait=True)
    first.sync()
    assert await second.ask(deployment_id, Asker.CALL), "the lease came back at once"


async def test_a_success_closes_it_for_all_and_a_failure_opens_it_again(join: Join) -> None:
    first, second = join(), join()
    deployment_id = await half_open(first, second)
    token = await first.ask(deployment_id, Asker.CALL)
    assert token
    first.took(deployment_id, Verdict.FAILED, token)
    first.sync()
    assert await second.ask(deployment_id, Asker.CALL) is None
    await asyncio.sleep(0.2)
    token = await second.ask(deployment_id, Asker.CALL)
    assert token
    second.took(deployment_id, Verdict.OK, token)
    second.sync()
    assert await first.ask(deployment_id, Asker.CALL) == "", "closed: an ordinary call"
    assert not first.record(deployment_id).circuit.open


async def test_a_limit_says_nothing_even_in_a_probe(join: Join) -> None:
    fleet = join()
    deployment_id = await half_open(fleet)
    token = await fleet.ask(deployment_id, Asker.CALL)
    assert token
    fleet.took(deployment_id, Verdict.NONE, token)
    fleet.sync()
    assert fleet.record(deployment_id).circuit.open
    assert await fleet.ask(deployment_id, Asker.CALL), "the next call is the next probe"


async def test_a_killed_prober_frees_the_probe_by_expiry_and_a_living_one_keeps_it(join: Join) -> None:
    fleet = join()
    deployment_id = await half_open(fleet)
    prefix = fleet._keys[0].partition("{")[0]
    command = [sys.executable, "-c", PROBER, settings.REDIS_URL, prefix, str(deployment_id)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "chatproject.settings"}
    prober = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=environment)
    try:
        assert prober.stdout is not None
        while not (line := await prober.stdout.readline()).startswith(b"token"):
            assert line, "the prober ended"
        assert len(line.split()[1]) == 32, "it holds the probe"
        await asyncio.sleep(2 * RULES.lease_ms / 1000)
        assert await fleet.ask(deployment_id, Asker.CALL) is None, "it renews its lease"
    finally:
        prober.send_signal(signal.SIGKILL)
        await prober.wait()
    killed_at = time.monotonic()
    while not (token := await fleet.ask(deployment_id, Asker.CALL)):
        assert time.monotonic() - killed_at < 2
        await asyncio.sleep(0.02)
    fleet.took(deployment_id, Verdict.OK, token)
    assert not fleet.record(deployment_id).circuit.open


async def test_without_redis_each_process_goes_on_with_its_own_counts(join: Join) -> None:
    fleet = join(NOWHERE)
    deployment_id = uuid4()
    assert not fleet.sync()
    fail(fleet, deployment_id, 2)
    assert not fleet.sync()
    assert not fleet.record(deployment_id).circuit.open
    fail(fleet, deployment_id, 1)
    assert fleet.record(deployment_id).circuit.open
    assert await fleet.ask(deployment_id, Asker.CALL) is None
    await asyncio.sleep(0.2)
    tokens = [await fleet.ask(deployment_id, Asker.CALL) for _ in range(5)]
    assert tokens[0]
    assert tokens[1:] == [None] * 4
    fleet.took(deployment_id, Verdict.OK, tokens[0])
    assert not fleet.record(deployment_id).circuit.open


async def test_what_was_counted_while_redis_was_away_is_not_told_later_as_new(join: Join) -> None:
    fleet, other = join(), join()
    deployment_id = uuid4()
    there = fleet._redis
    fleet._redis = Redis.from_url(NOWHERE, socket_connect_timeout=0.1)
    fail(fleet, deployment_id, 2)
    assert not fleet.sync()
    assert fleet.away
    fleet._redis = there
    fail(fleet, deployment_id, 1)
    assert fleet.sync()
    other.sync()
    assert other.record(deployment_id).circuit.in_a_row == 1


async def test_a_fleet_that_lost_its_memory_is_taught(join: Join) -> None:
    rules = Rules(failures=3, open_ms=60_000, open_max_ms=60_000)
    first, second = join(rules=rules), join(rules=rules)
    deployment_id = uuid4()
    fail(first, deployment_id)
    first.sync()
    for key in first._keys:
        first._redis.delete(key)
    first.sync()
    assert first.record(deployment_id).circuit.open, "a lost fleet closes nothing here"
    first.sync()
    second.sync()
    circuit = second.record(deployment_id).circuit
    assert circuit.open
    assert 30_000 < circuit.until_ms - circuit.opened_ms <= 75_000


async def test_means_are_of_the_whole_fleet(join: Join) -> None:
    first, second = join(), join()
    deployment_id = uuid4()
    for fleet, seconds in ((first, 1.0), (second, 2.0)):
        for _ in range(3):
            fleet.measured(deployment_id, seconds, 100 / seconds)
        fleet.sync()
    first.sync()
    for fleet in (first, second):
        record = fleet.record(deployment_id)
        assert record.first_token_seconds == pytest.approx(1 + 1 - 0.8**3)
        assert record.tokens_per_second == pytest.approx(100 - 50 * (1 - 0.8**3))


async def test_the_channel_carries_it_within_a_second_and_failures_at_once(join: Join) -> None:
    first, second = join(), join()
    deployment_id = uuid4()
    with counted(first) as sent:
        for _ in range(500):
            first.took(deployment_id, Verdict.OK)
        fail(first, deployment_id)
        assert sent == [], "a report waits for nothing and nothing waits for it"
        for fleet in (first, second):
            fleet.start()
        until = time.monotonic() + 3
        while not second.record(deployment_id).circuit.open:
            assert time.monotonic() < until
            await asyncio.sleep(0.02)
        assert len(sent) <= 5, "503 outcomes are a few commands"


async def test_a_new_process_learns_at_once_who_fails(join: Join) -> None:
    first, second = join(), join()
    deployment_id = uuid4()
    fail(first, deployment_id)
    first.sync()
    began = time.monotonic()
    second.start()
    while not second.record(deployment_id).circuit.open:
        assert time.monotonic() - began < 0.8, "sooner than the next round"
        await asyncio.sleep(0.01)


@contextmanager
def counted(fleet: Fleet) -> Iterator[list[str]]:
    """Names of the commands that a fleet sends meanwhile."""
    sent: list[str] = []
    run = fleet._redis.execute_command

    def execute(*words: object, **options: object) -> object:
        sent.append(str(words[0]))
        return run(*words, **options)

    fleet._redis.execute_command = execute
    try:
        yield sent
    finally:
        fleet._redis.execute_command = run


def test_an_entry_that_nobody_touched_for_a_day_is_forgotten(join: Join) -> None:
    fleet = join()
    old, fresh = uuid4(), uuid4()
    fail(fleet, old)
    fleet.sync()
    held = json.loads(fleet._redis.hget(fleet._keys[0], str(old)))
    fleet._redis.hset(fleet._keys[0], str(old), json.dumps(held | {"at_ms": held["at_ms"] - 86_500_000}))
    fail(fleet, fresh, 1)
    fleet.sync()
    assert fleet._redis.hkeys(fleet._keys[0]) == [str(fresh)]
