"""From an empty browser to the first answer, and out again."""

import re
from uuid import uuid4

from playwright.sync_api import Page, expect

from tests.journeys.chat import MESSAGE, Chat
from tests.journeys.conftest import BrowserOf, OpenTab
from tests.journeys.installation import Installation, Person

PASSWORD = "eleven baskets of plums"


def sign_up(page: Page, *, name: str, email: str, tenant: str = "") -> None:
    """Fill the sign-up page and send it."""
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Workspace").fill(tenant)
    page.get_by_role("button", name="Make the account").click()
    page.wait_for_url("**/chat/")  # and its scripts are there


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="account menu").click()
    page.get_by_role("button", name="Sign out").click()


def test_from_signing_up_to_the_first_answer_and_out_again(browser_of: BrowserOf, open_tab: OpenTab) -> None:
    context = browser_of()
    chat = open_tab(context)
    page, email = chat.page, f"ines-{uuid4().hex[:8]}@example.org"
    chat.open("/")
    expect(page).to_have_url(re.compile("/login/"))
    page.get_by_role("link", name="Make an account").click()
    sign_up(page, name="Ines Ortega", email=email, tenant="Orchard")
    expect(page.get_by_role("heading", name="Ines")).to_be_visible()
    expect(page.get_by_text("These models are simulated.")).to_be_visible()

    page.get_by_role("button", name="Work through a proof").click()
    expect(page.locator(MESSAGE)).to_have_value(re.compile("harmonic series"))
    page.locator(MESSAGE).press("Enter")
    for slug in ("demo-swift", "demo-steady"):
        chat.finished(slug)
    chat.shows_what_is_stored("demo-swift", "demo-steady")
    expect(page.locator(".turn math").first).to_be_visible()
    expect(chat.lane("demo-swift").locator(".foot-facts")).to_contain_text("simulated")
    path = chat.path

    sign_out(page)
    expect(page).to_have_url(re.compile("/login/"))
    chat.open(path)
    expect(page).to_have_url(re.compile("/login/"))
    assert page.request.get(f"{chat.url}/api/v1/conversations/").status == 401
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(chat.lane("demo-swift")).to_have_attribute("data-state", "done")
    assert chat.path == path


def test_a_wrong_password_is_told_and_the_address_kept(
    browser_of: BrowserOf, open_tab: OpenTab, installation: Installation
) -> None:
    person = installation.newcomer()
    chat = open_tab(browser_of())
    chat.open("/login/")
    chat.page.get_by_label("Email").fill(person.email)
    chat.page.get_by_label("Password").fill("not the one it is")
    chat.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(chat.page.get_by_role("alert")).to_contain_text("do not belong together")
    expect(chat.page.get_by_label("Email")).to_have_value(person.email)
    chat.page.get_by_label("Password").fill(person.password)
    chat.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(chat.page).to_have_url(f"{chat.url}/chat/")


def test_nobody_opens_the_chat_of_somebody_else(
    browser_of: BrowserOf, open_tab: OpenTab, chat: Chat, installation: Installation
) -> None:
    chat.choose("brisk")
    chat.ask("A private matter")
    chat.finished("brisk")
    stranger: Person = installation.newcomer()
    theirs = open_tab(browser_of(stranger.sessions[0]))
    theirs.open(chat.path)
    expect(theirs.page.get_by_role("heading", name="Nothing is plugged in here")).to_be_visible()
    expect(theirs.page.locator("body")).not_to_contain_text("A private matter")
