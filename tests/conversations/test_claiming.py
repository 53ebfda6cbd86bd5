"""One claim per fence, by a living worker, fairly between tenants; the dead lose what they held."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from django.db import connections, transaction

from apps.billing.models import LedgerEntry, Reservation
from apps.conversations import selectors, services
from apps.conversations.contracts import GenerationState
from apps.conversations.errors import CancelAsked, Fenced
from apps.conversations.generation import attempts
from apps.conversations.generation.claim import Claimed, claim, hand_back
from apps.conversations.generation.prompt import load
from apps.conversations.generation.reap import ending, reap
from apps.conversations.models import Attempt, Generation, Message
from apps.routing import services as routing
from apps.routing.contracts import Candidate
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.conftest import Ask, workers

NewWorker = Callable[..., UUID]


def state(principal: Principal, generation_id: UUID) -> tuple[str, int, int]:
    with tenant_scope(principal.tenant_id):
        row = Generation.objects.get(id=generation_id)
        return row.state, row.fence, row.claims


def expire(worker_id: UUID) -> None:
    with connections["engine"].cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_worker SET lease_until = clock_timestamp() - interval '1 s' WHERE id = %s",
            [worker_id],
        )


def candidate(principal: Principal, generation_id: UUID) -> Candidate:
    with tenant_scope(principal.tenant_id):
        return routing.plan_from_json(Generation.objects.get(id=generation_id).plan).candidates[0]


def claimed_by(worker_id: UUID) -> Claimed:
    claimed = claim(worker_id)
    assert claimed is not None
    return claimed


def test_a_claim_raises_the_fence_and_counts(alice: Principal, ask: Ask, new_worker: NewWorker) -> None:
    turn = ask(alice)
    claimed = claimed_by(new_worker())
    assert (claimed.generation_id, claimed.tenant_id) == (turn.generations[0].generation_id, alice.tenant_id)
    assert (claimed.fence, claimed.claims) == (1, 1)
    assert 500 < claimed.seconds_left <= 600
    assert state(alice, claimed.generation_id) == ("running", 1, 1)


def test_nothing_is_claimed_twice_at_once(alice: Principal, ask: Ask, new_worker: NewWorker) -> None:
    for _ in range(4):
        ask(alice, "Many", *["quick"] * 8)
    ids = [new_worker() for _ in range(4)]

    def drain(worker_id: UUID) -> list[UUID]:
        taken = []
        try:
            misses = 0
            while misses < 3:
                claimed = claim(worker_id)
                misses = misses + 1 if claimed is None else 0
                if claimed is not None:
                    taken.append(claimed.generation_id)
            return taken
        finally:
            connections["engine"].close()

    with ThreadPoolExecutor(4) as threads:
        taken = [generation_id for each in threads.map(drain, ids) for generation_id in each]
    assert len(taken) == len(set(taken)) == 32


@pytest.mark.parametrize("lease", [-1.0, None])
def test_a_worker_without_a_lease_claims_nothing(
    alice: Principal, ask: Ask, new_worker: NewWorker, lease: float | None
) -> None:
    ask(alice)
    assert claim(uuid4() if lease is None else new_worker(lease)) is None


def test_the_tenant_with_fewest_running_goes_first(
    alice: Principal, mallory: Principal, ask: Ask, new_worker: NewWorker
) -> None:
    ask(alice, "A", *["quick"] * 4)
    ask(mallory, "M", "quick", "quick")
    worker = new_worker()
    order = [claimed_by(worker).tenant_id for _ in range(6)]
    assert order[:4].count(mallory.tenant_id) == 2  # although Alice asked first
    assert order[0] == alice.tenant_id


@pytest.mark.parametrize(
    "assignment", ["claims = 3", "deadline_at = clock_timestamp() - interval '1 s'", "cancel_at = clock_timestamp()"]
)
def test_what_nobody_may_claim_is_ended_by_the_reaper(
    alice: Principal, ask: Ask, new_worker: NewWorker, assignment: str
) -> None:
    turn = ask(alice)
    generation_id = turn.generations[0].generation_id
    with connections["default"].cursor() as cursor, transaction.atomic():
        cursor.execute("SELECT set_config('app.tenant_id', %s, true)", [str(alice.tenant_id)])
        cursor.execute(f"UPDATE conversations_generation SET {assignment} WHERE id = %s", [generation_id])
    assert claim(new_worker()) is None
    assert [one.generation_id for one in reap({})] == [generation_id]
    row = selectors.answer(alice, generation_id)
    expected = GenerationState.CANCELLED if "cancel" in assignment else GenerationState.FAILED
    assert row.state is expected
    assert (row.error_code is None) == (expected is GenerationState.CANCELLED)
    with tenant_scope(alice.tenant_id):
        assert Message.objects.get(id=row.message_id).status == expected
        assert Reservation.objects.get(id=generation_id).state == "settled"


def test_a_dead_workers_generation_is_queued_again_and_its_call_absorbed(
    alice: Principal, ask: Ask, new_worker: NewWorker
) -> None:
    turn = ask(alice)
    worker = new_worker()
    claimed = claimed_by(worker)
    attempt = uuid4()
    attempts.begin(claimed, candidate(alice, claimed.generation_id), 1, attempt)
    assert reap({}) == []  # alive
    expire(worker)
    assert [(one.generation_id, one.state) for one in reap({})] == [(claimed.generation_id, GenerationState.QUEUED)]
    assert workers() == []
    assert state(alice, claimed.generation_id) == ("queued", 1, 1)
    with tenant_scope(alice.tenant_id):
        assert Attempt.objects.get(id=attempt).state == "lost"
        line = LedgerEntry.objects.get(attempt_id=attempt)
        assert (line.kind, line.estimated, line.call_id) == ("absorbed", True, turn.generations[0].generation_id)
        assert line.amount_nanousd == candidate_bound(alice, claimed.generation_id)
        assert Reservation.objects.get(id=claimed.generation_id).state == "open"
    again = claimed_by(new_worker())
    assert (again.fence, again.claims) == (2, 2)


def candidate_bound(principal: Principal, generation_id: UUID) -> int:
    plan = Generation.objects.get(id=generation_id).plan
    return routing.plan_from_json(plan).amount_bound_nanousd


def test_the_third_lost_claim_is_the_last_and_what_was_shown_is_kept(
    alice: Principal, ask: Ask, new_worker: NewWorker
) -> None:
    ask(alice)
    for _ in range(3):
        worker = new_worker()
        claimed = claimed_by(worker)
        expire(worker)
        if claimed.claims < 3:
            reap({})
    assert ending() == [(claimed.generation_id, 3)]
    (moved,) = reap({(claimed.generation_id, 3): "Half an answ"})
    assert moved.state is GenerationState.PARTIAL
    row = selectors.answer(alice, claimed.generation_id)
    assert (row.state, row.text, row.error_code) == (GenerationState.PARTIAL, "Half an answ", "worker_lost")


def test_a_cancel_that_nobody_heard_is_kept_by_the_reaper(alice: Principal, ask: Ask, new_worker: NewWorker) -> None:
    ask(alice)
    worker = new_worker()
    claimed = claimed_by(worker)
    assert services.cancel(alice, claimed.generation_id) is GenerationState.RUNNING
    expire(worker)
    reap({})
    assert state(alice, claimed.generation_id)[0] == "cancelled"


def test_handing_back_counts_no_claim(alice: Principal, ask: Ask, new_worker: NewWorker) -> None:
    ask(alice)
    worker = new_worker()
    claimed = claimed_by(worker)
    with transaction.atomic(using="engine"):
        assert hand_back(new_worker(), [claimed.generation_id]) == []  # not this worker's
        assert hand_back(worker, [claimed.generation_id]) == [(claimed.generation_id, GenerationState.QUEUED)]
    assert state(alice, claimed.generation_id) == ("queued", 1, 0)


def test_the_gate_writes_one_row_per_call_under_the_fence(alice: Principal, ask: Ask, new_worker: NewWorker) -> None:
    ask(alice)
    claimed = claimed_by(new_worker())
    one = candidate(alice, claimed.generation_id)
    first, second = uuid4(), uuid4()
    attempts.begin(claimed, one, 1, first)
    attempts.begin(claimed, one, 1, first)  # the reply to the first try was lost
    attempts.begin(claimed, one, 2, second)
    with tenant_scope(alice.tenant_id):
        rows = Attempt.objects.filter(generation_id=claimed.generation_id).order_by("number")
        assert [(row.id, row.fence, row.number, row.state) for row in rows] == [
            (first, 1, 1, "begun"),
            (second, 1, 2, "begun"),
        ]


def test_no_call_begins_after_a_cancel(alice: Principal, ask: Ask, new_worker: NewWorker) -> None:
    ask(alice)
    claimed = claimed_by(new_worker())
    services.cancel(alice, claimed.generation_id)
    with pytest.raises(CancelAsked):
        attempts.begin(claimed, candidate(alice, claimed.generation_id), 1, uuid4())
    with tenant_scope(alice.tenant_id):
        assert not Attempt.objects.exists()


def test_no_call_begins_under_a_lost_fence(alice: Principal, ask: Ask, new_worker: NewWorker) -> None:
    ask(alice)
    worker = new_worker()
    zombie = claimed_by(worker)
    expire(worker)
    reap({})
    with pytest.raises(Fenced):  # nobody's yet
        attempts.begin(zombie, candidate(alice, zombie.generation_id), 1, uuid4())
    claimed_by(new_worker())
    with pytest.raises(Fenced):  # another's
        attempts.begin(zombie, candidate(alice, zombie.generation_id), 1, uuid4())


def test_a_lane_sees_its_own_history_and_a_newcomer_the_leftmost(
    alice: Principal, ask: Ask, new_worker: NewWorker
) -> None:
    first = ask(alice, "One?", "quick", "slow")
    for lane, text in zip(first.generations, ("left", "right"), strict=True):
        finish_as(alice, lane.generation_id, lane.message_id, text)
    ask(alice, "Two?", "slow", "swift", conversation_id=first.conversation_id)
    worker = new_worker()
    prompts = {}
    for _ in range(2):
        claimed = claimed_by(worker)
        work = load(claimed)
        prompts[work.identity.model] = [(part["role"], part["content"]) for part in work.prompt.messages]
    assert prompts["slow"] == [("user", "One?"), ("assistant", "right"), ("user", "Two?")]
    assert prompts["swift"] == [("user", "One?"), ("assistant", "left"), ("user", "Two?")]


def finish_as(principal: Principal, generation_id: UUID, message_id: UUID, text: str) -> None:
    with tenant_scope(principal.tenant_id):
        Generation.objects.filter(id=generation_id).update(state="completed", finished_at="2026-01-01T00:00Z")
        Message.objects.filter(id=message_id).update(status="completed", text=text)
