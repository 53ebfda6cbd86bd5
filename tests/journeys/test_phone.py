"""On a phone lanes are tabs, nothing is wider than the screen, and the chat list lies over the page."""

from typing import Any

from playwright.sync_api import expect

from tests.journeys.chat import Chat
from tests.journeys.conftest import BrowserOf, OpenTab
from tests.journeys.installation import Person

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LANES = ("coder", "brook", "brisk")
LEFT = "() => document.getElementById('timeline').scrollLeft"


def fits(chat: Chat) -> None:
    page = chat.page
    assert page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]") == [390] * 3


def test_tabs_lead_to_lanes_and_lanes_to_tabs(browser_of: BrowserOf, open_tab: OpenTab, person: Person) -> None:
    chat = open_tab(browser_of(person.sessions[0], **PHONE))
    chat.open()
    chat.choose(*LANES)
    chat.ask("Write a Python class that keeps an LRU cache")
    tabs = chat.page.get_by_role("navigation", name="Lanes").get_by_role("link")
    expect(tabs).to_have_count(3)
    expect(tabs.first).to_have_attribute("aria-current", "true")
    expect(chat.lane("coder")).to_be_in_viewport()
    expect(chat.lane("brook")).not_to_be_in_viewport()

    tabs.nth(1).tap()  # while all of them stream
    expect(chat.lane("brook")).to_be_in_viewport(ratio=0.2)
    expect(chat.lane("coder")).not_to_be_in_viewport()
    expect(tabs.nth(1)).to_have_attribute("aria-current", "true")
    chat.finished(*LANES)
    fits(chat)

    chat.page.evaluate("() => document.getElementById('timeline').scrollTo({ left: 700 })")  # as a swipe would, nearly
    chat.page.wait_for_function("() => document.getElementById('timeline').scrollLeft === 780")
    expect(tabs.nth(2)).to_have_attribute("aria-current", "true")
    widths = chat.page.locator(".turn .lane").evaluate_all("lanes => lanes.map(lane => lane.offsetWidth)")
    assert widths == [390, 390, 390]


def test_no_page_is_wider_than_the_phone(browser_of: BrowserOf, open_tab: OpenTab, person: Person) -> None:
    visitor = open_tab(browser_of(**PHONE))
    for path in ("/login/", "/signup/"):
        visitor.open(path)
        fits(visitor)
    chat = open_tab(browser_of(person.sessions[0], **PHONE))
    for path in ("/chat/", "/settings/keys/", "/no/such/page"):
        chat.open(path)
        fits(chat)
    chat.open()
    chat.choose("coder")
    chat.ask("Compare five ways to store web sessions in a table " + "w" * 200)
    chat.finished("coder")
    fits(chat)


def test_the_chat_list_lies_over_the_page(browser_of: BrowserOf, open_tab: OpenTab, person: Person) -> None:
    chat = open_tab(browser_of(person.sessions[0], **PHONE))
    chat.open()
    chat.choose("brisk")
    chat.ask("First")
    chat.finished("brisk")
    sidebar = chat.page.locator("#sidebar")
    expect(sidebar).to_be_hidden()
    chat.page.get_by_role("button", name="Open the chat list").tap()
    expect(sidebar).to_be_visible()
    sidebar.get_by_role("link", name="New chat").tap()
    expect(chat.page.locator("#hello")).to_be_visible()
    expect(sidebar).to_be_hidden()
    composer = chat.page.locator("#composer").bounding_box()
    assert composer is not None
    assert composer["y"] + composer["height"] <= 844
    targets = chat.page.locator("button:visible, a:visible").evaluate_all(
        "all => all.filter(one => !one.closest('p, .skip')).map(one => one.getBoundingClientRect())"
        ".map(box => Math.min(box.width, box.height))"
    )
    assert min(targets) >= 24
