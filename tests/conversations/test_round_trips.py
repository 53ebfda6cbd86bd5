"""What one generation asks of Redis and of the database: its breakers and its health ask for nothing more.

A thread of its own shares them about once a second, however many calls there are. Only a probe of a half-open breaker
asks once, and a call to a pool with a limit twice: for its place, and when it leaves.
"""

import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis.asyncio.connection
import redis.connection
from django.conf import settings
from django.db.backends.utils import CursorWrapper

from apps.conversations.connections import event_loop_redis
from apps.conversations.generation import hints
from apps.conversations.generation.claim import claim
from apps.conversations.generation.pipeline import Run, answer_generation
from apps.conversations.generation.ports import Limits, Ports
from apps.conversations.models import Attempt
from apps.routing import fleet
from apps.routing.circuit import Asker, Rules, Verdict
from apps.routing.fleet import SYNC_SECONDS, Fleet
from apps.routing.models import Deployment
from apps.routing.selectors import invalidate
from apps.streaming.writer import LogWriter
from apps.tenants.contracts import Principal
from apps.tenants.scope import database_step, tenant_scope
from tests.conversations.conftest import Ask
from tests.processes import Simulator
from tests.routing.exchange import offer_now

SOUND, OTHER = "bench-a+tokens=12+tps=0", "bench-b+tokens=12+tps=0"
NOWHERE = "redis://127.0.0.1:1/0"
GENERATIONS = 12


@dataclass(slots=True)
class Traffic:
    """Round trips: `asked` by whoever accepts and answers, by kind; `shared` by the fleet's thread.

    Left out are the appends to the answer's log, which go out by the clock, and what wakes workers.
    """

    asked: Counter[str] = field(default_factory=Counter)
    shared: int = 0

    def sent(self, packed: Any) -> None:
        """One write to Redis is one round trip."""
        joined = packed if isinstance(packed, bytes | str) else b"".join(packed)
        text = joined.decode(errors="replace") if isinstance(joined, bytes) else joined
        words, thread = text.split("\r\n"), threading.current_thread().name
        if words[2] not in ("EVALSHA", "EVAL", "PUBLISH", "GET", "SET", "LPUSH") or ":log\r\n" in text:
            return
        if thread == "fleet":
            self.shared += 1
        elif not thread.startswith(("ring", "pools")):
            of = next((one for one in ("{routing}", "{pool:") if one in text), words[4][:12])
            self.asked["hint" if words[2] == "PUBLISH" else of] += 1

    def executed(self, statement: str) -> None:
        if threading.current_thread().name.startswith("database"):
            self.asked[" ".join(statement.split())[:60]] += 1


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Traffic:
    """All that this process sends to its servers."""
    found = Traffic()

    def listen_to(module: Any) -> None:
        send = module.AbstractConnection.send_packed_command

        def told(self: Any, command: Any, *args: Any, **named: Any) -> Any:
            found.sent(command)
            return send(self, command, *args, **named)

        monkeypatch.setattr(module.AbstractConnection, "send_packed_command", told)

    listen_to(redis.connection)
    listen_to(redis.asyncio.connection)
    execute = CursorWrapper._execute_with_wrappers  # type: ignore[attr-defined]

    def executed(self: Any, sql: Any, *args: Any, **named: Any) -> Any:
        found.executed(str(sql))
        return execute(self, sql, *args, **named)

    monkeypatch.setattr(CursorWrapper, "_execute_with_wrappers", executed)
    return found


Become = Callable[..., Fleet]


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Iterator[Become]:
    """Makes this process another one of a fleet, one that shares or one that does not."""
    prefix = f"trips{uuid4().hex}:"
    made: list[Fleet] = []

    def one(*, sharing: bool, rules: Rules | None = None) -> Fleet:
        made.append(Fleet(settings.REDIS_URL if sharing else NOWHERE, prefix=prefix, rules=rules))
        monkeypatch.setattr(fleet, "current", lambda: made[-1])
        if sharing:
            made[-1].start()
        return made[-1]

    yield one
    for each in made:
        each.close()


@pytest.fixture
async def ports() -> AsyncIterator[Ports]:
    server = event_loop_redis()
    writer = LogWriter(server, may_append=lambda: True)
    yield Ports(writer, lambda: True, hints.answer_ended, Limits(5, 5, 5, 100_000))
    await writer.aclose()
    await server.aclose()


@dataclass(frozen=True, slots=True)
class Chat:
    """Somebody who asks a model of two deployments, and the worker that answers."""

    person: Principal
    model: str
    deployments: tuple[UUID, UUID]
    traffic: Traffic
    ask: Ask
    worker: UUID
    ports: Ports

    async def answered_by(self) -> tuple[str, Counter[str]]:
        """Ask, have it answered, and tell by whose words and in which round trips."""
        self.traffic.asked.clear()
        await database_step(self.ask, self.person, "Hello?", self.model)
        claimed = await database_step(claim, self.worker)
        assert claimed is not None
        await answer_generation(Run(claimed), self.ports)
        asked = Counter(self.traffic.asked)

        def won() -> UUID:
            with tenant_scope(self.person.tenant_id):
                return Attempt.objects.get(generation_id=claimed.generation_id, state="won").deployment_id

        return (SOUND, OTHER)[self.deployments.index(await database_step(won))], asked


@pytest.fixture
def chat(
    alice: Principal,
    provider_simulator: Simulator,
    traffic: Traffic,
    ask: Ask,
    new_worker: Callable[..., UUID],
    ports: Ports,
    become: Become,
) -> Chat:
    become(sharing=False)
    slug = f"trips-{uuid4().hex[:8]}"
    first, second = offer_now(alice, f"{provider_simulator.url}/v1", [SOUND, OTHER], slug=slug).candidates
    return Chat(alice, slug, (first.deployment_id, second.deployment_id), traffic, ask, new_worker(), ports)


@pytest.fixture
async def alone(chat: Chat) -> Counter[str]:
    """What a generation asks for whose process shares nothing, once its caches are warm."""
    await chat.answered_by()
    who, asked = await chat.answered_by()
    assert who == SOUND
    assert (asked["{routing}"], asked["{pool:"]) == (0, 0)
    assert asked["hint"] == 2 and asked.total() > 15, "it is counted at all"
    return asked


async def test_sharing_costs_calls_nothing_and_a_process_a_round_trip_a_second(
    chat: Chat, alone: Counter[str], become: Become
) -> None:
    known = become(sharing=True)
    began, chat.traffic.shared = time.monotonic(), 0
    for _ in range(GENERATIONS):
        for deployment_id in chat.deployments:
            known.took(deployment_id, Verdict.NONE)
        assert await chat.answered_by() == (SOUND, alone)
    seconds = time.monotonic() - began
    # A word more where the machine held the thread up and it made up for it.
    assert chat.traffic.shared <= 4 + seconds / (0.9 * SYNC_SECONDS)
    assert known.sync()
    other = become(sharing=True)
    assert other.sync()
    assert other.record(chat.deployments[0]).first_token_seconds is not None, "and all the same others know of it"


async def test_passing_over_an_open_breaker_costs_nothing(chat: Chat, alone: Counter[str], become: Become) -> None:
    known = become(sharing=True, rules=Rules(open_ms=60_000, open_max_ms=60_000))
    for _ in range(known.rules.failures):
        known.took(chat.deployments[0], Verdict.FAILED)
    assert known.sync()
    assert await chat.answered_by() == (OTHER, alone)


async def test_a_probe_asks_once(chat: Chat, alone: Counter[str], become: Become) -> None:
    known = become(sharing=True, rules=Rules(open_ms=1, open_max_ms=1))
    for _ in range(known.rules.failures):
        known.took(chat.deployments[0], Verdict.FAILED)
    assert known.sync()
    assert known.record(chat.deployments[0]).circuit.open
    assert await known.ask(uuid4(), Asker.CALL) == "", "the script is loaded"
    assert await chat.answered_by() == (SOUND, alone + Counter({"{routing}": 1}))


async def test_a_pool_asks_twice(chat: Chat, alone: Counter[str], become: Become) -> None:
    become(sharing=True)
    limited = Deployment.objects.using("engine").filter(id=chat.deployments[0])
    await database_step(limited.update, max_parallel=5)
    await database_step(invalidate, chat.person.tenant_id)
    await chat.answered_by()
    assert await chat.answered_by() == (SOUND, alone + Counter({"{pool:": 2}))


def test_failures_of_one_moment_are_told_together(traffic: Traffic, become: Become) -> None:
    known = become(sharing=True)
    deployment_id = uuid4()
    time.sleep(0.05)
    before, began = traffic.shared, time.monotonic()
    for _ in range(200):
        known.took(deployment_id, Verdict.FAILED)
    time.sleep(0.1)
    assert 1 <= traffic.shared - before <= 2 + (time.monotonic() - began) / 0.02
    assert known.record(deployment_id).circuit.open
