"""An absent database for a while: readers go on reading, and a call that was planned waits instead of failing."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from django.db import OperationalError

from apps.conversations.contracts import GenerationState, StreamIdentity
from apps.conversations.edge.events import Event
from apps.conversations.edge.follow import follow
from apps.routing import selectors
from apps.routing import services as routing
from apps.routing.access import access_to
from apps.routing.contracts import Call
from apps.streaming.entries import LogEntry
from apps.tenants.contracts import Principal


class QuietLog:
    """A log that is silent twice, and then tells its end."""

    def __init__(self) -> None:
        self.left = [None, None, LogEntry(1, 0, "message.started", b"{}"), LogEntry(1, 1, "message.completed", b"{}")]

    def subscribe(self, *args: object) -> "QuietLog":
        return self

    async def next(self, seconds: float) -> LogEntry | None:
        return self.left.pop(0)

    def close(self) -> None:
        return


async def test_a_reader_of_a_silent_answer_outlasts_the_database(
    alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def away(*args: object) -> None:
        asked.append(args)
        raise OperationalError("away")

    monkeypatch.setattr("apps.conversations.selectors.standing", away)
    identity = StreamIdentity(uuid4(), uuid4(), uuid4(), uuid4(), 1, "quick", "Quick", 1, GenerationState.RUNNING, 1)
    events: AsyncIterator[Event] = follow(alice, identity, QuietLog(), None)  # type: ignore[arg-type]
    assert [event.type async for event in events if event is not None] == ["message.started", "message.completed"]
    assert len(asked) == 2


def test_a_planned_call_waits_for_the_database(
    alice: Principal, catalogue: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = routing.plan(Call(alice.tenant_id, "quick", 10), selectors.catalogue(alice.tenant_id))
    routing.invalidate(alice.tenant_id)
    read, asked = selectors._read, []

    def away_at_first(tenant_id: object) -> object:
        asked.append(tenant_id)
        if len(asked) < 3:
            raise OperationalError("away")
        return read(alice.tenant_id)

    monkeypatch.setattr(selectors, "_read", away_at_first)
    access = asyncio.run(access_to(alice.tenant_id, plan.candidates[0], float("inf")))
    assert access is not None
    routing.invalidate(alice.tenant_id)
    asked.clear()
    with pytest.raises(OperationalError):
        asyncio.run(access_to(alice.tenant_id, plan.candidates[0], 0.0))
