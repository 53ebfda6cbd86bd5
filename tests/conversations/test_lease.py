"""A worker lives as long as it renews its row; one that was declared dead begins anew under another identity."""

import threading
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import psycopg
import pytest

from apps.conversations.generation import lease as leases
from apps.conversations.generation.lease import Lease
from apps.conversations.models import Worker
from tests.conversations.conftest import workers
from tests.product import eventually


class Reaped:
    """Remembers what the lease said of its end, and which identity it had by then."""

    def __init__(self) -> None:
        self.said: list[tuple[UUID, bool]] = []

    def __call__(self, lost: UUID) -> None:
        self.said.append((lost, lost in workers()))


@pytest.fixture
def reaped() -> Reaped:
    return Reaped()


@pytest.fixture
def lease(monkeypatch: pytest.MonkeyPatch, reaped: Reaped) -> Iterator[Lease]:
    """A lease that is renewed each 50 ms, and is fresh for 300 ms."""
    monkeypatch.setattr(leases, "RENEW_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(leases, "FRESH_SECONDS", 0.3)
    lease = Lease(name="test", slots=3, on_reaped=reaped)
    assert not lease.fresh
    lease.start()
    eventually(lambda: lease.fresh)
    yield lease
    lease.stop()
    assert workers() == []


def lease_until(lease: Lease) -> datetime:
    return Worker.objects.using("engine").get(id=lease.worker_id).lease_until


def test_a_living_worker_is_registered_and_renews(lease: Lease) -> None:
    assert workers() == [lease.worker_id]
    first = lease_until(lease)
    eventually(lambda: lease_until(lease) > first)
    assert lease.age_seconds() < 0.3


def test_who_was_reaped_says_so_and_begins_anew(lease: Lease, reaped: Reaped) -> None:
    lost = lease.worker_id
    Worker.objects.using("engine").filter(id=lost).delete()
    eventually(lambda: reaped.said)
    assert reaped.said == [(lost, False)]
    eventually(lambda: lease.fresh)
    assert lease.worker_id != lost
    assert workers() == [lease.worker_id]


def test_a_worker_that_cannot_renew_holds_still_until_it_can(
    lease: Lease, reaped: Reaped, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, away = lease.worker_id, threading.Event()
    connected = lease._connected

    def sometimes() -> "psycopg.Connection[tuple[object, ...]]":
        if away.is_set():
            raise psycopg.OperationalError("the server is away")
        return connected()

    monkeypatch.setattr(lease, "_connected", sometimes)
    away.set()
    eventually(lambda: not lease.fresh)
    away.clear()
    eventually(lambda: lease.fresh)
    assert lease.worker_id == identity
    assert reaped.said == []
