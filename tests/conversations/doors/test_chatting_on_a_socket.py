"""One socket asks, follows, stops and returns; and a person's other devices learn that something happened."""

from collections.abc import Callable, Iterator

import pytest

from apps.tenants.contracts import Principal
from tests.conversations.doors.caller import Caller
from tests.conversations.doors.chat_socket import ChatSocket, lane_ids, opened
from tests.product import WebServer

pytestmark = [
    pytest.mark.usefixtures("worker"),
    pytest.mark.parametrize("web", ["daphne", "uvicorn"], indirect=True),
]


@pytest.fixture
def chat(web: WebServer, alice: Principal, api_key_of: Callable[[Principal], str]) -> Iterator[ChatSocket]:
    with opened(web, token=api_key_of(alice)) as chat:
        yield chat


def test_asking_follows_every_lane_by_itself(chat: ChatSocket, caller: Caller, alice: Principal) -> None:
    accepted = chat.ask("quick", "paced", tenant_id=str(alice.tenant_id), conversation_id=None)
    assert (accepted["created"], accepted["title"]) == (True, "Why do leases need fences?")
    assert [(lane["lane"], lane["model"], lane["model_name"]) for lane in accepted["generations"]] == [
        (1, "quick", "Quick"),
        (2, "paced", "Paced"),
    ]
    transcript = chat.read_to_the_end(*lane_ids(accepted))
    stored = {answer["generation_id"]: answer["text"] for answer in caller.answers(accepted["conversation_id"])}
    for lane in transcript.check_all():
        assert lane.types == ["message.started", "token.delta", "message.completed"]
        assert lane.text == stored[lane.end.data["generation_id"]]


def test_the_same_client_id_is_the_same_question(chat: ChatSocket, caller: Caller) -> None:
    first = chat.ask("quick", client_id="tab-1-question-1")
    live = chat.read_to_the_end(*lane_ids(first)).only
    again = chat.ask("quick", client_id="tab-1-question-1")
    assert again == first
    replayed = chat.read_to_the_end(*lane_ids(again)).only
    assert replayed.types == ["message.snapshot", "message.completed"]
    assert replayed.text == live.text
    assert len(caller.turns(first["conversation_id"])) == 1


def test_the_next_question_goes_into_the_same_conversation(chat: ChatSocket) -> None:
    first = chat.ask("quick")
    chat.read_to_the_end(*lane_ids(first))
    second = chat.ask("swift", conversation_id=first["conversation_id"])
    assert (second["conversation_id"], second["created"]) == (first["conversation_id"], False)
    assert [lane["lane"] for lane in second["generations"]] == [2]
    chat.read_to_the_end(*lane_ids(second))


def test_asking_with_render_brings_blocks(chat: ChatSocket) -> None:
    accepted = chat.ask("quick", render="html")
    lane = chat.read_to_the_end(*lane_ids(accepted)).only.check()
    assert {"block.open", "block.html"} <= set(lane.types)


def test_a_subscription_continues_after_an_id_or_a_cursor(chat: ChatSocket, caller: Caller) -> None:
    accepted = caller.accept("paced", "paced")
    first, second = lane_ids(accepted)
    chat.send(type="subscribe", stream=accepted["turn_id"], after=None)
    whole = chat.read_to_the_end(first, second).lanes
    chat.send(type="subscribe", stream=first, after=whole[first].events[3].data["id"])
    assert chat.read_to_the_end(first).only.check().text == whole[first].text
    ids = whole[first].end.data["id"], whole[second].events[1].data["id"]
    chat.send(type="subscribe", stream=accepted["turn_id"], after=f"1:{ids[0]},2:{ids[1]}")
    assert chat.read_to_the_end(second).only.check().text == whole[second].text
    assert chat.is_open()
    assert [one for one in chat.passed if one.get("generation_id") == first and "seq" in one] == []


def test_a_subscription_in_the_middle_brings_exactly_the_rest(chat: ChatSocket, web: WebServer, caller: Caller) -> None:
    stream = caller.accept("paced")["generations"][0]["generation_id"]
    with caller.following(stream) as events:
        seen = [next(events) for _ in range(5)]
        chat.send(type="subscribe", stream=stream, after=seen[-1].data["id"])
        rest = [event.data for event in events]
    assert [event.data for event in chat.read_to_the_end(stream).events] == rest


def test_unsubscribing_ends_the_events_and_nothing_else(chat: ChatSocket, caller: Caller) -> None:
    (stream,) = lane_ids(chat.ask("endless"))
    chat.wait_for("token.delta")
    chat.send(type="unsubscribe", stream=stream)
    assert chat.is_open()
    with pytest.raises(TimeoutError):
        for _ in range(3):  # what was on its way already; 50 tokens a second would go on and on
            chat.receive(0.3)
    assert caller.cancel(stream)["state"] == "running"
    chat.send(type="subscribe", stream=stream)
    assert chat.read_to_the_end(stream).only.end.data["state"] == "cancelled"


def test_cancel_stops_the_answer_and_keeps_it(chat: ChatSocket) -> None:
    (stream,) = lane_ids(chat.ask("endless"))
    chat.passed.append(chat.wait_for("token.delta"))
    chat.send(type="generation.cancel", generation_id=stream)
    chat.passed.append(chat.wait_for("generation.cancelling", generation_id=stream))
    lane = chat.read_to_the_end(stream).only.check()
    assert lane.end.data["state"] == "cancelled"
    assert lane.text


def test_leaving_cancels_nothing(web: WebServer, caller: Caller, api_key_of: object, alice: Principal) -> None:
    assert callable(api_key_of)
    with opened(web, token=api_key_of(alice)) as tab:
        (stream,) = lane_ids(tab.ask("paced"))
        tab.wait_for("token.delta")
    assert caller.follow(stream).only.check().end.data["state"] == "completed"


def test_a_persons_other_devices_are_told_and_nobody_else(
    chat: ChatSocket,
    web: WebServer,
    caller: Caller,
    alice: Principal,
    bob: Principal,
    mallory: Principal,
    api_key_of: Callable[[Principal], str],
) -> None:
    with (
        opened(web, token=api_key_of(alice)) as phone,
        opened(web, token=api_key_of(bob)) as colleague,
        opened(web, token=api_key_of(mallory)) as stranger,
    ):
        accepted = chat.ask("quick")
        changed = {"conversation_id": accepted["conversation_id"]}
        created = phone.wait_for("conversation.changed", **changed)
        assert (created["what"], created["turn_id"]) == ("created", accepted["turn_id"])
        assert phone.wait_for("conversation.changed", **changed)["what"] == "finished"
        path = f"/api/v1/conversations/{accepted['conversation_id']}/"
        assert caller.http.patch(path, json={"title": "Fences"}).status_code == 200
        assert phone.wait_for("conversation.changed", **changed)["what"] == "title"
        chat.read_to_the_end(*lane_ids(accepted))
        again = chat.ask("quick", conversation_id=accepted["conversation_id"])
        assert phone.wait_for("conversation.changed", **changed)["what"] == "message"
        assert phone.wait_for("conversation.changed", **changed)["what"] == "finished"
        chat.read_to_the_end(*lane_ids(again))
        assert caller.http.delete(path).status_code == 204
        assert phone.wait_for("conversation.changed", **changed)["what"] == "deleted"
        assert caller.http.post(f"{path}restore/").status_code == 200
        assert phone.wait_for("conversation.changed", **changed)["what"] == "restored"
        assert [one for one in phone.passed if "seq" in one] == [], "tokens go to who subscribed"
        for other in (colleague, stranger):
            assert other.is_open()
            assert other.passed == []
