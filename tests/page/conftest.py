"""A Chromium page before a board: pages and rows are real, streams are the test's own."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from apps.routing import selectors, services
from apps.routing.contracts import NewPrice
from apps.tenants.contracts import Principal
from tests import people
from tests.page.board import Board

MODELS = {"swift": "Swift", "steady": "Steady", "cedar": "Cedar"}
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
PATIENCE_MS = 20_000  # how long is too long depends on the machine: this is for what will never come

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def database_thread() -> Iterator[ThreadPoolExecutor]:
    """Where rows are read and written while a browser runs on this thread."""
    with ThreadPoolExecutor(1) as executor:
        yield executor
        executor.submit(connections.close_all).result()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        yield _launch(playwright, path)


def _launch(playwright: Playwright, path: str | None) -> Browser:
    return playwright.chromium.launch(executable_path=path, args=ARGUMENTS.split())


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield page
    context.close()


@pytest.fixture
def reader(database_thread: ThreadPoolExecutor) -> Principal:
    """Somebody with three simulated models."""

    def prepare() -> Principal:
        person = people.new_owner("Alice", "Northwind")
        provider_id = services.add_provider(
            name="Simulator", base_url="http://127.0.0.1:9/v1", key="x", simulated=True, tenant_id=person.tenant_id
        )
        for position, (slug, name) in enumerate(MODELS.items(), start=1):
            services.register_model(
                provider_id=provider_id,
                upstream_model=slug,
                name=name,
                position=position,
                price=NewPrice(1_000_000_000, 2_000_000_000),
            )
        selectors.invalidate(person.tenant_id)
        return person

    return database_thread.submit(prepare).result()


@pytest.fixture
def board(
    page: Page,
    reader: Principal,
    client_of: Callable[[Principal], Client],
    database_thread: ThreadPoolExecutor,
) -> Iterator[Board]:
    client = database_thread.submit(client_of, reader).result()
    board = Board(page, client, MODELS, database_thread)
    yield board
    refused = [text for text in board.complaints if "Content Security Policy" in text or "Error:" in text]
    assert refused == []
