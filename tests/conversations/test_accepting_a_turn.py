"""A turn is written whole or not at all, once per idempotency key, and only in the caller's own conversations."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connections

from apps.billing import services as billing
from apps.billing.errors import OverBudget, RateLimited, TooManyParallel
from apps.billing.models import Reservation
from apps.conversations import requests, selectors, services
from apps.conversations.contracts import GenerationState, TurnAccepted
from apps.conversations.errors import IdempotencyMismatch, InvalidMessage, NotFound, StillAnswering
from apps.conversations.generation.claim import claim
from apps.conversations.models import Conversation, Generation, Lane, Message, Turn
from apps.problems import Forbidden, Problem
from apps.routing.errors import UnknownModel
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.conftest import Ask
from tests.people import new_member


def counts(principal: Principal) -> dict[str, int]:
    with tenant_scope(principal.tenant_id):
        tables = (Conversation, Turn, Message, Lane, Generation, Reservation)
        return {table.__name__: table.objects.count() for table in tables}


def test_each_lane_gets_a_pending_answer_a_queued_generation_and_a_reservation(alice: Principal, ask: Ask) -> None:
    turn = ask(alice, "Why leases?", "quick", "slow", "quick")
    assert counts(alice) == {
        "Conversation": 1, "Turn": 1, "Message": 4, "Lane": 3, "Generation": 3, "Reservation": 3,
    }  # fmt: skip
    with tenant_scope(alice.tenant_id):
        rows = list(Generation.objects.order_by("lane_position"))
        assert [(row.lane_position, row.model_slug, row.state, row.fence, row.claims) for row in rows] == [
            (1, "quick", "queued", 0, 0),
            (2, "slow", "queued", 0, 0),
            (3, "quick", "queued", 0, 0),
        ]
        assert {row.message.status for row in rows} == {"pending"}
        assert {row.message.parent_id for row in rows} == {turn.question_id}
        assert all(row.deadline_at > row.queued_at for row in rows)
    assert (turn.title, turn.created, turn.replayed) == ("Why leases?", True, False)


def test_a_model_keeps_its_lane_and_a_new_one_is_appended(alice: Principal, ask: Ask) -> None:
    first = ask(alice, "One", "quick", "slow")
    for lane in first.generations:
        services.cancel(alice, lane.generation_id)
    second = ask(alice, "Two", "slow", "swift", conversation_id=first.conversation_id)
    assert [(lane.lane, lane.model) for lane in second.generations] == [(2, "slow"), (3, "swift")]
    with tenant_scope(alice.tenant_id):
        question = Message.objects.get(id=second.question_id)
        assert question.parent_id == first.question_id
        assert Turn.objects.get(id=second.turn_id).seq == 2


def test_one_refused_lane_refuses_all_and_leaves_nothing(alice: Principal, ask: Ask) -> None:
    with pytest.raises(UnknownModel):
        ask(alice, "Hello", "quick", "no-such-model")
    assert set(counts(alice).values()) == {0}


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        ({"parallel_calls": 2}, TooManyParallel),
        ({"requests_per_minute": 2}, RateLimited),
        ({"budget_month_nanousd": 4_000_000}, OverBudget),
    ],
)
def test_limits_admit_all_lanes_or_none(
    alice: Principal, ask: Ask, limits: dict[str, int], refusal: type[Problem]
) -> None:
    billing.set_quota(tenant_id=alice.tenant_id, **limits)
    with pytest.raises(refusal):
        ask(alice, "Hello", "quick", "quick", "quick")
    assert set(counts(alice).values()) == {0}
    ask(alice, "Hello", "quick", "quick")  # the refusal consumed nothing, so two still fit
    assert counts(alice)["Reservation"] == 2


def test_a_repeat_under_the_same_key_returns_the_first_turn(alice: Principal, ask: Ask) -> None:
    first = ask(alice, "Hello", "quick", "slow", key="k1")
    again = ask(alice, "Hello", "quick", "slow", key="k1")
    assert again.replayed
    assert (again.turn_id, again.generations) == (first.turn_id, first.generations)
    assert counts(alice)["Turn"] == 1


def test_the_same_key_with_another_body_is_refused(alice: Principal, ask: Ask) -> None:
    ask(alice, "Hello", key="k1")
    with pytest.raises(IdempotencyMismatch):
        ask(alice, "Good-bye", key="k1")


def test_another_person_may_use_the_same_key(alice: Principal, bob: Principal, ask: Ask) -> None:
    assert ask(alice, "Hello", key="k1").turn_id != ask(bob, "Hello", key="k1").turn_id


def test_fifty_parallel_posts_with_one_key_make_one_turn(alice: Principal, ask: Ask) -> None:
    def post(_: int) -> TurnAccepted:
        try:
            return ask(alice, "Hello", "quick", "slow", key="storm")
        finally:
            for connection in connections.all(initialized_only=True):
                connection.close()

    with ThreadPoolExecutor(10) as threads:
        turns = list(threads.map(post, range(50)))
    assert len({turn.turn_id for turn in turns}) == 1
    assert counts(alice) == {
        "Conversation": 1, "Turn": 1, "Message": 3, "Lane": 2, "Generation": 2, "Reservation": 2,
    }  # fmt: skip


def test_a_conversation_at_work_takes_no_second_question(alice: Principal, ask: Ask) -> None:
    turn = ask(alice, "One", "slow")
    with pytest.raises(StillAnswering):
        ask(alice, "Two", "slow", conversation_id=turn.conversation_id)
    assert counts(alice)["Turn"] == 1


def test_a_foreign_conversation_is_not_found(alice: Principal, bob: Principal, mallory: Principal, ask: Ask) -> None:
    turn = ask(alice, "Secret")
    for stranger in (bob, mallory):
        with pytest.raises(NotFound):
            ask(stranger, "Let me in", conversation_id=turn.conversation_id)
        with pytest.raises(NotFound):
            selectors.timeline(stranger, turn.conversation_id)
        with pytest.raises(NotFound):
            selectors.stream_identities(stranger, turn.turn_id)
        for act in (services.cancel, services.retry, selectors.answer, selectors.standing):
            with pytest.raises(NotFound):
                act(stranger, turn.generations[0].generation_id)
        for change in (services.delete, services.restore):
            with pytest.raises(NotFound):
                change(stranger, turn.conversation_id)
        with pytest.raises(NotFound):
            services.rename(stranger, turn.conversation_id, "Mine now")
    assert selectors.timeline(alice, turn.conversation_id).conversation.title == "Secret"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"message": "", "models": ["quick"]}, "message"),
        ({"message": "  \n", "models": ["quick"]}, "message"),
        ({"message": None, "models": ["quick"]}, "message"),
        ({"message": ["a"], "models": ["quick"]}, "message"),
        ({"message": "a\x00b", "models": ["quick"]}, "message"),
        ({"message": "\ud800", "models": ["quick"]}, "message"),
        ({"message": "x" * (requests.MAX_MESSAGE_BYTES + 1), "models": ["quick"]}, "message"),
        ({"message": "Hi", "models": []}, "models"),
        ({"message": "Hi", "models": ["quick"] * 9}, "models"),
        ({"message": "Hi", "models": [1]}, "models"),
        ({"message": "Hi", "models": {"a": 1}}, "models"),
        ({"message": "Hi", "models": [""]}, "models"),
        ({"message": "Hi", "models": ["m\x00"]}, "models"),
        ({"message": "Hi", "model": "quick", "models": ["quick"]}, "models"),
        ({"message": "Hi", "conversation_id": "1"}, "conversation_id"),
        ({"message": "Hi", "conversation_id": 7}, "conversation_id"),
    ],
)
def test_bad_requests_name_the_field(body: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        requests.turn_request(body, None)
    assert list(refused.value.fields or {}) == [field]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "a\x00"])
def test_bad_idempotency_keys_are_refused(key: str) -> None:
    with pytest.raises(InvalidMessage):
        requests.turn_request({"message": "Hi", "models": ["quick"]}, key)


def test_no_model_named_means_the_conversations_own(alice: Principal, ask: Ask) -> None:
    turn = ask(alice, "One", "swift", "quick")
    for lane in turn.generations:
        services.cancel(alice, lane.generation_id)
    request = requests.turn_request({"message": "Two", "conversation_id": str(turn.conversation_id)}, None)
    again = services.start_turn(alice, request)
    assert [lane.model for lane in again.generations] == ["swift", "quick"]


def test_a_long_first_line_becomes_a_short_title(alice: Principal, ask: Ask) -> None:
    turn = ask(alice, "Explain, in as much detail as you can, how a lease differs from a lock\nand more")
    assert turn.title == "Explain, in as much detail as you can, how a lease differs…"


def test_cancelling_a_queued_generation_is_final_at_once(alice: Principal, ask: Ask, new_worker: object) -> None:
    turn = ask(alice, "Never mind", "slow")
    generation_id = turn.generations[0].generation_id
    assert services.cancel(alice, generation_id) is GenerationState.CANCELLED
    assert services.cancel(alice, generation_id) is GenerationState.CANCELLED
    assert claim(new_worker()) is None  # type: ignore[operator]
    with tenant_scope(alice.tenant_id):
        assert Message.objects.get(id=turn.generations[0].message_id).status == "cancelled"
        assert Reservation.objects.get(id=generation_id).state == "settled"


def test_retry_makes_a_new_generation_in_the_same_lane(alice: Principal, ask: Ask) -> None:
    turn = ask(alice, "Again", "quick", "slow")
    first = turn.generations[0]
    with pytest.raises(StillAnswering):
        services.retry(alice, first.generation_id)
    services.cancel(alice, first.generation_id)
    again = services.retry(alice, first.generation_id)
    assert (again.lane, again.model) == (first.lane, first.model)
    assert again.generation_id != first.generation_id
    row = selectors.turn(alice, turn.conversation_id, turn.turn_id)
    assert [answer.generation_id for answer in row.answers] == [
        again.generation_id,
        turn.generations[1].generation_id,
    ]


def test_deleting_hides_stops_and_can_be_undone(alice: Principal, ask: Ask) -> None:
    turn = ask(alice, "Short-lived", "slow")
    services.delete(alice, turn.conversation_id)
    assert selectors.conversation_list(alice) == []
    with pytest.raises(NotFound):
        selectors.timeline(alice, turn.conversation_id)
    assert selectors.standing(alice, turn.generations[0].generation_id)[0] is GenerationState.CANCELLED
    services.restore(alice, turn.conversation_id)
    assert [row.id for row in selectors.conversation_list(alice)] == [turn.conversation_id]


def test_titles_are_tidied_and_bounded(alice: Principal, ask: Ask) -> None:
    turn = ask(alice, "Untitled")
    assert services.rename(alice, turn.conversation_id, "  My \n chat ") == "My chat"
    for bad in ("", " ", "x" * 201, "a\x07b"):
        with pytest.raises(InvalidMessage):
            services.rename(alice, turn.conversation_id, bad)
    with pytest.raises(NotFound):
        services.rename(alice, uuid4(), "Nothing there")


def test_viewers_do_not_ask(alice: Principal, ask: Ask) -> None:
    viewer = new_member(alice, "Vera", role="viewer")
    turn = ask(alice, "Mine")
    for act in (lambda: ask(viewer, "Yours?"), lambda: services.retry(viewer, turn.generations[0].generation_id)):
        with pytest.raises(Forbidden):
            act()
    assert counts(alice)["Turn"] == 1
