"""Code is highlighted, names its language and can be copied; a fence that is still open never flickers."""

import re
from itertools import pairwise

from playwright.sync_api import expect

from tests.journeys.chat import Chat

# Every frame: what each block of the answer is, and whether the marks of a fence are to be seen.
SAMPLE = """() => {
    window.frames_seen = [];
    const look = () => {
        const blocks = [...document.querySelectorAll(".turn:last-child .prose > .block")];
        frames_seen.push(blocks.map(block => ({
            kind: block.querySelector("figure.code") ? "code" : block.firstElementChild?.tagName ?? "",
            open: block.querySelector("code.open-text") !== null,
            marks: /```|~~~/.test(block.innerText),
        })));
        requestAnimationFrame(look);
    };
    look();
}"""


def test_a_code_frame_never_turns_back_into_text(chat: Chat) -> None:
    chat.choose("scribe")
    chat.page.evaluate(SAMPLE)
    chat.ask("Write a Python class that keeps an LRU cache")
    expect(chat.prose("scribe").get_by_role("button", name="Copy")).to_be_visible()  # the fence is closed
    chat.page.keyboard.press("Escape")
    expect(chat.lane("scribe")).to_have_attribute("data-state", "stopped")
    frames = chat.page.evaluate("frames_seen")
    assert any(block["open"] for frame in frames for block in frame), "no frame with an open fence was seen"
    for earlier, later in pairwise(frames):
        assert len(later) >= len(earlier)
        for was, now in zip(earlier, later, strict=False):
            assert (was["kind"] == "code") == (now["kind"] == "code")
    assert [block for frame in frames for block in frame if block["marks"]] == []


def test_finished_code_is_highlighted_named_and_copied(chat: Chat) -> None:
    chat.choose("coder")
    chat.ask("Write a Python class that keeps an LRU cache")
    chat.finished("coder")
    text = chat.stored_answer("coder")["text"]
    (source, *_more) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for _look in ("streamed", "drawn by the server"):
        figure = chat.lane("coder").locator("figure.code").first
        expect(figure.locator(".code-lang")).to_have_text("Python")
        assert colours(chat) >= 3
        chat.page.evaluate("navigator.clipboard.writeText('')")
        figure.get_by_role("button", name="Copy").click()
        expect(figure.get_by_role("button")).to_contain_text("Copied")
        assert chat.page.evaluate("navigator.clipboard.readText()") == source.removesuffix("\n")
        chat.page.reload()


def colours(chat: Chat) -> int:
    """In how many colours the first code frame is set, the plain one among them."""
    parts = chat.lane("coder").locator("figure.code").first.locator("code, code span")
    return len(set(parts.evaluate_all("parts => parts.map(part => getComputedStyle(part).color)")))
