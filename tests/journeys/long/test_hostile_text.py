"""What people type is text wherever it is shown, and never markup."""

import re
from uuid import uuid4

from playwright.sync_api import expect

from tests.journeys.chat import Chat
from tests.journeys.conftest import BrowserOf, OpenTab
from tests.journeys.test_chat_list import menu
from tests.journeys.test_first_minute import sign_up

NAME = "<b>Eve</b>'\""
TENANT = "\"><img src=x onerror='window.pwned=1'>{{ 7 * 7 }}"
MESSAGE = (
    "<script>window.pwned = 2</script><img src=x onerror='window.pwned=3'>\n"
    "</template></textarea>\n<svg onload=pwned=4>"
)
TITLE = "</title><img src=x onerror='window.pwned=5'>' onmouseover='pwned=6"


def untouched(chat: Chat) -> None:
    assert chat.page.evaluate("window.pwned") is None
    assert chat.page.locator("img, main script").count() == 0
    assert chat.page.locator("b").filter(has_text=re.compile("^Eve$")).count() == 0


def test_message_title_names_and_workspace_stay_text(browser_of: BrowserOf, open_tab: OpenTab) -> None:
    chat = open_tab(browser_of())
    page = chat.page
    chat.open("/signup/")
    sign_up(page, name=NAME, email=f"eve-{uuid4().hex[:8]}@example.org", tenant=TENANT)
    expect(page.locator("#hello")).to_contain_text("<b>Eve</b>'\".")
    page.get_by_role("button", name="account menu").click()
    expect(page.locator(".menu-who b")).to_have_text(TENANT)
    page.keyboard.press("Escape")
    untouched(chat)

    chat.choose("brisk", "coder")
    chat.ask(MESSAGE)
    chat.finished("brisk", "coder")
    expect(page.locator(".ask")).to_have_text(MESSAGE, use_inner_text=True)
    untouched(chat)
    page.reload()
    expect(page.locator(".ask")).to_have_text(MESSAGE, use_inner_text=True)
    untouched(chat)

    first_title = page.locator(".chat-row .chat-title").inner_text()
    assert first_title.startswith("<script>window.pwned = 2</script>")
    menu(chat, first_title, "Rename")
    page.get_by_label("Title").fill(TITLE)
    page.get_by_label("Title").press("Enter")
    expect(page.locator(".chat-row .chat-title")).to_have_text([TITLE])
    page.reload()
    expect(page.locator("#chat-title")).to_have_text(TITLE)
    expect(page).to_have_title(f"{TITLE} · Switchboard")
    untouched(chat)

    chat.open("/settings/keys/")
    page.get_by_label("Name", exact=True).fill(NAME)
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("rowheader", name=NAME)).to_be_visible()
    expect(page.get_by_text(f"speak for you in {TENANT}")).to_be_visible()
    untouched(chat)
