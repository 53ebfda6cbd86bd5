"""An owner sets a workspace up, page by page; every page is legible and fits a phone."""

from playwright.sync_api import Page, expect

from tests.journeys.chat import Chat
from tests.journeys.test_accessibility import checked

PAGES = ("", "general/", "teams/", "rules/", "caches/", "sign-in/", "audit/")
WORKSPACE = "/settings/workspace/"
FITS = (
    "() => [document.documentElement, document.querySelector('.page')].every(one => one.scrollWidth <= one.clientWidth)"
)


def asks_first(page: Page, opener: str, act: str) -> None:
    """What cannot be taken back is asked for in a dialogue, which the keyboard closes."""
    dialogue = page.get_by_role("dialog")
    page.get_by_role("button", name=opener).click()
    expect(dialogue).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialogue).to_be_hidden()
    page.get_by_role("button", name=opener).click()
    dialogue.get_by_role("button", name=act).click()


def test_an_owner_sets_the_workspace_up(chat: Chat) -> None:
    page = chat.page
    chat.open(WORKSPACE)
    page.get_by_label("E-mail addresses").fill("ines@example.org, tomasz@example.org")
    page.get_by_role("button", name="Invite", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("2 people are invited")
    asks_first(page, "Withdraw the invitation of ines@example.org", "Withdraw")
    expect(page.get_by_role("status").first).to_contain_text("withdrawn")
    page.get_by_label("Search by name or e-mail address").fill("nobody")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nobody is like this")).to_be_visible()
    page.get_by_role("navigation", name="Settings").get_by_role("link", name="Teams").click()
    page.get_by_label("Name", exact=True).fill("Research")
    page.get_by_role("button", name="Open the team").click()
    expect(page.get_by_role("heading", name="Research")).to_be_visible()
    page.get_by_role("navigation", name="Settings").get_by_role("link", name="Model rules").click()
    page.locator("summary", has_text="Restrict").first.click()
    page.get_by_label("Research").first.check()
    page.get_by_role("button", name="Set the rule").first.click()
    expect(page.get_by_text("Restricted")).to_be_visible()
    page.get_by_role("button", name="to everybody").first.click()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Team Research")).to_be_visible()

    for path in (*(WORKSPACE + one for one in PAGES), "/settings/company-sign-in/"):
        chat.open(path)
        checked(page)
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate(FITS), path
        page.set_viewport_size({"width": 1280, "height": 800})
