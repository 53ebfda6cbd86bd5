"""What somebody in a chat sees of a provider's faults: a new start, a part, or an error; never a cut as an end."""

import pytest

from apps.billing.models import LedgerEntry
from apps.conversations.models import Attempt
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.doors.caller import Caller
from tests.conversations.doors.transcript import Event
from tests.processes import Simulator
from tests.product import simulator_calls

pytestmark = pytest.mark.usefixtures("web", "worker")


def story(alice: Principal, end: Event) -> list[tuple[int, str, str, bool]]:
    """Each attempt in order: number, its state, the kind of its ledger line, whether that is an estimate."""
    with tenant_scope(alice.tenant_id):
        attempts = Attempt.objects.filter(generation_id=end.data["generation_id"]).order_by("number")
        lines = {line.attempt_id: line for line in LedgerEntry.objects.filter(call_id=end.data["generation_id"])}
        assert set(lines) == {attempt.id for attempt in attempts}, "one ledger line per attempt"
        return [(one.number, one.state, lines[one.id].kind, lines[one.id].estimated) for one in attempts]


def test_a_cut_stream_starts_anew_with_the_next_provider(
    caller: Caller, alice: Principal, provider_simulator: Simulator
) -> None:
    lane = caller.ask("rescued").only.check()
    assert lane.types == ["message.started", "token.delta", "message.restarted", "token.delta", "message.completed"]
    assert lane.end.data["state"] == "completed"
    assert [attempt["state"] for attempt in lane.end.data["route"]["attempts"]] == ["failed", "won"]
    assert story(alice, lane.end) == [(1, "failed", "absorbed", True), (2, "won", "charge", False)]
    with tenant_scope(alice.tenant_id):
        won = Attempt.objects.get(generation_id=lane.end.data["generation_id"], state="won")
    (call,) = simulator_calls(provider_simulator.url, won.id)
    assert call["text"] == lane.text
    (answer,) = caller.answers(lane.end.data["conversation_id"])
    assert answer["text"] == lane.text


def test_where_every_try_is_cut_the_last_part_is_kept_and_marked(caller: Caller, alice: Principal) -> None:
    lane = caller.ask("cut").only.check()
    restarts = [event.data["reason"] for event in lane.events if event.type == "message.restarted"]
    assert len(restarts) >= 1
    assert (lane.end.type, lane.end.data["state"]) == ("message.completed", "partial")
    assert lane.end.data["finish_reason"] == "interrupted"
    assert lane.text
    (answer,) = caller.answers(lane.end.data["conversation_id"])
    assert (answer["state"], answer["text"]) == ("partial", lane.text)
    assert answer["error"]["retryable"] is True
    kinds = [kind for _, _, kind, _ in story(alice, lane.end)]
    assert kinds == ["absorbed"] * len(restarts) + ["charge"]


def test_a_refusal_is_one_error_and_costs_nothing(caller: Caller, alice: Principal) -> None:
    lane = caller.ask("refuses").only
    assert lane.types == ["message.started", "message.error"]
    assert lane.end.data["state"] == "failed"
    assert lane.end.data["retryable"] is False
    assert lane.end.data["code"] and lane.end.data["message"]
    (answer,) = caller.answers(lane.end.data["conversation_id"])
    assert (answer["state"], answer["text"]) == ("failed", "")
    assert answer["error"] == {name: lane.end.data[name] for name in ("code", "message", "retryable")}
    with tenant_scope(alice.tenant_id):
        lines = LedgerEntry.objects.filter(call_id=lane.end.data["generation_id"])
        assert {(line.kind, line.amount_nanousd) for line in lines} == {("absorbed", 0)}


def test_a_failed_answer_is_read_later_as_it_was_told(caller: Caller) -> None:
    live = caller.ask("refuses").only
    later = caller.follow(live.end.data["generation_id"]).only
    assert [event.type for event in later.events] == ["message.snapshot", "message.error"]
    assert later.end.data == live.end.data


def test_one_lanes_failure_leaves_the_others_alone(caller: Caller) -> None:
    lanes = caller.ask("refuses", "quick", "cut", "swift").by_number
    assert [lanes[number].end.data["state"] for number in (1, 2, 3, 4)] == [
        "failed",
        "completed",
        "partial",
        "completed",
    ]


def test_usage_that_no_provider_told_is_a_flagged_estimate(caller: Caller, alice: Principal) -> None:
    lane = caller.ask("stutters").only.check()
    assert lane.end.data["state"] == "completed"
    assert lane.end.data["usage"]["estimated"] is True
    assert lane.end.data["usage"]["output_tokens"] > 0
    assert story(alice, lane.end) == [(1, "won", "charge", True)]
