"""A whole visit asks no other host for anything, and nothing on its pages is refused by their policy."""

import time
from uuid import uuid4

from playwright.sync_api import Request, expect

from tests.journeys.chat import Chat
from tests.journeys.conftest import BrowserOf, OpenTab
from tests.journeys.test_chat_list import menu
from tests.journeys.test_first_minute import sign_out, sign_up


def test_a_whole_visit_stays_on_this_host_and_within_its_policy(browser_of: BrowserOf, open_tab: OpenTab) -> None:
    context = browser_of()
    requests: list[Request] = []
    context.on("request", lambda request: requests.append(request))
    chat = open_tab(context)
    page = chat.page
    chat.open("/signup/")
    sign_up(page, name="Tomas", email=f"tomas-{uuid4().hex[:8]}@example.org")
    chat.choose("brisk", "coder", "refused")
    chat.ask("Write a Python class that keeps an LRU cache")
    chat.finished("brisk", "coder")
    expect(chat.lane("refused")).to_have_attribute("data-state", "failed")
    chat.lane("coder").get_by_role("button", name="Why this model").click()
    expect(page.get_by_role("dialog", name="Why Coder answered")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="account menu").click()
    page.get_by_text("Dark", exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Collapse or open the sidebar").click()  # three lanes had collapsed it
    menu(chat, "Write a Python class", "Delete")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".chat-row")).to_have_count(1)
    chat.open("/settings/keys/")
    chat.open("/api/docs/")
    expect(page.get_by_text("Ask many models at once").first).to_be_visible()
    chat.open("/no/such/page")
    chat.open("/chat/")
    sign_out(page)
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()

    assert len(requests) > 40
    assert [one.url for one in requests if not one.url.startswith((chat.url + "/", "data:"))] == []
    assert chat.hosts <= {chat.url.removeprefix("http://"), ""}
    assert chat.complaints == []


def test_an_inline_script_would_be_refused_and_noticed(chat: Chat) -> None:
    chat.page.evaluate(
        "() => document.head.append(Object.assign(document.createElement('script'), { textContent: 'window.ran = 1' }))"
    )
    chat.page.evaluate(
        "() => { document.head.append(Object.assign(new Image(), { src: 'http://127.0.0.2:9/x.png' })) }"
    )
    chat.page.wait_for_timeout(100)
    deadline = time.monotonic() + 20
    while len(chat.complaints) < 2:
        assert time.monotonic() < deadline, chat.complaints
        chat.page.wait_for_timeout(20)
    assert chat.page.evaluate("window.ran") is None
    assert len(chat.complaints) == 2
    assert all("Content Security Policy" in complaint for complaint in chat.complaints)
    chat.complaints.clear()  # they were meant
    chat.hosts.discard("127.0.0.2:9")
