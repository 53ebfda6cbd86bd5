"""A reader that asks for HTML gets every block once, closed, in order, and the same when it returns in the middle."""

import re
from itertools import pairwise

import pytest

from apps.markdown import render
from tests.conversations.doors.caller import Caller
from tests.conversations.doors.transcript import Event, Lane

pytestmark = pytest.mark.usefixtures("web", "worker")

QUESTION = "Compare tea and coffee in a table, with steps and some code"


@pytest.fixture
def lane(caller: Caller) -> Lane:
    stream = caller.accept("markdown", message=QUESTION)["generations"][0]["generation_id"]
    return caller.follow(stream, render="html").only.check()


def without_gaps(html: str) -> str:
    return re.sub(r">\s+<", "><", html).strip()


def blocks(events: list[Event], type: str) -> list[dict[str, object]]:
    return [event.data for event in events if event.type == type]


def test_the_blocks_are_the_answer_as_html(lane: Lane) -> None:
    closed = blocks(lane.events, "block.html")
    assert [block["index"] for block in closed] == list(range(len(closed)))
    assert len(closed) > 3
    assert without_gaps("".join(str(block["html"]) for block in closed)) == without_gaps(render(lane.text))


def test_each_block_opens_before_it_closes_where_its_text_begins(lane: Lane) -> None:
    order = [(event.data["index"], event.type) for event in lane.events if event.type.startswith("block.")]
    assert order == sorted(order, key=lambda one: (one[0], one[1] == "block.html"))
    utf16 = lane.text.encode("utf-16-le")
    for block in blocks(lane.events, "block.open"):
        start = block["start"]
        assert isinstance(start, int)
        assert block["kind"] in ["paragraph", "heading", "fence", "list", "table", "quote", "math", "html", "rule"]
        assert 0 <= 2 * start <= len(utf16)


def test_a_block_comes_before_the_entry_it_derives_from_and_has_its_id(lane: Lane) -> None:
    for event, after in pairwise(lane.events):
        if event.type.startswith("block."):
            assert event.sse_id is None, "resuming after a block must bring the entry it came from"
            assert after.data["id"] == event.data["id"]


def test_returning_in_the_middle_brings_the_same_blocks(caller: Caller) -> None:
    stream = caller.accept("markdown", message=QUESTION)["generations"][0]["generation_id"]
    whole, resumed = Lane(), Lane()
    with caller.following(stream, render="html") as events:
        for event in events:
            whole.take(event)
            if len(blocks(whole.events, "block.html")) == 2 and event.type == "token.delta" and not resumed.events:
                resumed = caller.follow(stream, event.data["id"], render="html").only
                place = len(whole.events)
    assert [event.data for event in resumed.events] == [event.data for event in whole.events[place:]]


def test_a_finished_answer_comes_as_one_page(caller: Caller, lane: Lane) -> None:
    again = caller.follow(lane.end.data["generation_id"], render="html").only
    assert [event.type for event in again.events] == ["message.snapshot", "message.completed"]
    assert again.events[0].data["html"] == render(lane.text)


def test_without_asking_there_are_no_blocks(caller: Caller, lane: Lane) -> None:
    plain = caller.follow(lane.end.data["generation_id"]).only
    assert "html" not in plain.events[0].data
