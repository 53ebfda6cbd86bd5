"""While answers stream, Send is Stop, and Esc stops: what arrived is kept, and the provider is called off."""

import time

from playwright.sync_api import expect

from tests.journeys.chat import Chat
from tests.journeys.installation import Installation
from tests.journeys.models import MODELS

SEND, STOP = "Send", "Stop all answers"
LABEL = "Stopped by you, partial answer kept."


def test_send_becomes_stop_and_escape_stops_every_lane(chat: Chat) -> None:
    chat.choose("endless", "ongoing")
    expect(chat.page.get_by_role("button", name=STOP)).to_be_hidden()
    chat.ask("Count the swallows")
    expect(chat.page.get_by_role("button", name=STOP)).to_be_visible()
    expect(chat.page.get_by_role("button", name=SEND)).to_be_hidden()
    chat.streams("endless", "ongoing", words=5)
    chat.page.keyboard.press("Escape")
    for slug in ("endless", "ongoing"):
        expect(chat.lane(slug)).to_have_attribute("data-state", "stopped")
    expect(chat.page.get_by_role("button", name=SEND)).to_be_visible()
    expect(chat.page.get_by_role("button", name=STOP)).to_be_hidden()


def test_stop_keeps_the_partial_answer_and_ends_the_provider_call(chat: Chat, installation: Installation) -> None:
    chat.choose("endless")
    since = time.time()
    chat.ask("Paint every bolt on the tower")
    chat.streams("endless")
    chat.page.get_by_role("button", name=STOP).click()
    lane = chat.lane("endless")
    expect(lane).to_have_attribute("data-state", "stopped")
    stopped_at = time.time()
    expect(lane.locator("[data-part=outcome]")).to_have_text(LABEL)

    call = installation.call_that_ends(MODELS["endless"].upstream, since)
    assert call["closed_by_caller"] is True
    assert call["completed"] is False
    assert call["ended_at"] < stopped_at + 1
    assert 0 < call["tokens_sent"] < 1000

    answer = chat.stored_answer("endless")
    assert answer["state"] == "cancelled"
    assert len(answer["text"].split()) >= 12
    assert call["text"].startswith(answer["text"])
    chat.shows_what_is_stored("endless")
    expect(lane.locator("[data-part=outcome]")).to_have_text(LABEL)
