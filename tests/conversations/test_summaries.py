"""Rolling summaries: made in the background like answers, charged like them, and never in their way."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connections
from django.db.models.functions import Now

from apps.billing import services as billing
from apps.billing.models import LedgerEntry, Reservation
from apps.conversations import selectors, services, summaries
from apps.conversations.contracts import TurnAccepted
from apps.conversations.errors import NotFound
from apps.conversations.generation.claim import claim
from apps.conversations.generation.reap import reap
from apps.conversations.generation.runtime import WorkerRuntime
from apps.conversations.generation.window import CLOSING, SUMMARY_LEAD
from apps.conversations.models import Attempt, Generation, LaneSummary, Message
from apps.routing.contracts import NewPrice
from apps.routing.errors import ModelNotAllowed
from apps.tenants import selectors as selectors_of_tenants
from apps.tenants import services as tenants
from apps.tenants import teams
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.answering import answer_next, finish_as
from tests.conversations.capture import Capture, keeping
from tests.conversations.conftest import Ask

LONG = "word " * 500


@pytest.fixture(scope="module")
def capture(catalogue: dict[str, str]) -> Iterator[Capture]:
    """A model with a small window, and the cheapest of all."""
    with keeping(
        ("narrow", 4_000, NewPrice(10**9, 10**9)),
        ("penny", 64_000, NewPrice(1, 1)),
    ) as provider:
        yield provider


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The generations whose lanes are to be summarised, in place of messages to a worker."""
    found: list[UUID] = []
    monkeypatch.setattr(summaries, "ask_for", lambda principal, ids: found.extend(ids))
    return found


def talk(principal: Principal, ask: Ask, turns: int, conversation_id: UUID | None = None) -> TurnAccepted:
    """A chat of so many long turns in a narrow window, all answered."""
    for number in range(turns):
        turn = ask(principal, f"{number}: {LONG}", "narrow", conversation_id=conversation_id)
        conversation_id = turn.conversation_id
        finish_as(principal, turn, f"Answer {number}.")
    return turn


def begin(principal: Principal, turn: TurnAccepted) -> UUID | None:
    return summaries.begin(principal.tenant_id, principal.user_id, turn.generations[0].generation_id)


def roles(principal: Principal, turn: TurnAccepted) -> list[tuple[str, str]]:
    prompt = selectors.prompt(principal, turn.generations[0].generation_id)
    return [(one["role"], one["content"]) for one in prompt.messages]


def test_what_is_left_out_is_summarised_charged_and_shown(
    alice: Principal, ask: Ask, capture: Capture, runtime: WorkerRuntime, asked: list[UUID]
) -> None:
    turn = talk(alice, ask, 4)
    assert asked == [turn.generations[0].generation_id], "the first window that leaves something out"
    summary_id = begin(alice, turn)
    assert summary_id is not None
    capture.says = "They count words."
    done = answer_next(runtime, alice, summary_id)
    assert (done.state, done.kind, done.model_slug) == ("completed", "summary", "penny")
    with tenant_scope(alice.tenant_id):
        (covered,) = LaneSummary.objects.filter(lane_id=done.lane_id)
        (attempt,) = Attempt.objects.filter(generation_id=summary_id)
        (line,) = LedgerEntry.objects.filter(call_id=summary_id)
        assert Reservation.objects.get(id=summary_id).state == "settled"
    assert (line.attempt_id, line.kind, line.user_id) == (attempt.id, "charge", alice.user_id)
    sent = capture.newest["messages"]
    assert isinstance(sent, list)
    assert [one["role"] for one in sent] == ["system", *["user", "assistant"] * covered.covers, "user"]
    assert (sent[0]["content"], sent[-1]["content"]) == (summaries.TASK, CLOSING)
    # The next question is asked with it, and so is the one after: the beginning of the prompt stays the same.
    prompts = []
    for question in ("Next?", "And next?"):
        turn = ask(alice, question, "narrow", conversation_id=turn.conversation_id)
        prompts.append(roles(alice, turn))
        finish_as(alice, turn, "Yes.")
    assert prompts[0][0] == ("system", f"{SUMMARY_LEAD}They count words.")
    assert prompts[1][: len(prompts[0])] == prompts[0]
    row = selectors.prompt(alice, turn.generations[0].generation_id)
    assert (row.left_out, row.summarised) == (covered.covers, covered.covers)


def test_people_never_meet_a_summary(
    alice: Principal, ask: Ask, capture: Capture, runtime: WorkerRuntime, asked: list[UUID]
) -> None:
    turn = talk(alice, ask, 4)
    summary_id = begin(alice, turn)
    assert summary_id is not None
    assert not selectors.conversation_list(alice)[0].running
    again = ask(alice, "While it is made?", "narrow", conversation_id=turn.conversation_id)
    finish_as(alice, again, "At once.")
    answer_next(runtime, alice, summary_id)
    timeline = selectors.timeline(alice, turn.conversation_id)
    assert [[answer.text for answer in one.answers] for one in timeline.turns][-2:] == [["Answer 3."], ["At once."]]
    for read in (selectors.answer, selectors.standing, selectors.prompt, selectors.stream_identities, services.retry):
        with pytest.raises(NotFound):
            read(alice, summary_id)


def test_one_summary_at_a_time_and_none_twice(
    alice: Principal,
    ask: Ask,
    capture: Capture,
    runtime: WorkerRuntime,
    asked: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turn = talk(alice, ask, 4)
    summary_id = begin(alice, turn)
    assert summary_id is not None
    assert begin(alice, turn) is None, "it is on its way"
    with monkeypatch.context() as patch:
        patch.setattr(summaries, "_WORKING", [])  # both looked before either wrote
        assert begin(alice, turn) is None
    with tenant_scope(alice.tenant_id):
        assert Reservation.objects.filter(state="open").count() == 1, "the loser's admission was given back"
    answer_next(runtime, alice, summary_id)
    assert begin(alice, turn) is None, "it was made"


def test_a_second_summary_carries_on_from_the_first(
    alice: Principal, ask: Ask, capture: Capture, runtime: WorkerRuntime, asked: list[UUID]
) -> None:
    turn = talk(alice, ask, 4)
    first = begin(alice, turn)
    assert first is not None
    capture.says = "First memory."
    answer_next(runtime, alice, first)
    turn = talk(alice, ask, 4, turn.conversation_id)
    second = begin(alice, turn)
    assert second is not None
    capture.says = "Second memory."
    answer_next(runtime, alice, second)
    sent = capture.newest["messages"]
    assert isinstance(sent, list)
    assert sent[1]["content"] == f"{SUMMARY_LEAD}First memory."
    # Each talk began with number 0: the first of these is told of by the first summary, and not read again.
    assert sum(str(one["content"]).startswith("0: word") for one in sent) == 1
    turn = ask(alice, "Now?", "narrow", conversation_id=turn.conversation_id)
    assert roles(alice, turn)[0] == ("system", f"{SUMMARY_LEAD}Second memory.")


def test_a_budget_without_room_is_no_error(alice: Principal, ask: Ask, capture: Capture, asked: list[UUID]) -> None:
    turn = talk(alice, ask, 4)
    billing.set_quota(tenant_id=alice.tenant_id, requests_per_minute=1)
    assert begin(alice, turn) is None
    with tenant_scope(alice.tenant_id):
        assert not Generation.objects.filter(kind="summary").exists()
        assert not Message.objects.filter(role="system").exists()


def test_a_summary_is_made_by_the_models_of_the_key_that_asked(
    alice: Principal, ask: Ask, capture: Capture, asked: list[UUID]
) -> None:
    """The cheapest model would do it, and is none of the key's."""
    made = tenants.create_api_key(alice, "narrow", models=["narrow"])
    key = selectors_of_tenants.principal_for_api_key(made.secret)
    assert key is not None
    turn = talk(key, ask, 4)
    with pytest.raises(ModelNotAllowed):
        ask(key, "And you?", "penny")
    summary_id = begin(alice, turn)
    with tenant_scope(alice.tenant_id):
        summary = Generation.objects.get(id=summary_id)
    assert (summary.model_slug, summary.api_key_id) == ("narrow", made.id)
    assert {one["model"] for one in summary.plan["candidates"]} == {"narrow"}


def test_a_failed_summary_leaves_the_history_cut_and_may_be_tried_again(
    alice: Principal, ask: Ask, capture: Capture, asked: list[UUID], new_worker: Callable[..., UUID]
) -> None:
    turn = talk(alice, ask, 4)
    summary_id = begin(alice, turn)
    for _ in range(3):  # its workers die
        worker = new_worker()
        claimed = claim(worker)
        assert claimed is not None
        assert claimed.generation_id == summary_id
        with connections["engine"].cursor() as cursor:
            cursor.execute(
                "UPDATE conversations_worker SET lease_until = now() - interval '1 s' WHERE id = %s", [worker]
            )
        reap({})
    with tenant_scope(alice.tenant_id):
        assert Generation.objects.get(id=summary_id).state == "failed"
        assert not Reservation.objects.filter(state="open").exists()
    turn = ask(alice, "Next?", "narrow", conversation_id=turn.conversation_id)
    row = selectors.prompt(alice, turn.generations[0].generation_id)
    assert row.left_out > 0
    assert row.summarised == 0
    again = begin(alice, turn)
    with tenant_scope(alice.tenant_id):
        assert Generation.objects.get(id=again).model_slug != "penny", "another model is tried"


def test_empty_summaries_are_tried_elsewhere_and_not_for_ever(
    alice: Principal, ask: Ask, capture: Capture, runtime: WorkerRuntime, asked: list[UUID]
) -> None:
    turn = talk(alice, ask, 4)
    capture.says = ""
    first = begin(alice, turn)
    assert first is not None
    assert answer_next(runtime, alice, first).model_slug == "penny"
    second = begin(alice, turn)
    with tenant_scope(alice.tenant_id):
        assert Generation.objects.get(id=second).model_slug != "penny", "another model is tried"
        Generation.objects.filter(id=second).update(state="partial", finished_at=Now())
    third = begin(alice, turn)
    with tenant_scope(alice.tenant_id):
        Generation.objects.filter(id=third).update(state="failed", finished_at=Now())
    assert begin(alice, turn) is None, "three gave nothing"
    with tenant_scope(alice.tenant_id):
        Generation.objects.filter(id=third).update(finished_at=Now() - timedelta(hours=2))
    assert begin(alice, turn) is not None, "later it is tried again"


def test_a_workspace_that_wants_none_has_none(alice: Principal, ask: Ask, capture: Capture, asked: list[UUID]) -> None:
    turn = talk(alice, ask, 4)
    teams.change_tenant(alice, summaries=False)
    assert begin(alice, turn) is None
    teams.change_tenant(alice, summaries=True)
    assert begin(alice, turn) is not None


def test_every_answer_comes_first(
    alice: Principal, bob: Principal, ask: Ask, capture: Capture, asked: list[UUID], new_worker: Callable[..., UUID]
) -> None:
    turn = talk(alice, ask, 4)
    summary_id = begin(alice, turn)
    later = [ask(principal, "Quickly?", "quick").generations[0].generation_id for principal in (alice, bob)]
    worker = new_worker()
    claimed = [claim(worker) for _ in range(3)]
    assert {one.generation_id for one in claimed[:2] if one} == set(later)
    assert claimed[2] is not None
    assert claimed[2].generation_id == summary_id


def test_deleting_the_chat_stops_its_summary(alice: Principal, ask: Ask, capture: Capture, asked: list[UUID]) -> None:
    turn = talk(alice, ask, 4)
    summary_id = begin(alice, turn)
    services.delete(alice, turn.conversation_id)
    with tenant_scope(alice.tenant_id):
        assert Generation.objects.get(id=summary_id).state == "cancelled"


def test_a_stranger_has_nothing_summarised(
    alice: Principal, bob: Principal, mallory: Principal, ask: Ask, capture: Capture, asked: list[UUID]
) -> None:
    turn = talk(alice, ask, 4)
    generation_id = turn.generations[0].generation_id
    assert summaries.begin(mallory.tenant_id, mallory.user_id, generation_id) is None
    assert summaries.begin(alice.tenant_id, bob.user_id, generation_id) is None
    assert summaries.begin(alice.tenant_id, mallory.user_id, generation_id) is None


def test_the_database_allows_one_summary_of_a_lane_at_work(
    alice: Principal, ask: Ask, capture: Capture, asked: list[UUID]
) -> None:
    turn = talk(alice, ask, 4)
    summary_id = begin(alice, turn)
    with pytest.raises(IntegrityError, match="one_summary_at_a_time"), tenant_scope(alice.tenant_id):
        row = Generation.objects.get(id=summary_id)
        row.id, row.message_id = uuid4(), uuid4()
        row.save(force_insert=True)
