"""A second tab and a second device show identical text, whenever they look."""

from playwright.sync_api import expect

from tests.journeys.chat import Chat
from tests.journeys.conftest import BrowserOf, OpenTab
from tests.journeys.installation import Person

LANES = ("river", "canal")


def test_a_second_tab_and_a_second_device_show_identical_text(
    browser_of: BrowserOf, open_tab: OpenTab, person: Person
) -> None:
    desk, phone = browser_of(person.sessions[0]), browser_of(person.sessions[1])
    first = open_tab(desk)
    first.open()
    first.choose(*LANES)
    first.ask("Who counts the swallows?")
    first.streams(*LANES, words=5)
    windows = [first]
    for context in (desk, phone):
        late = open_tab(context)
        late.open(first.path)
        late.streams(*LANES, words=5)
        windows.append(late)
    for window in windows:
        window.finished(*LANES)
    agree(windows, *LANES)
    for slug in LANES:
        assert first.raw(slug) == first.stored_answer(slug)["text"]


def test_a_question_asked_here_streams_there(browser_of: BrowserOf, open_tab: OpenTab, person: Person) -> None:
    here = open_tab(browser_of(person.sessions[0]))
    here.open()
    here.choose("brisk")
    here.ask("First")
    here.finished("brisk")
    there = open_tab(browser_of(person.sessions[1]))
    there.open(here.path)
    there.mark()
    here.choose("brook", "creek")
    here.ask("Second")
    there.streams("brook", "creek", words=5)
    expect(there.page.locator(".turn .ask")).to_have_text(["First", "Second"])
    for window in (here, there):
        window.finished("brook", "creek")
    assert there.is_marked
    agree([here, there], "brook", "creek")


def agree(windows: list[Chat], *slugs: str) -> None:
    for slug in slugs:
        assert len({window.raw(slug) for window in windows}) == 1
        assert len({window.html(slug) for window in windows}) == 1
        assert windows[0].raw(slug) != ""
