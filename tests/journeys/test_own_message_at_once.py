"""One's own message appears within 100 ms, whatever the server does."""

import signal

from playwright.sync_api import expect

from tests.journeys.chat import MESSAGE, Chat
from tests.journeys.installation import Installation

WATCH = """() => {
    addEventListener("keydown", event => event.key === "Enter" && (window.pressedAt = event.timeStamp), true);
    const drawn = document.querySelectorAll(".turn .ask").length;
    new MutationObserver((_changes, observer) => {
        if (document.querySelectorAll(".turn .ask").length === drawn) return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => (window.shownAt = performance.now())));
    }).observe(document.body, { childList: true, subtree: true });
}"""


def test_own_message_appears_within_a_tenth_of_a_second_of_a_frozen_server(
    chat: Chat, installation: Installation
) -> None:
    chat.choose("brisk")
    web = installation.stack.processes["web-1"]
    took_ms = []
    # The best of three: a machine that is busy elsewhere is not the page's doing.
    for number in range(1, 4):
        chat.page.locator(MESSAGE).fill(f"Question {number}")
        chat.page.evaluate(WATCH)
        web.kill(signal.SIGSTOP)
        try:
            chat.page.keyboard.press("Enter")
            chat.page.wait_for_function("() => window.shownAt > window.pressedAt")
            expect(chat.page.locator(".turn:last-child .ask")).to_have_text(f"Question {number}")
            expect(chat.lane("brisk")).to_have_attribute("data-state", "waiting")
            took_ms.append(chat.page.evaluate("shownAt - pressedAt"))
        finally:
            web.kill(signal.SIGCONT)
        chat.finished("brisk")
    assert min(took_ms) < 100, took_ms
    assert [turn["message"] for turn in chat.stored()] == ["Question 1", "Question 2", "Question 3"]
