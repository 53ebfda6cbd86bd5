"""Random histories of admissions, settlements and losses against a plain Python model."""

import time
from itertools import count
from typing import ClassVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from apps.limits.client import Limits
from apps.limits.contracts import Admitted, Call, Cold, Overview, Refused, Scope, ScopeLimits
from tests.limits.records import ALICE, BOB, TENANT, Records

# Slow refill: none within the second that a history takes.
LIMITS = {
    TENANT: ScopeLimits(
        TENANT,
        requests_per_minute=9,
        parallel_calls=5,
        budget_day_nanousd=60,
        budget_month_nanousd=70,
        tokens_per_month=50,
    ),
    ALICE: ScopeLimits(ALICE, parallel_calls=3, budget_month_nanousd=40, tokens_per_day=30),
    BOB: ScopeLimits(BOB, requests_per_minute=6, budget_day_nanousd=30),
}
NEVER = 10**9


def tokens_of(amount: int) -> int:
    """Some number of tokens that goes with an amount of money, and is not proportional to it."""
    return (amount * 7) % 20


names = count()


class Admission(RuleBasedStateMachine):
    """The model is what a database would hold, plus the requests of this minute."""

    url: ClassVar[str] = ""
    open_calls = Bundle("open_calls")
    over_calls = Bundle("over_calls")

    @initialize()
    def start(self) -> None:
        self.limits = Limits(self.url, prefix="model:")
        self.redis = Redis.from_url(self.url)
        self.tenant = str(uuid4())
        self.records = Records()
        self.used = {TENANT: 0, ALICE: 0, BOB: 0}

    def _spent(self, scope: Scope) -> int:
        return sum(line.amount_nanousd for line in self.records.ledger if scope in line.scopes)

    def _held(self, scope: Scope) -> list[int]:
        return [call.amount_nanousd for call in self.records.reserved.values() if scope in call.scopes]

    def _tokens(self, scope: Scope) -> tuple[int, int]:
        """Used and held."""
        used = sum(line.tokens for line in self.records.ledger if scope in line.scopes)
        return used, sum(call.tokens for call in self.records.reserved.values() if scope in call.scopes)

    def _fits(self, user: Scope, amounts: list[int]) -> bool:
        for scope in (TENANT, user):
            limit = LIMITS[scope]
            money = self._spent(scope) + sum(self._held(scope)) + sum(amounts)
            if (
                self.used[scope] + len(amounts) > (limit.requests_per_minute or NEVER)
                or len(self._held(scope)) + len(amounts) > (limit.parallel_calls or NEVER)
                or sum(self._tokens(scope)) + sum(map(tokens_of, amounts))
                > min(limit.tokens_per_day or NEVER, limit.tokens_per_month or NEVER)
                or money > min(limit.budget_day_nanousd or NEVER, limit.budget_month_nanousd or NEVER)
            ):
                return False
        return True

    @rule(
        target=open_calls,
        user=st.sampled_from([ALICE, BOB]),
        amounts=st.lists(st.integers(0, 25), min_size=1, max_size=3),
        note=st.sampled_from(["", "a note"]),
    )
    def admit(self, user: Scope, amounts: list[int], note: str) -> object:
        asked = [Call(f"c{next(names)}", amount, tokens_of(amount), note) for amount in amounts]
        what = [LIMITS[TENANT], LIMITS[user]]
        fits = self._fits(user, amounts)
        decision = self.limits.admit_warm(self.tenant, what, asked, lease_seconds=60, load=self.records.load)
        assert isinstance(decision, Admitted if fits else Refused)
        if not fits:
            return multiple()
        for call in asked:
            self.records.reserve(call.call_id, call.amount_nanousd, TENANT, user, tokens=call.tokens)
        for scope in (TENANT, user):
            self.used[scope] += len(asked)
        self.records.requests = dict(self.used)
        return multiple(*((call, user) for call in asked))

    @rule(known=open_calls)
    def admit_again(self, known: tuple[Call, Scope]) -> None:
        call, user = known
        if call.call_id in self.records.reserved:
            what = [LIMITS[TENANT], LIMITS[user]]
            again = self.limits.admit_warm(self.tenant, what, [call], lease_seconds=60, load=self.records.load)
            assert isinstance(again, Admitted) and again.repeated

    @rule(target=over_calls, known=consumes(open_calls), amount=st.integers(0, 30))
    def settle(self, known: tuple[Call, Scope], amount: int) -> object:
        call, user = known
        tokens = tokens_of(amount)
        self.records.settle(call.call_id, amount, TENANT, user, tokens=tokens)
        records = [call.call_id] if call.note else []
        settled = self.limits.settle(self.tenant, [TENANT, user], call.call_id, amount, tokens=tokens, records=records)
        assert not settled.repeated
        return call, user, amount

    @rule(known=over_calls)
    def settle_again(self, known: tuple[Call, Scope, int]) -> None:
        call, user, amount = known
        again = self.limits.settle(self.tenant, [TENANT, user], call.call_id, amount, tokens=tokens_of(amount))
        # After a loss the memory of it is gone as well; then it must say that it is not sure.
        assert again.repeated is not again.dirty
        if again.dirty:
            self.limits.rebuild(self.tenant, self.records.load)

    @rule(known=consumes(open_calls))
    def release(self, known: tuple[Call, Scope]) -> None:
        del self.records.reserved[known[0].call_id]
        assert self.limits.release(self.tenant, [known[0].call_id]) in ((known[0].call_id,), ())

    @rule(known=consumes(open_calls))
    def lose_lease(self, known: tuple[Call, Scope]) -> None:
        call_id = known[0].call_id
        self.limits.renew(self.tenant, [call_id], lease_seconds=0.001)
        time.sleep(0.003)
        assert self.limits.renew(self.tenant, [call_id], lease_seconds=60) == (call_id,)
        del self.records.reserved[call_id]

    @rule()
    def lose_everything(self) -> None:
        self.redis.flushall()

    @rule()
    def recount(self) -> None:
        self.limits.rebuild(self.tenant, self.records.load)

    @invariant()
    def counters_are_the_records(self) -> None:
        for scope, limit in LIMITS.items():
            overview = self.limits.peek(self.tenant, [limit])
            if isinstance(overview, Overview) and overview.dirty:
                self.limits.rebuild(self.tenant, self.records.load)
                overview = self.limits.peek(self.tenant, [limit])
                assert isinstance(overview, Overview) and not overview.dirty
            if not isinstance(overview, Cold):
                self._compare(scope, overview)

    @invariant()
    def the_stream_holds_no_call_twice(self) -> None:
        read = self.limits.settlements(self.tenant, grace_seconds=60).settlements
        assert len({one.record for one in read}) == len(read)

    def _compare(self, scope: Scope, overview: Overview) -> None:
        for row in overview.allowances:
            if row.kind.startswith("budget"):
                assert (row.used, row.reserved) == (self._spent(scope), sum(self._held(scope)))
            elif row.kind in ("tokens_per_day", "tokens_per_month"):
                assert (row.used, row.reserved) == self._tokens(scope)
            elif row.kind == "parallel_calls":
                assert row.used == len(self._held(scope))
            else:
                assert row.used == self.used[scope]

    def teardown(self) -> None:
        if hasattr(self, "limits"):
            self.limits.close()
            self.redis.close()


@pytest.mark.parametrize("steps", [25])
def test_histories_agree_with_the_model(redis_url: str, steps: int) -> None:
    Admission.url = redis_url
    run_state_machine_as_test(
        Admission,
        settings=settings(
            max_examples=60,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
