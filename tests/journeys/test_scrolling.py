"""The view follows only a reader who is at the end, and an answer's end moves nobody."""

from typing import Any

from playwright.sync_api import expect

from tests.journeys.chat import Chat
from tests.journeys.conftest import BrowserOf, OpenTab
from tests.journeys.installation import Person

VIEW = """() => {
    const { scrollTop, scrollHeight, clientHeight } = document.getElementById("timeline");
    return { top: scrollTop, height: scrollHeight, gap: scrollHeight - clientHeight - scrollTop };
}"""
WATCH_FOR_REST = """() => {
    const timeline = document.getElementById("timeline");
    const before = timeline.scrollTop;
    window.atRest = false;
    timeline.addEventListener("scrollend", () => (atRest ||= timeline.scrollTop !== before));
}"""
NEAR_PX = 30  # a line may have arrived since the last frame


def view(chat: Chat) -> dict[str, Any]:
    return dict(chat.page.evaluate(VIEW))


def grows(chat: Chat, until_tokens: int, by_px: int = 60) -> None:
    """Let the answer go on, and wait until it is that much longer and the page has acted on it."""
    least = view(chat)["height"] + by_px
    chat.let_go("flood", until_tokens)
    chat.page.wait_for_function("least => document.getElementById('timeline').scrollHeight >= least", arg=least)
    chat.rested()


def follows(chat: Chat) -> None:
    """The newest words are in view. Between two frames they may be a little ahead, but never for long."""
    chat.page.wait_for_function(f"near => ({VIEW})().gap <= near", arg=NEAR_PX)


def turn_the_wheel(chat: Chat, by_px: int) -> None:
    """Turn it, and wait until the view has come to rest: Chromium moves it there in steps of its own."""
    chat.page.locator("#timeline").hover()
    chat.page.evaluate(WATCH_FOR_REST)
    chat.page.mouse.wheel(0, by_px)
    chat.page.wait_for_function("() => atRest")


def test_scrolling_up_unpins_at_once_and_an_end_never_moves_the_view(
    browser_of: BrowserOf, open_tab: OpenTab, person: Person
) -> None:
    chat = open_tab(browser_of(person.sessions[0], viewport={"width": 900, "height": 480}))
    chat.open()
    chat.choose("flood")
    chat.ask("Tell me a lot")
    jump = chat.page.get_by_role("button", name="Jump to latest")
    chat.page.wait_for_function("() => document.getElementById('timeline').scrollTop > 200")
    follows(chat)
    expect(jump).to_be_hidden()

    turn_the_wheel(chat, -60)
    expect(jump).to_be_visible()
    unpinned = view(chat)
    grows(chat, until_tokens=900)
    assert view(chat)["top"] == unpinned["top"]

    jump.click()
    expect(jump).to_be_hidden()
    grows(chat, until_tokens=1200)
    follows(chat)
    assert chat.state("flood") == "streaming"

    turn_the_wheel(chat, -200)
    expect(jump).to_be_visible()
    left_at = view(chat)["top"]
    assert chat.state("flood") == "streaming"
    chat.finished("flood")
    chat.page.wait_for_timeout(300)
    chat.rested()
    assert view(chat)["top"] == left_at
    expect(jump).to_be_visible()


def test_a_short_answer_stays_in_view_beside_a_long_one(
    browser_of: BrowserOf, open_tab: OpenTab, person: Person
) -> None:
    chat = open_tab(browser_of(person.sessions[0], viewport={"width": 1100, "height": 600}))
    chat.open()
    chat.choose("flood", "brisk")
    chat.ask("Tell me a lot")
    chat.finished("brisk")
    chat.page.wait_for_function("() => document.getElementById('timeline').scrollTop > 600")
    follows(chat)
    assert place(chat, "brisk") == {"under_heads": 0, "bottom_in_view": True}

    # Where it is taller than the view, its end is what stays.
    chat.page.set_viewport_size({"width": 1100, "height": 330})
    chat.rested()
    follows(chat)
    chat.rested()
    shown = place(chat, "brisk")
    assert shown["under_heads"] < -20 and shown["bottom_in_view"]
    chat.page.locator("#timeline").evaluate("view => view.scrollTo(0, 0)")
    assert place(chat, "brisk")["under_heads"] > 0
    chat.finished("flood")


def place(chat: Chat, slug: str) -> dict[str, Any]:
    """How far below the heads a lane begins, and whether its end is above the view's."""
    told: dict[str, Any] = chat.lane(slug).evaluate(
        """lane => {
            const heads = document.getElementById("lane-heads").getBoundingClientRect();
            const view = document.getElementById("timeline").getBoundingClientRect();
            const here = lane.getBoundingClientRect();
            return { under_heads: Math.round(here.top - heads.bottom), bottom_in_view: here.bottom <= view.bottom + 1 };
        }"""
    )
    return told
