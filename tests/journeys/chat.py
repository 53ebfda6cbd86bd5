"""A tab of the product in a real browser, driven as a person would, and listened to."""

import json
import re
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Dialog, Locator, Page, WebSocket, expect

from tests.journeys.installation import Installation
from tests.journeys.models import MODELS

MESSAGE = "#message"
# What a lane's text says, without what depends on how far its Markdown is rendered.
_NOT_WORDS = re.compile(r"\W+")

UNFRAMED = """prose => {
    const copy = prose.cloneNode(true);
    for (const block of copy.querySelectorAll(":scope > .block")) block.replaceWith(...block.childNodes);
    for (const node of [...copy.childNodes]) if (node.nodeType === Node.TEXT_NODE && !node.data.trim()) node.remove();
    return copy.innerHTML;
}"""


class Chat:
    """One tab. `complaints` holds errors of its scripts and refusals of its policy, `sent` what its sockets sent."""

    def __init__(self, page: Page, url: str, installation: Installation) -> None:
        self.page = page
        self.url = url
        self._installation = installation
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.sockets: list[WebSocket] = []
        self._frames: list[dict[str, Any]] = []
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("dialog", self._dialog)
        page.on("console", lambda message: self._console(message.text))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("websocket", self._socket)

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, text: str) -> None:
        if "Content Security Policy" in text or "Uncaught" in text:
            self.complaints.append(f"{self.path}: {text}")

    def _socket(self, socket: WebSocket) -> None:
        self.sockets.append(socket)
        self.hosts.add(urlsplit(socket.url).netloc)
        socket.on("framesent", lambda frame: self._frames.append(json.loads(frame)))

    def sent(self, type: str) -> list[dict[str, Any]]:
        """What the tab's sockets sent, by type."""
        return [frame for frame in self._frames if frame["type"] == type]

    def open(self, path: str = "/chat/") -> None:
        self.page.goto(self.url + path)

    def rested(self) -> None:
        """Wait until the page has painted what it has, and acted on how that looks."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    @property
    def conversation_id(self) -> str:
        return self.path.split("/")[2]

    def choose(self, *slugs: str) -> None:
        """Let exactly these models answer, in this order, through the catalogue."""
        self.page.get_by_role("button", name="Add a model").click()
        catalogue = self.page.locator("#catalogue")
        boxes = [catalogue.get_by_role("checkbox", name=MODELS[slug].name) for slug in slugs]
        boxes[0].check()  # the last one cannot be unchecked, so the others go only now
        others = "".join(f':not([value="{slug}"])' for slug in slugs)
        while (other := catalogue.locator(f"input:checked{others}")).count():
            other.first.uncheck()
        for box in boxes[1:]:
            box.check()
        self.page.keyboard.press("Escape")
        expect(catalogue).to_be_hidden()

    def ask(self, message: str) -> None:
        """Type a question, press Enter, and wait until it is accepted. Models that hold back their end do so anew."""
        self._installation.hold_again()
        turns = self.page.locator(".turn[data-turn-id]:not([data-turn-id=''])").count()
        self.page.locator(MESSAGE).fill(message)
        self.page.locator(MESSAGE).press("Enter")
        expect(self.page.locator(".turn[data-turn-id]:not([data-turn-id=''])")).to_have_count(turns + 1)

    def lane(self, slug: str) -> Locator:
        """The lane of a model in the latest turn."""
        return self.page.locator(f'.turn:last-child .lane[data-model="{slug}"]')

    def prose(self, slug: str) -> Locator:
        return self.lane(slug).locator("[data-part=prose]")

    def streams(self, *slugs: str, words: int = 12) -> None:
        """Wait until each of these lanes shows that many words and is under way."""
        for slug in slugs:
            expect(self.prose(slug)).to_have_text(re.compile(rf"(\S+\s+){{{words}}}"))
            expect(self.lane(slug)).to_have_attribute("data-state", "streaming")

    def let_go(self, slug: str, until_tokens: int | None = None) -> None:
        """Let an answer that holds back its end go on: to its end, or up to so many tokens."""
        if slug in MODELS:
            self._installation.release(MODELS[slug].upstream, until_tokens)

    def finished(self, *slugs: str, within_seconds: float = 30.0) -> None:
        """Let these answers come to their end, and wait for it."""
        for slug in slugs:
            self.let_go(slug)
        for slug in slugs:
            expect(self.lane(slug)).to_have_attribute("data-state", "done", timeout=within_seconds * 1000)

    def state(self, slug: str) -> str | None:
        return self.lane(slug).get_attribute("data-state")

    def words(self, slug: str) -> str:
        """What the lane shows now, letters and digits alone."""
        return _NOT_WORDS.sub("", self.prose(slug).inner_text())

    def raw(self, slug: str) -> str:
        """The answer's text as the page holds it, and copies it."""
        text: str = self.lane(slug).locator("template[data-part=raw]").evaluate("one => one.content.textContent")
        return text

    def html(self, slug: str) -> str:
        """The answer's rendering, without the frames that streamed blocks grow in."""
        html: str = self.prose(slug).evaluate(UNFRAMED)
        return html

    def stored(self) -> list[dict[str, Any]]:
        """The chat's turns as REST tells them."""
        answer = self.page.request.get(f"{self.url}/api/v1/conversations/{self.conversation_id}/messages/")
        assert answer.status == 200, answer.text()
        turns: list[dict[str, Any]] = answer.json()["items"]
        return turns

    def stored_answer(self, slug: str) -> dict[str, Any]:
        """The stored answer of a model to the latest question."""
        (answer,) = (one for one in self.stored()[-1]["answers"] if one["model"] == slug)
        return dict(answer)

    def shows_what_is_stored(self, *slugs: str) -> None:
        """The page's text is the stored text, and its rendering is what the server draws for it."""
        live = {slug: (self.raw(slug), self.html(slug)) for slug in slugs}
        answers = {slug: self.stored_answer(slug)["text"] for slug in slugs}
        assert {slug: raw for slug, (raw, _html) in live.items()} == answers
        self.page.reload()
        assert {slug: (self.raw(slug), self.html(slug)) for slug in slugs} == live

    def mark(self) -> None:
        """Leave a mark that a page load would wipe."""
        self.page.evaluate("window.markedByJourney = true")

    @property
    def is_marked(self) -> bool:
        return bool(self.page.evaluate("window.markedByJourney === true"))


def signed_in(context: BrowserContext, url: str, session: str) -> None:
    context.add_cookies([{"name": "sessionid", "value": session, "url": url, "httpOnly": True, "sameSite": "Lax"}])
