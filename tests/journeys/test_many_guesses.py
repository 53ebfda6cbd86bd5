"""Somebody whose address strangers have guessed at signs in on a new device: the browser solves a puzzle for them."""

import re

import psycopg
from playwright.sync_api import expect

from apps.vault import keyed_digest
from tests.journeys.conftest import BrowserOf, OpenTab
from tests.journeys.installation import Installation, Person
from tests.journeys.long.test_second_factor import sign_in

FAILURES = 12


def guessed_at(installation: Installation, person: Person, seconds_ago: int) -> None:
    """So many strangers' guesses failed, the last of them so long ago."""
    env = installation.stack.env
    subject = keyed_digest(env["API_KEY_PEPPER"], f"tries:password:{person.email}")
    with psycopg.connect(env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "INSERT INTO accounts_failedtries VALUES (%s, %s, clock_timestamp() - make_interval(secs => %s)) "
            "ON CONFLICT (subject) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at",
            [subject, FAILURES, seconds_ago],
        )


def test_a_puzzle_is_solved_by_the_browser_and_the_password_typed_once(
    browser_of: BrowserOf, open_tab: OpenTab, installation: Installation, person: Person
) -> None:
    guessed_at(installation, person, seconds_ago=400)
    chat = open_tab(browser_of())
    sent: list[str] = []
    chat.page.on("request", lambda one: sent.append(one.post_data or "") if one.url.endswith("/login/") else None)
    sign_in(chat, person)
    chat.page.wait_for_url("**/chat/")
    tries = [body for body in sent if body]
    assert len(tries) == 1 and re.search(r"proof=17\.[^&]+", tries[0]), "sent once, with the answer"


def test_without_scripts_the_page_says_what_is_left(
    browser_of: BrowserOf, installation: Installation, person: Person
) -> None:
    guessed_at(installation, person, seconds_ago=400)
    page = browser_of(java_script_enabled=False).new_page()
    page.goto(f"{installation.url}/login/")
    page.get_by_label("Email").fill(person.email)
    page.get_by_label("Password").fill(person.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("The puzzle is solved by a script, and your browser runs none.")).to_be_visible()
    expect(page.get_by_label("Code of your second factor")).to_be_visible()
