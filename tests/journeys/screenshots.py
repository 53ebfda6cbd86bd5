"""Takes the pictures of `docs/screenshots/`: `python -m tests.journeys.screenshots docs/screenshots`.

The pictures show the real product with its demonstration models, signed in as the demonstration's own member.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.journeys.installation import Installation

Scheme = Literal["light", "dark"]

LAPTOP: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
ANSWERS_SECONDS = 60
EARLIER = ("Plan a week of dinners for two", "Explain row-level security to a new colleague")
QUESTION = "Write a Python class that keeps an LRU cache"


class Camera:
    """One browser, signed in once, and a folder for its pictures."""

    def __init__(self, browser: Browser, folder: Path, facts: dict[str, str]) -> None:
        self._browser = browser
        self._folder = folder
        self._facts = facts
        self._state: Any = None

    @contextmanager
    def page(self, device: dict[str, Any], *, scheme: Scheme = "light", nobody: bool = False) -> Iterator[Page]:
        state = None if nobody else self._state
        context = self._browser.new_context(**device, color_scheme=scheme, storage_state=state)
        try:
            yield context.new_page()
        finally:
            context.close()

    def sign_in(self) -> None:
        with self.page(LAPTOP) as page:
            self.goto(page, "/login/")
            page.get_by_label("Email").fill(self._facts["email"])
            page.get_by_label("Password").fill(self._facts["password"])
            page.get_by_role("button", name="Sign in", exact=True).click()
            page.wait_for_url("**/chat/")
            self._state = _signed_in(page.context)

    def goto(self, page: Page, path: str) -> None:
        page.goto(self._facts["url"] + path)

    def take(self, page: Page, name: str, *, still: bool = True) -> None:
        """Write a picture, of a page that is `still` once its movements have ended."""
        page.evaluate("() => document.activeElement.blur()")
        page.mouse.move(0, 0)
        if still:
            page.wait_for_timeout(400)
        path = self._folder / f"{name}.png"
        page.screenshot(path=path, caret="initial")
        print(f"{path} {path.stat().st_size // 1000} kB")


def _signed_in(context: BrowserContext) -> Any:
    """The session without what the page remembers: drafts and choices of models."""
    return {"cookies": context.cookies(), "origins": []}


def choose(page: Page, *names: str) -> None:
    """Let exactly these demonstration models answer."""
    page.get_by_role("button", name="Add a model").click()
    catalogue = page.locator("#catalogue")
    catalogue.get_by_role("checkbox", name=names[0]).check()
    for box in catalogue.locator("input:checked").all():
        if box.get_attribute("data-name") not in names:
            box.click()
    for name in names[1:]:
        catalogue.get_by_role("checkbox", name=name).check()
    page.keyboard.press("Escape")


def ask(page: Page, message: str) -> None:
    page.locator("#message").fill(message)
    page.locator("#message").press("Enter")


def answered(page: Page) -> None:
    running = page.locator(".turn:last-child .lane[data-state=waiting], .turn:last-child .lane[data-state=streaming]")
    expect(page.locator(".turn:last-child .lane[data-generation-id]").first).to_be_attached()
    expect(running).to_have_count(0, timeout=ANSWERS_SECONDS * 1000)


def shoot(camera: Camera) -> None:
    with camera.page(LAPTOP, nobody=True) as page:
        camera.goto(page, "/login/")
        camera.take(page, "signin")
    camera.sign_in()
    with camera.page(LAPTOP) as page:
        camera.goto(page, "/chat/")
        for message in EARLIER:
            ask(page, message)
            answered(page)
            camera.goto(page, "/chat/")
        camera.take(page, "empty")
        choose(page, "Demo Swift", "Demo Steady", "Demo Harbor")
        ask(page, QUESTION)
        harbor = page.locator('.turn:last-child .lane[data-model="demo-harbor"]')
        expect(harbor.locator("figure.code")).to_contain_text("def put", timeout=ANSWERS_SECONDS * 1000)
        camera.take(page, "streaming", still=False)
        answered(page)
        path = page.evaluate("location.pathname")
    pictures: tuple[tuple[Scheme, str], ...] = (("light", "chat-compare"), ("dark", "chat-compare-dark"))
    for scheme, name in pictures:
        with camera.page(LAPTOP, scheme=scheme) as page:
            open_chat(camera, page, path)
            camera.take(page, name)
    with camera.page(LAPTOP) as page:
        open_chat(camera, page, path)
        page.get_by_role("button", name="Why this model").first.click()
        camera.take(page, "why")
    with camera.page(PHONE) as page:
        open_chat(camera, page, path)
        camera.take(page, "phone")


def open_chat(camera: Camera, page: Page, path: str) -> None:
    """A finished chat, from its beginning."""
    camera.goto(page, path)
    page.wait_for_timeout(300)
    page.evaluate("() => document.getElementById('timeline').scrollTo(0, 0)")


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with Installation(models=False) as installation, sync_playwright() as playwright:
        facts = json.loads((installation.stack.data_dir / "demo.json").read_text())
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        shoot(Camera(browser, folder, facts))


if __name__ == "__main__":
    main()
