"""Enter sends, Shift+Enter breaks the line, and the Enter of an input method belongs to the input method."""

from playwright.sync_api import expect

from tests.journeys.chat import MESSAGE, Chat


def test_enter_sends_and_shift_enter_breaks_the_line(chat: Chat) -> None:
    chat.choose("brisk")
    box = chat.page.locator(MESSAGE)
    box.press_sequentially("one")
    box.press("Shift+Enter")
    box.press_sequentially("two")
    assert chat.sent("message.send") == []
    box.press("Enter")
    chat.finished("brisk")
    expect(box).to_have_value("")
    assert [frame["message"] for frame in chat.sent("message.send")] == ["one\ntwo"]
    assert [turn["message"] for turn in chat.stored()] == ["one\ntwo"]


def test_enter_while_an_input_method_composes_never_sends(chat: Chat) -> None:
    chat.choose("brisk")
    box = chat.page.locator(MESSAGE)
    box.focus()
    keyboard = chat.page.context.new_cdp_session(chat.page)
    keyboard.send("Input.imeSetComposition", {"text": "にほん", "selectionStart": 3, "selectionEnd": 3})
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
    chat.page.evaluate("addEventListener('keydown', event => (window.wasComposing = event.isComposing), true)")
    keyboard.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    keyboard.send("Input.dispatchKeyEvent", {"type": "keyUp", **enter})
    assert chat.page.evaluate("window.wasComposing") is True
    keyboard.send("Input.insertText", {"text": "日本"})  # what the input method commits
    expect(box).to_have_value("日本")
    expect(chat.page.locator(".turn")).to_have_count(0)
    assert chat.sent("message.send") == []

    box.press("Enter")
    chat.finished("brisk")
    assert [frame["message"] for frame in chat.sent("message.send")] == ["日本"]
