"""A limit of k admits exactly k, however many threads and processes ask at once, and through a loss of Redis."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from apps.limits.client import Limits
from apps.limits.contracts import Admitted, Cold, Level, Overview, Scope
from tests.limits.contender import contend
from tests.limits.records import ALICE, DOLLAR, TENANT, Records, budget, calls

THREADS = 16


def _both(limits: Limits, url: str, tenant: str, kind: str, asked: int) -> int:
    """Half of the calls from here, half from another process."""
    arguments = [url, tenant, kind, str(THREADS), str(asked // 2), "there"]
    command = [sys.executable, "-m", "tests.limits.contender", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        here = contend(limits, tenant, kind, threads=THREADS, asked=asked // 2, label="here")
        out, _ = other.communicate(timeout=20)
    assert other.returncode == 0
    return here + int(out)


@pytest.mark.parametrize(("kind", "asked", "most"), [("budget", 100, 10), ("parallel", 100, 7), ("tokens", 100, 10)])
def test_exactly_k_over_threads_and_processes(
    limits: Limits, redis_url: str, tenant: str, kind: str, asked: int, most: int
) -> None:
    assert _both(limits, redis_url, tenant, kind, asked) == most


def test_a_rate_is_exact_over_threads_and_processes(limits: Limits, redis_url: str, tenant: str) -> None:
    began = time.monotonic()
    admitted = _both(limits, redis_url, tenant, "rate", 500)
    assert 60 <= admitted <= 60 + int(time.monotonic() - began) + 1


def test_a_budget_is_exact_through_a_loss_in_the_middle(
    limits: Limits, redis_url: str, tenant: str, records: Records, redis: Redis
) -> None:
    """100 calls of 0.10 against 1.00, two clients, Redis forgets everything twice."""
    other = Limits(redis_url, prefix="test:")
    what = [budget(TENANT, month=DOLLAR)]
    asked = 0
    counting = threading.Lock()

    def ask(number: int) -> bool:
        nonlocal asked
        client = (limits, other)[number % 2]
        while True:
            with counting:
                asked += 1
                if asked in (8, 40):
                    redis.flushall()
            with records.accepting():
                wanted = calls(f"c{number}", amount=DOLLAR // 10)
                decision = client.admit(tenant, what, wanted, lease_seconds=60)
                if isinstance(decision, Admitted):
                    records.reserve(f"c{number}", DOLLAR // 10, TENANT)
                    break
            if not isinstance(decision, Cold):
                return False
            client.rebuild(tenant, records.load, missing=decision.missing)
        if number % 3 == 0:
            records.settle(f"c{number}", DOLLAR // 10, TENANT)
            client.settle(tenant, [TENANT], f"c{number}", DOLLAR // 10)
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(ask, range(100))) == 10
    assert len(records.loads) >= 2
    limits.rebuild(tenant, records.load)
    overview = limits.peek(tenant, what)
    assert isinstance(overview, Overview)
    spent = sum(line.amount_nanousd for line in records.ledger)
    assert [(row.used, row.reserved, row.remaining) for row in overview.allowances] == [(spent, DOLLAR - spent, 0)]
    other.close()


def test_two_budgets_at_once_are_both_exact(limits: Limits, redis_url: str, tenant: str) -> None:
    """A person's budget of 0.70 in a tenant's of 1.00, over two clients; what is refused by one is held in neither."""
    other = Limits(redis_url, prefix="test:")
    bob = Scope(Level.USER, "bob")
    amount = DOLLAR // 10
    whose = {"alice": budget(ALICE, day=7 * amount), "bob": budget(bob, month=50 * DOLLAR)}

    def ask(name: str, number: int) -> bool:
        client = (limits, other)[number % 2]
        what = [budget(TENANT, month=DOLLAR), whose[name]]
        wanted = calls(f"{name}-{number}", amount=amount)
        decision = client.admit_warm(tenant, what, wanted, lease_seconds=60, load=Records().load)
        return isinstance(decision, Admitted)

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(lambda number: ask("alice", number), range(60))) == 7
        assert sum(pool.map(lambda number: ask("bob", number), range(60))) == 3
        both = list(pool.map(lambda number: ask(("alice", "bob")[number // 2 % 2], 100 + number), range(40)))
    assert not any(both)
    overview = limits.peek(tenant, [budget(TENANT, month=DOLLAR), *whose.values()])
    assert isinstance(overview, Overview)
    assert [row.reserved // amount for row in overview.allowances] == [10, 7, 3]
    other.close()
