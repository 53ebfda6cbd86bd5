"""Whoever returns with the last id they saw gets exactly the rest, from wherever the rest is kept by then."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from apps.tenants.contracts import Principal
from tests.conversations.doors.caller import Caller, problem
from tests.conversations.doors.transcript import TERMINAL, Event, Lane, Transcript

pytestmark = pytest.mark.usefixtures("web", "worker")


def told(event: Event) -> dict[str, Any]:
    """An event without its timings, which are rounded where they are told."""
    return {name: value for name, value in event.data.items() if name != "timings"}


def is_rest(resumed: list[Event], rest: list[Event]) -> bool:
    """Whether these are exactly the events that were left."""
    return [told(event) for event in resumed] == [told(event) for event in rest]


def is_whole(lane: Lane, whole: Lane) -> bool:
    """Whether a reader who came when all was over got the finished answer instead."""
    return [event.type for event in lane.events] == ["message.snapshot", whole.end.type] and lane.text == whole.text


def test_a_lane_resumes_after_every_id_while_it_runs(caller: Caller) -> None:
    stream = caller.accept("paced")["generations"][0]["generation_id"]
    with ThreadPoolExecutor(40) as readers:
        with caller.following(stream) as events:
            resumed = [(event, readers.submit(caller.follow, stream, event.data["id"])) for event in events]
        whole = Lane()
        for event, _ in resumed:
            whole.take(event)
        whole.check()
        exact = 0
        for place, (_, reading) in enumerate(resumed):
            rest, events_left = reading.result().events, whole.events[place + 1 :]
            exact += is_rest(rest, events_left)
            assert is_rest(rest, events_left) or is_whole(Transcript(rest).only, whole), f"after {place}"
    assert len(resumed) > 20
    assert exact > len(resumed) // 2, "most came back while the answer was still being written"
    assert resumed[-1][1].result().events == []


def test_a_turn_resumes_after_every_cursor_while_it_runs(caller: Caller) -> None:
    stream = caller.accept("paced", "quick", "paced")["turn_id"]
    with ThreadPoolExecutor(40) as readers:
        with caller.following(stream) as events:
            reading = [(event, readers.submit(caller.follow, stream, event.sse_id)) for event in events]
        whole = Transcript(event for event, _ in reading)
        seen: dict[str, int] = dict.fromkeys(whole.lanes, 0)
        for event, future in reading:
            seen[event.data["generation_id"]] += 1
            resumed = future.result().lanes
            for generation_id, lane in whole.lanes.items():
                rest, events_left = resumed.get(generation_id, Lane()), lane.events[seen[generation_id] :]
                assert is_rest(rest.events, events_left) or is_whole(rest, lane)
    assert len(whole.check_all()) == 3
    assert reading[-1][1].result().events == []


def test_a_finished_lane_is_one_snapshot_and_its_end(caller: Caller) -> None:
    live = caller.ask("quick").only
    stream = live.end.data["generation_id"]
    for after in (None, *(event.data["id"] for event in live.events[:-1])):
        lane = caller.follow(stream, after).only.check()
        assert is_whole(lane, live)
        assert [event.data["id"] for event in lane.events] == [live.events[-2].data["id"], live.end.data["id"]]
        assert told(lane.end) == told(live.end)


def test_nothing_is_left_after_the_end(caller: Caller) -> None:
    transcript = caller.ask("quick", "swift")
    for lane in transcript.lanes.values():
        path = f"/v1/chat/streams/{lane.end.data['generation_id']}"
        assert caller.http.get(path, headers={"Last-Event-ID": lane.end.data["id"]}).status_code == 204
        assert caller.http.get(path, params={"last_event_id": lane.end.data["id"]}).status_code == 204
    path = f"/v1/chat/streams/{transcript.events[0].data['turn_id']}"
    assert caller.http.get(path, headers={"Last-Event-ID": transcript.events[-1].sse_id or ""}).status_code == 204


def test_a_cursor_brings_only_the_lanes_that_are_not_read_to_the_end(caller: Caller) -> None:
    transcript = caller.ask("quick", "swift")
    first, second = transcript.by_number[1], transcript.by_number[2]
    resumed = caller.follow(first.end.data["turn_id"], f"1:{first.end.data['id']},2:1-0").only
    assert is_whole(resumed, second)
    assert resumed.end.sse_id == f"1:{first.end.data['id']},2:{second.end.data['id']}"


def test_every_device_reads_the_same(caller: Caller) -> None:
    stream = caller.accept("paced", "paced")["turn_id"]
    with ThreadPoolExecutor(6) as readers:
        transcripts = list(readers.map(lambda _: caller.follow(stream), range(6)))
    texts = {tuple(lane.check().text for lane in one.by_number.values()) for one in transcripts}
    assert len(texts) == 1


@pytest.mark.parametrize("last", ["x", "1", "0-1", "1-", "1-1,", "1:1-1", "-1-1", "1-01", "9" * 30 + "-1", "1-1 "])
def test_what_is_not_an_id_of_a_lane_is_refused(caller: Caller, last: str) -> None:
    stream = caller.accept("quick")["generations"][0]["stream_url"]
    body = problem(caller.http.get(stream, params={"last_event_id": last}), 400, "invalid_message")
    assert list(body["errors"]) == ["Last-Event-ID"]


@pytest.mark.parametrize("last", ["1-1", "1:", "2:1-1,1:1-1", "1:1-1,1:1-2", "0:1-1", "1:1-1;2:1-1", "1:1-1," * 500])
def test_what_is_not_a_cursor_of_a_turn_is_refused(caller: Caller, last: str) -> None:
    stream = caller.accept("quick")["stream_url"]
    problem(caller.http.get(stream, params={"last_event_id": last}), 400, "invalid_message")


def test_an_id_from_the_future_brings_nothing_and_breaks_nothing(caller: Caller) -> None:
    stream = caller.ask("quick").only.end.data["generation_id"]
    response = caller.http.get(f"/v1/chat/streams/{stream}", headers={"Last-Event-ID": "7-7"})
    assert response.status_code == 204


def test_strangers_find_no_stream(
    caller: Caller, caller_of: Callable[[Principal], Caller], bob: Principal, mallory: Principal
) -> None:
    accepted = caller.accept("paced")
    for stranger in (bob, mallory):
        for path in (accepted["stream_url"], accepted["generations"][0]["stream_url"]):
            problem(caller_of(stranger).http.get(path), 404, "not_found")
    problem(caller.http.get(f"/v1/chat/streams/{uuid4()}"), 404, "not_found")
    assert caller.follow(accepted["stream_url"]).only.end.type in TERMINAL
