"""A second factor in a browser: set up, lost, asked for, and a passkey that needs no password at all."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page, expect

from tests.accounts.codes import code_of, wait_for_a_young_step
from tests.journeys.chat import Chat
from tests.journeys.conftest import BrowserOf
from tests.journeys.installation import Installation, Person
from tests.journeys.test_accessibility import checked


def sign_in(chat: Chat, person: Person) -> None:
    chat.open("/login/")
    chat.page.get_by_label("Email").fill(person.email)
    chat.page.get_by_label("Password").fill(person.password)
    chat.page.get_by_role("button", name="Sign in", exact=True).click()


def show_oneself(page: Page, person: Person) -> None:
    """Type the password once more where a page wants to see that it is still them."""
    if "reauthenticate" in page.url:
        checked(page)
        page.get_by_label("Password").fill(person.password)
        page.get_by_role("button", name="Go on").click()


def carry_a_passkey(context: BrowserContext, page: Page) -> None:
    """The device has a fingerprint reader that always knows its owner."""
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def at_localhost(context: BrowserContext, installation: Installation) -> Chat:
    """Passkeys belong to a name; a bare address has none."""
    return Chat(context.new_page(), f"http://localhost:{urlsplit(installation.url).port}", installation)


def test_an_authenticator_app_is_set_up_and_asked_for(
    browser_of: BrowserOf, installation: Installation, person: Person
) -> None:
    context = browser_of()
    chat = at_localhost(context, installation)
    page = chat.page
    sign_in(chat, person)
    page.wait_for_url("**/chat/")
    chat.open("/account/second-factor/")
    checked(page)
    page.get_by_role("link", name="Set up").click()
    show_oneself(page, person)
    checked(page)
    secret = page.locator("#authenticator_secret").inner_text()
    page.get_by_label("Code from the app").fill("not it")
    page.get_by_role("button", name="Turn it on").click()
    expect(page.locator(".hint.error")).to_contain_text("Incorrect code")
    assert page.locator("#authenticator_secret").inner_text() == secret
    wait_for_a_young_step()
    used = code_of(secret)
    page.get_by_label("Code from the app").fill(used)
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    checked(page)
    codes = page.locator(".codes code").all_inner_texts()
    assert len(codes) == 10

    context.clear_cookies()
    sign_in(chat, person)
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    checked(page)
    page.get_by_label("Code").fill(used)  # seen over a shoulder it opens nothing
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator(".hint.error")).to_contain_text("Incorrect code")
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/chat/")
    chat.open("/account/second-factor/")
    expect(page.get_by_text("9 left")).to_be_visible()
    assert chat.complaints == []


def test_a_passkey_signs_in_alone(browser_of: BrowserOf, installation: Installation, person: Person) -> None:
    context = browser_of()
    chat = at_localhost(context, installation)
    page = chat.page
    carry_a_passkey(context, page)
    sign_in(chat, person)
    page.wait_for_url("**/chat/")
    chat.open("/account/second-factor/webauthn/add/")
    show_oneself(page, person)
    checked(page)
    page.get_by_label("Name").fill("The old laptop")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    chat.open("/account/second-factor/webauthn/")
    checked(page)
    expect(page.get_by_text("Signs in alone")).to_be_visible()

    context.clear_cookies()
    chat.open("/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/chat/")
    chat.open("/account/second-factor/")
    expect(page.get_by_text("The old laptop")).to_be_visible()

    chat.open("/account/second-factor/webauthn/")
    page.get_by_role("link", name="Remove The old laptop").click()
    show_oneself(page, person)
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("None yet")).to_be_visible()
    context.clear_cookies()
    chat.open("/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page).to_have_url(re.compile("/login/|webauthn"))
    assert chat.complaints == []
