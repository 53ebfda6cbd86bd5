"""One installation and one browser for all journeys; each journey has a person of its own."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.journeys.chat import Chat, signed_in
from tests.journeys.installation import Installation, Person

ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
DEFAULT_TIMEOUT_MS = 30_000  # how long is too long depends on the machine; what is promised is measured elsewhere

expect.set_options(timeout=20_000)

BrowserOf = Callable[..., BrowserContext]
OpenTab = Callable[[BrowserContext], Chat]


# Of the package, not of the session: both must be gone before another folder starts a browser in this process.
@pytest.fixture(scope="package")
def installation() -> Iterator[Installation]:
    with Installation() as installation:
        yield installation


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=ARGUMENTS.split())


@pytest.fixture
def person(installation: Installation) -> Person:
    return installation.newcomer()


@pytest.fixture
def browser_of(chromium: Browser, installation: Installation) -> Iterator[BrowserOf]:
    """Makes a browser of nobody, or of somebody's session; `options` are the context's."""
    contexts: list[BrowserContext] = []

    def make(session: str | None = None, **options: Any) -> BrowserContext:
        # Spinners and carets that move take more of a small machine than all the rest.
        given = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **options}
        context = chromium.new_context(**given)
        contexts.append(context)
        context.set_default_timeout(DEFAULT_TIMEOUT_MS)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=installation.url)
        if session is not None:
            signed_in(context, installation.url, session)
        return context

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def open_tab(installation: Installation) -> Iterator[OpenTab]:
    """Opens tabs. At the end none may have met a script error, a dialog, a refusal of its policy, or another host."""
    tabs: list[Chat] = []

    def make(context: BrowserContext) -> Chat:
        tabs.append(Chat(context.new_page(), installation.url, installation))
        return tabs[-1]

    yield make
    assert [complaint for tab in tabs for complaint in tab.complaints] == []
    assert {host for tab in tabs for host in tab.hosts} <= {installation.url.removeprefix("http://"), ""}


@pytest.fixture
def chat(browser_of: BrowserOf, open_tab: OpenTab, person: Person) -> Chat:
    """A new chat in the only tab of somebody who is signed in."""
    tab = open_tab(browser_of(person.sessions[0]))
    tab.open()
    return tab
