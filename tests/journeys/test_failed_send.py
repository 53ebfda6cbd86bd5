"""A question that does not reach the server keeps its text and can be sent again; it is never asked twice."""

import time

from playwright.sync_api import BrowserContext, Route, WebSocketRoute, expect

from tests.journeys.chat import MESSAGE, Chat
from tests.journeys.conftest import BrowserOf, OpenTab
from tests.journeys.installation import Installation, Person
from tests.journeys.models import MODELS

NOTE = "#not-sent"
DOORS = "**/v1/chat/messages"


class Cable:
    """Between one browser and the server: may be pulled and plugged in again."""

    def __init__(self, context: BrowserContext) -> None:
        self.is_pulled = False
        self.swallows_answers = False
        self._sockets: list[WebSocketRoute] = []
        context.route_web_socket("**/ws/chat/", self._connect)
        context.route(DOORS, self._post)

    def pull(self) -> None:
        self.is_pulled = True
        for socket in self._sockets:
            socket.close(code=1011)
        self._sockets.clear()

    def _connect(self, socket: WebSocketRoute) -> None:
        if self.is_pulled:
            socket.close(code=1011)
        else:
            self._sockets.append(socket)
            socket.connect_to_server()

    def _post(self, route: Route) -> None:
        if self.swallows_answers:
            route.fetch()
        if self.is_pulled:
            route.abort("connectionfailed")
        else:
            route.continue_()


def not_sent(chat: Chat) -> None:
    expect(chat.page.get_by_role("alert").filter(has_text="Not sent: the connection dropped.")).to_be_visible()


def test_a_failed_send_keeps_the_text_and_offers_retry(
    browser_of: BrowserOf, open_tab: OpenTab, person: Person
) -> None:
    context = browser_of(person.sessions[0])
    cable, chat = Cable(context), open_tab(context)
    chat.open()
    chat.choose("brisk")
    cable.pull()
    chat.page.locator(MESSAGE).fill("Is anybody there?")
    chat.page.locator(MESSAGE).press("Enter")
    not_sent(chat)
    expect(chat.page.locator(MESSAGE)).to_have_value("Is anybody there?")
    expect(chat.page.locator(".turn")).to_have_count(0)

    chat.page.reload()  # nor does a reload lose it
    expect(chat.page.locator(MESSAGE)).to_have_value("Is anybody there?")
    chat.page.locator(MESSAGE).press("Enter")
    not_sent(chat)
    cable.is_pulled = False
    chat.page.locator(NOTE).get_by_role("button", name="Retry").click()
    chat.finished("brisk")
    expect(chat.page.locator(NOTE)).to_be_hidden()
    expect(chat.page.locator(MESSAGE)).to_have_value("")
    assert [turn["message"] for turn in chat.stored()] == ["Is anybody there?"]


def test_a_question_whose_acceptance_was_lost_is_not_asked_twice(
    browser_of: BrowserOf, open_tab: OpenTab, person: Person, installation: Installation
) -> None:
    context = browser_of(person.sessions[0])
    cable, chat = Cable(context), open_tab(context)
    chat.open()
    chat.choose("brisk")
    cable.pull()
    cable.swallows_answers = True
    since = time.time()
    chat.page.locator(MESSAGE).fill("Did you hear me?")
    chat.page.locator(MESSAGE).press("Enter")
    not_sent(chat)
    installation.call_that_ends(MODELS["brisk"].upstream, since)  # the server did hear it
    cable.is_pulled = cable.swallows_answers = False
    chat.page.locator(NOTE).get_by_role("button", name="Retry").click()
    chat.finished("brisk")
    assert [turn["message"] for turn in chat.stored()] == ["Did you hear me?"]
    assert len(installation.calls(MODELS["brisk"].upstream, since)) == 1
    chat.shows_what_is_stored("brisk")
