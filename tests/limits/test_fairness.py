"""Who is taken when there is no room for all: max-min fairness, against the plainest way to work it out."""

import time
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from apps.limits.fairness import Pressure, Shares

TENANTS = ["a", "b", "c", "d"]


def level_of(running: dict[str, int], capacity: int) -> int:
    """The greatest level at which what everybody has up to it fits."""
    return max(
        (level for level in range(capacity + 1) if sum(min(calls, level) for calls in running.values()) <= capacity),
        default=0,
    )


class Sharing(RuleBasedStateMachine):
    capacities: ClassVar = st.integers(1, 12)

    def __init__(self) -> None:
        super().__init__()
        self.shares = Shares(6)
        self.running: dict[str, int] = {}

    @rule(tenant=st.sampled_from(TENANTS), calls=st.integers(1, 3))
    def enter(self, tenant: str, calls: int) -> None:
        then = {**self.running, tenant: self.running.get(tenant, 0) + calls}
        room = sum(then.values()) <= self.shares.capacity
        fair = then[tenant] <= level_of(then, self.shares.capacity)
        taken = self.shares.enter(tenant, calls)
        assert taken == (room or fair)
        if then[tenant] <= self.shares.capacity // len(then):
            assert taken, "nobody is refused below an equal share"
        if taken:
            self.running = then

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        tenant = data.draw(st.sampled_from(sorted(self.running)))
        calls = data.draw(st.integers(1, self.running[tenant]))
        self.shares.leave(tenant, calls)
        self.running[tenant] -= calls
        if not self.running[tenant]:
            del self.running[tenant]

    @rule(capacity=capacities)
    def resize(self, capacity: int) -> None:
        self.shares.resize(capacity)

    @invariant()
    def counts_are_right(self) -> None:
        assert self.shares.total == sum(self.running.values())
        assert all(self.shares.running(tenant) == self.running.get(tenant, 0) for tenant in TENANTS)
        highest = max(self.running.values(), default=0)
        # Above the highest of all, nothing stands that a level could tell from another.
        level = level_of(self.running, self.shares.capacity)
        assert min(self.shares.level, highest) == min(level, highest)


def test_the_level_is_that_of_max_min_fairness() -> None:
    run_state_machine_as_test(
        Sharing, settings=settings(max_examples=80, stateful_step_count=30, deadline=None, database=None)
    )


def test_a_noisy_tenant_leaves_room_for_a_quiet_one() -> None:
    shares = Shares(100)
    assert sum(shares.enter("noisy") for _ in range(200)) == 100
    assert all(shares.enter("quiet") for _ in range(50)), "its share is half"
    assert not shares.enter("quiet") and not shares.enter("noisy")
    for _ in range(40):
        shares.leave("noisy")
    assert not shares.enter("noisy"), "both have more than there is room for"
    for _ in range(11):
        shares.leave("noisy")
    assert shares.enter("noisy")


def test_what_one_does_not_want_another_may_have() -> None:
    shares = Shares(90)
    assert shares.enter("small", 10)
    for name in ("large", "larger"):
        assert shares.enter(name, 40)
    assert not shares.enter("large") and shares.enter("small", 20)


def test_a_late_loop_takes_fewer_calls_and_recovers() -> None:
    pressure = Pressure(1_000, late_seconds=0.25)
    assert pressure.shares.enter("a", 400)
    pressure.observe(0.2)
    assert pressure.shares.capacity == 1_000
    for _ in range(10):
        pressure.observe(1.0)
    assert pressure.shares.capacity == 360 and not pressure.shares.enter("a")
    assert pressure.shares.enter("b")
    pressure.shares.leave("a", 400)
    for _ in range(40):
        pressure.observe(1.0)
    assert pressure.shares.capacity == Pressure.LEAST
    for _ in range(60):
        pressure.observe(0.0)
    assert pressure.shares.capacity == 1_000 and not pressure.relaxed
    pressure.shares.leave("b")
    assert pressure.relaxed


def test_a_call_is_counted_in_microseconds() -> None:
    shares, tenants = Shares(500), [f"t{number}" for number in range(40)]
    shares.enter("noisy", 500)
    began = time.process_time()
    for _ in range(50):
        taken = [tenant for tenant in tenants if shares.enter(tenant)]
        for tenant in taken:
            shares.leave(tenant)
    seconds = time.process_time() - began
    assert len(taken) == len(tenants)
    assert seconds / (50 * len(tenants)) < 50e-6  # 3 on a quiet machine
    print(f"{seconds / (50 * len(tenants)) * 1e6:.1f} us for entering and leaving")
