"""A question asked over HTTP streams every lane to its end, and what was streamed is what is stored."""

import hashlib
from uuid import UUID

import pytest

from onebox.process import Process
from tests.conversations.doors.caller import Caller, problem
from tests.conversations.doors.transcript import Lane
from tests.product import WebServer

pytestmark = [
    pytest.mark.usefixtures("web", "worker"),
    pytest.mark.parametrize("web", ["daphne", "uvicorn"], indirect=True),
]


@pytest.mark.parametrize("models", [("paced",), ("paced", "quick", "swift")])
def test_each_lane_streams_from_start_to_end_and_is_stored(caller: Caller, models: tuple[str, ...]) -> None:
    transcript = caller.ask(*models)
    lanes = transcript.by_number
    assert sorted(lanes) == list(range(1, len(models) + 1))
    first = transcript.events[0].data
    stored = caller.answers(first["conversation_id"])
    assert [answer["model"] for answer in stored] == list(models)
    for answer in stored:
        lane = lanes[answer["lane"]].check()
        assert lane.types == ["message.started", "token.delta", "message.completed"]
        assert lane.events[0].data["message_id"] == answer["message_id"]
        assert (lane.text, lane.end.data["state"]) == (answer["text"], "completed")
        assert lane.text
        check_envelopes(lane, first["conversation_id"], first["turn_id"], answer["generation_id"])
        assert lane.end.data["usage"] == answer["usage"]
        assert lane.end.data["cost"] == answer["cost"]
        assert lane.end.data["route"] == answer["route"]


def check_envelopes(lane: Lane, conversation_id: str, turn_id: str, generation_id: str) -> None:
    for seq, event in enumerate(lane.events):
        UUID(event.data["turn_id"])
        assert event.data["id"] == f"1-{seq}"
        assert event.data["seq"] == seq
        assert (event.data["conversation_id"], event.data["turn_id"]) == (conversation_id, turn_id)
        assert event.data["generation_id"] == generation_id


def test_the_id_of_each_frame_is_the_position_of_every_lane(caller: Caller) -> None:
    transcript = caller.ask("quick", "paced", "swift")
    seen: dict[int, str] = {}
    for event in transcript.events:
        seen[event.data["lane"]] = event.data["id"]
        assert event.sse_id == ",".join(f"{lane}:{id}" for lane, id in sorted(seen.items()))


def test_reasoning_is_told_apart_from_the_answer(caller: Caller) -> None:
    lane = caller.ask("thinker").only.check()
    assert lane.types == ["message.started", "reasoning.delta", "token.delta", "message.completed"]
    (answer,) = caller.answers(lane.end.data["conversation_id"])
    assert (answer["reasoning"], answer["text"]) == (lane.reasoning, lane.text)
    assert lane.end.data["usage"]["reasoning_tokens"] > 0


def test_without_stream_the_answer_is_finished_json(caller: Caller) -> None:
    response = caller.http.post("/v1/chat/messages", json={"message": "Hello", "models": ["quick", "swift"]})
    assert response.status_code == 200
    body = response.json()
    assert [answer["state"] for answer in body["answers"]] == ["completed", "completed"]
    assert body["message"] == "Hello"
    assert body == caller.turns(body["conversation_id"])[0]


def test_respond_async_says_where_each_lane_streams(caller: Caller) -> None:
    accepted = caller.accept("quick", "swift")
    assert [lane["lane"] for lane in accepted["generations"]] == [1, 2]
    for lane in accepted["generations"]:
        assert caller.follow(lane["stream_url"]).only.check().end.data["lane"] == lane["lane"]
    assert len(caller.follow(accepted["stream_url"]).lanes) == 2


def test_a_repeat_under_the_same_key_streams_the_same_turn(caller: Caller) -> None:
    headers = {"Idempotency-Key": "once"}
    body = {"message": "Once", "models": ["quick"], "stream": False}
    first = caller.http.post("/v1/chat/messages", json=body, headers=headers).json()
    assert caller.http.post("/v1/chat/messages", json=body, headers=headers).json() == first
    problem(
        caller.http.post("/v1/chat/messages", json=body | {"message": "Twice"}, headers=headers),
        422,
        "idempotency_mismatch",
    )


def test_the_next_question_continues_the_conversation(caller: Caller) -> None:
    first = caller.ask("quick").only.end.data
    second = caller.ask("quick", message="And then?", conversation_id=first["conversation_id"]).only.check().end.data
    assert second["conversation_id"] == first["conversation_id"]
    assert [turn["message"] for turn in caller.turns(first["conversation_id"])][1] == "And then?"
    longer = second["usage"]["input_tokens"] > first["usage"]["input_tokens"]
    assert longer, "the second prompt holds the first exchange"


def test_text_digests_are_those_of_the_stored_text(caller: Caller) -> None:
    end = caller.ask("swift", message="Grüße, 世界! 🚲").only.check().end.data
    (answer,) = caller.answers(end["conversation_id"])
    assert hashlib.sha256(answer["text"].encode()).hexdigest() == end["text_sha256"]


def test_streams_may_not_be_buffered_or_kept(caller: Caller, worker: Process, web: WebServer) -> None:
    accepted = caller.accept("quick")
    with caller.http.stream("GET", accepted["stream_url"]) as response:
        assert response.headers["Cache-Control"] == "no-store, no-transform"
        assert response.headers["X-Accel-Buffering"] == "no"
