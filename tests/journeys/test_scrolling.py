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
NEAR_PX = 30  # a line may have arrived since the last frame


def view(chat: Chat) -> dict[str, Any]:
    return dict(chat.page.evaluate(VIEW))


def grows(chat: Chat, by_px: int = 60) -> None:
    chat.page.wait_for_function(
        "least => document.getElementById('timeline').scrollHeight >= least", arg=view(chat)["height"] + by_px
    )


def test_scrolling_up_unpins_at_once_and_an_end_never_moves_the_view(
    browser_of: BrowserOf, open_tab: OpenTab, person: Person
) -> None:
    chat = open_tab(browser_of(person.sessions[0], viewport={"width": 900, "height": 480}))
    chat.open()
    chat.choose("flood")
    chat.ask("Tell me a lot")
    jump = chat.page.get_by_role("button", name="Jump to latest")
    chat.page.wait_for_function("() => document.getElementById('timeline').scrollTop > 200")
    assert view(chat)["gap"] <= NEAR_PX
    expect(jump).to_be_hidden()

    chat.page.locator("#timeline").hover()
    chat.page.mouse.wheel(0, -60)
    expect(jump).to_be_visible()
    chat.page.wait_for_timeout(150)  # the wheel's own movement
    unpinned = view(chat)
    grows(chat)
    assert view(chat)["top"] == unpinned["top"]

    jump.click()
    expect(jump).to_be_hidden()
    grows(chat)
    assert view(chat)["gap"] <= NEAR_PX
    assert chat.state("flood") == "streaming"

    chat.page.locator("#timeline").hover()
    chat.page.mouse.wheel(0, -200)
    expect(jump).to_be_visible()
    chat.page.wait_for_timeout(150)
    left_at = view(chat)["top"]
    assert chat.state("flood") == "streaming"
    chat.finished("flood")
    chat.page.wait_for_timeout(300)
    assert view(chat)["top"] == left_at
    expect(jump).to_be_visible()
