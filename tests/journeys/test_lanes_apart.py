"""Two to eight lanes stream apart: one's failure, stop or retry leaves the others alone."""

from playwright.sync_api import expect

from tests.journeys.chat import Chat
from tests.journeys.installation import Installation
from tests.journeys.models import MODELS

EIGHT = ("brisk", "brook", "creek", "delta", "endless", "ongoing", "refused", "stumbling")


def test_a_failure_a_stop_and_a_retry_leave_the_others_alone(chat: Chat, installation: Installation) -> None:
    installation.fail_next(MODELS["stumbling"].upstream, "401")
    chat.choose("river", "stumbling", "endless", "brisk")
    chat.ask("Where does the ferry go?")
    expect(chat.lane("stumbling")).to_have_attribute("data-state", "failed")
    expect(chat.lane("stumbling")).to_contain_text("Stumbling could not answer.")
    chat.finished("brisk")
    chat.streams("river", "endless", words=5)

    chat.page.get_by_role("button", name="Stop Endless").click()
    expect(chat.lane("endless")).to_have_attribute("data-state", "stopped")
    chat.streams("river", words=5)
    assert (chat.state("stumbling"), chat.state("brisk")) == ("failed", "done")
    settled = {slug: (chat.raw(slug), chat.html(slug), chat.state(slug)) for slug in ("endless", "brisk")}
    before = chat.words("river")

    chat.lane("stumbling").get_by_role("button", name="Retry").click()
    chat.finished("stumbling")
    assert len(chat.raw("stumbling").split()) > 20
    assert chat.state("river") == "streaming"
    chat.finished("river")
    assert chat.words("river").startswith(before)
    assert {slug: (chat.raw(slug), chat.html(slug), chat.state(slug)) for slug in settled} == settled
    expect(chat.page.get_by_role("button", name="Send")).to_be_visible()
    chat.shows_what_is_stored("river", "stumbling", "endless", "brisk")


def test_eight_lanes_answer_side_by_side(chat: Chat) -> None:
    chat.choose(*EIGHT)
    chat.page.get_by_role("button", name="Add a model").click()
    expect(chat.page.locator("#catalogue-count")).to_have_text("Eight is the most")
    expect(chat.page.get_by_role("checkbox", name="Coder")).to_be_disabled()
    chat.page.keyboard.press("Escape")
    chat.ask("Sort the nails")
    chat.streams("brook", "creek", "delta", "endless", "ongoing", words=5)
    expect(chat.lane("refused")).to_have_attribute("data-state", "failed")
    chat.finished("brisk", "stumbling", "brook", "creek", "delta")
    chat.page.keyboard.press("Escape")
    for slug in ("endless", "ongoing"):
        expect(chat.lane(slug)).to_have_attribute("data-state", "stopped")
    answers = chat.stored()[0]["answers"]
    assert [answer["model"] for answer in answers] == list(EIGHT)
    assert len({answer["text"] for answer in answers}) == 8
    widths = chat.page.locator(".turn .lane").evaluate_all("lanes => lanes.map(lane => lane.clientWidth)")
    assert min(widths) >= 319  # the hairline beside it
    chat.shows_what_is_stored("brisk", "brook", "creek", "delta", "endless", "ongoing", "stumbling")
