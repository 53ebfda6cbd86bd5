"""A worker or a web process that is killed in mid-stream costs time, and no word."""

import signal

from playwright.sync_api import expect

from tests.journeys.chat import Chat
from tests.journeys.installation import Installation

LANES = ("brook", "delta")


def test_a_killed_worker_is_replaced_and_the_answers_end_whole(chat: Chat, installation: Installation) -> None:
    chat.choose(*LANES)
    chat.ask("What did the map show?")
    chat.streams(*LANES)
    chat.mark()
    worker = installation.stack.processes["worker-1"]
    killed = worker.pid
    worker.kill(signal.SIGKILL)
    for slug in LANES:
        expect(chat.lane(slug).locator("[data-part=restart]")).to_have_text(
            "The answer was lost on its way and begins again."
        )
    chat.finished(*LANES)
    assert chat.is_marked
    assert worker.pid != killed
    expect(chat.page.get_by_text("begins again")).to_have_count(2)
    expect(chat.page.get_by_text("begins again").filter(visible=True)).to_have_count(0)
    chat.shows_what_is_stored(*LANES)


def test_a_killed_web_process_is_replaced_and_the_page_goes_on(chat: Chat, installation: Installation) -> None:
    chat.choose(*LANES)
    chat.ask("What did the violin need?")
    chat.streams(*LANES)
    before = {slug: chat.words(slug) for slug in LANES}
    chat.mark()
    web = installation.stack.processes["web-1"]
    killed = web.pid
    web.kill(signal.SIGKILL)
    chat.finished(*LANES)
    assert web.pid != killed
    for slug, words in before.items():
        assert chat.words(slug).startswith(words)
    chat.ask("And the room?")  # on another socket, or over HTTP until there is one
    chat.finished(*LANES)
    expect(chat.page.get_by_text("Connection lost")).to_be_hidden(timeout=15_000)
    assert chat.is_marked
    assert chat.sockets[0].is_closed()
    assert not chat.sockets[-1].is_closed()
    chat.shows_what_is_stored(*LANES)
