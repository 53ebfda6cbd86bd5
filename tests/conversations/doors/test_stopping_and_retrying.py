"""Readers may leave; only asking to stop stops an answer, and then at once, with what came kept and paid for."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from apps.billing.models import LedgerEntry, Reservation
from apps.conversations.models import Attempt
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.doors.caller import Caller, problem
from tests.conversations.doors.transcript import Event, Lane
from tests.processes import Simulator
from tests.product import eventually, simulator_calls

pytestmark = pytest.mark.usefixtures("web", "worker")


def deltas(count: int, events: Iterator[Event]) -> list[Event]:
    """The next so many pieces of text, and whatever came before."""
    seen: list[Event] = []
    for event in events:
        seen.append(event)
        if sum(one.type == "token.delta" for one in seen) >= count:
            return seen
    raise AssertionError(f"ended after {len(seen)} events")


def test_hanging_up_cancels_nothing(caller: Caller) -> None:
    with caller.asking("paced", "paced") as events:
        first = next(events)
        deltas(3, events)
    conversation_id = first.data["conversation_id"]
    ended = eventually(lambda: [one for one in caller.answers(conversation_id) if one["state"] == "completed"][1:])
    assert ended[0]["text"]


def test_a_caller_of_finished_json_who_hangs_up_cancels_nothing(caller: Caller, alice: Principal) -> None:
    body = {"message": "Patience", "models": ["paced"]}
    with pytest.raises(httpx.ReadTimeout):
        caller.http.post("/v1/chat/messages", json=body, headers={"Idempotency-Key": "patience"}, timeout=0.5)
    again = caller.http.post("/v1/chat/messages", json=body, headers={"Idempotency-Key": "patience"})
    assert [answer["state"] for answer in again.json()["answers"]] == ["completed"]
    assert len(caller.turns(again.json()["conversation_id"])) == 1


def test_cancel_keeps_what_came_and_closes_the_call(
    caller: Caller, alice: Principal, provider_simulator: Simulator
) -> None:
    with caller.asking("endless") as events:
        lane = Lane()
        for event in deltas(5, events):
            lane.take(event)
        generation_id = lane.events[0].data["generation_id"]
        assert caller.cancel(generation_id) == {"generation_id": generation_id, "state": "running"}
        for event in events:
            lane.take(event)
    lane.check()
    assert (lane.end.type, lane.end.data["state"]) == ("message.completed", "cancelled")
    (answer,) = caller.answers(lane.end.data["conversation_id"])
    assert (answer["state"], answer["text"]) == ("cancelled", lane.text)
    with tenant_scope(alice.tenant_id):
        attempt = Attempt.objects.get(generation_id=generation_id)
        assert attempt.state == "cancelled"
        line = LedgerEntry.objects.get(attempt_id=attempt.id)
        assert (line.kind, line.estimated, line.amount_nanousd) == ("charge", True, answer["cost"]["nanousd"])
        reserved = Reservation.objects.get(id=generation_id)
        assert reserved.state == "settled"
        assert 0 < line.amount_nanousd <= reserved.amount_nanousd
    (call,) = eventually(
        lambda: [one for one in simulator_calls(provider_simulator.url, attempt.id) if one["ended_at"] is not None]
    )
    assert (call["closed_by_caller"], call["completed"]) == (True, False)
    assert call["text"].startswith(lane.text)


def test_cancelling_one_lane_leaves_the_others(caller: Caller) -> None:
    accepted = caller.accept("endless", "paced")
    endless, paced = (lane["generation_id"] for lane in accepted["generations"])
    with caller.following(endless) as events:
        deltas(1, events)
    caller.cancel(endless)
    transcript = caller.follow(accepted["turn_id"])
    assert transcript.lanes[endless].end.data["state"] == "cancelled"
    assert transcript.lanes[paced].end.data["state"] == "completed"


def test_cancel_again_or_afterwards_changes_nothing(caller: Caller) -> None:
    done = caller.ask("quick").only.end.data
    for _ in range(2):
        assert caller.cancel(done["generation_id"])["state"] == "completed"
    problem(caller.http.post(f"/v1/chat/generations/{uuid4()}/cancel"), 404, "not_found")


def test_deleting_a_conversation_stops_its_answers(caller: Caller) -> None:
    with caller.asking("endless") as events:
        conversation_id = next(events).data["conversation_id"]
        assert caller.http.delete(f"/api/v1/conversations/{conversation_id}/").status_code == 204
        *_, end = events
    assert end.data["state"] == "cancelled"


def test_retry_answers_again_in_the_same_lane(caller: Caller) -> None:
    first = caller.ask("quick", "swift").by_number
    earlier = first[1].end.data
    response = caller.http.post(f"/v1/chat/generations/{earlier['generation_id']}/retry")
    assert response.status_code == 202
    again = response.json()
    assert (again["lane"], again["model"]) == (1, "quick")
    lane = caller.follow(again["stream_url"]).only.check()
    assert lane.end.data["state"] == "completed"
    assert lane.end.data["turn_id"] == earlier["turn_id"]
    stored = {answer["lane"]: answer["generation_id"] for answer in caller.answers(earlier["conversation_id"])}
    assert stored == {1: again["generation_id"], 2: first[2].end.data["generation_id"]}


def test_a_lane_at_work_is_not_retried(caller: Caller) -> None:
    generation_id = caller.accept("endless")["generations"][0]["generation_id"]
    refused = caller.http.post(f"/v1/chat/generations/{generation_id}/retry")
    assert problem(refused, 409, "still_answering")["retryable"] is True
    caller.cancel(generation_id)
    lane = caller.follow(generation_id).only
    assert lane.end.data["state"] == "cancelled"
