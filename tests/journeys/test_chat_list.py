"""Chats are renamed in their place, and deleting one can be undone."""

import time

from playwright.sync_api import Route, expect

from tests.journeys.chat import Chat


def menu(chat: Chat, title: str, entry: str) -> None:
    chat.page.locator(".chat-row", has_text=title).hover()
    chat.page.get_by_role("button", name=f"Rename or delete {title}").click()
    chat.page.locator("#chat-menu").get_by_role("button", name=entry).click()


def title_at_rest(chat: Chat, conversation_id: str) -> tuple[int, str | None]:
    answer = chat.page.request.get(f"{chat.url}/api/v1/conversations/{conversation_id}/")
    return answer.status, answer.json().get("title") if answer.status == 200 else None


def test_a_chat_is_renamed_in_its_place_and_keeps_that_name(chat: Chat) -> None:
    chat.choose("brisk")
    chat.ask("Where does the road lead?")
    chat.finished("brisk")
    chat.mark()
    menu(chat, "Where does the road lead?", "Rename")
    title = chat.page.get_by_label("Title")
    expect(title).to_be_focused()
    expect(title).to_have_value("Where does the road lead?")
    title.fill("Roads & hedges")
    title.press("Enter")
    expect(chat.page.locator(".chat-row .chat-title")).to_have_text(["Roads & hedges"])
    expect(chat.page.locator("#chat-title")).to_have_text("Roads & hedges")
    chat.ask("And the hedge?")
    chat.finished("brisk")
    assert chat.is_marked
    assert title_at_rest(chat, chat.conversation_id) == (200, "Roads & hedges")
    chat.page.reload()
    expect(chat.page.locator("#chat-title")).to_have_text("Roads & hedges")
    expect(chat.page.locator(".chat-row .chat-title")).to_have_text(["Roads & hedges"])


def test_escape_leaves_the_name_as_it_was(chat: Chat) -> None:
    chat.choose("brisk")
    chat.ask("Keep this name")
    chat.finished("brisk")
    menu(chat, "Keep this name", "Rename")
    chat.page.get_by_label("Title").fill("Something else")
    chat.page.get_by_label("Title").press("Escape")
    expect(chat.page.locator(".chat-row .chat-title")).to_have_text(["Keep this name"])
    assert title_at_rest(chat, chat.conversation_id) == (200, "Keep this name")


def test_a_list_that_arrives_late_does_not_take_the_new_name_away(chat: Chat) -> None:
    chat.choose("brisk")
    chat.ask("An old name")
    chat.finished("brisk")
    expect(chat.page.locator(".chat-row")).to_have_count(1)
    late: list[Route] = []
    chat.page.route("**/chat/list*", lambda route: late.append(route))
    chat.ask("Refresh the list")
    chat.finished("brisk")
    deadline = time.monotonic() + 20
    while not late:
        assert time.monotonic() < deadline, "the list was never asked for"
        chat.page.wait_for_timeout(50)
    menu(chat, "An old name", "Rename")
    chat.page.get_by_label("Title").fill("A new name")
    for route in late:
        route.continue_()
    chat.page.wait_for_timeout(400)
    chat.rested()
    expect(chat.page.get_by_label("Title")).to_be_focused()
    chat.page.unroute("**/chat/list*")
    chat.page.get_by_label("Title").press("Enter")
    expect(chat.page.locator(".chat-row .chat-title")).to_have_text(["A new name"])


def test_deleting_the_open_chat_can_be_undone(chat: Chat) -> None:
    chat.choose("brisk")
    chat.ask("Do not lose me")
    chat.finished("brisk")
    path, conversation_id, text = chat.path, chat.conversation_id, chat.raw("brisk")
    menu(chat, "Do not lose me", "Delete")
    expect(chat.page.locator(".chat-row")).to_have_count(0)
    assert title_at_rest(chat, conversation_id) == (404, None)
    assert chat.page.request.get(chat.url + path).status == 404
    chat.page.get_by_role("button", name="Undo").click()
    chat.page.locator(".chat-row", has_text="Do not lose me").get_by_role("link").click()
    expect(chat.lane("brisk")).to_have_attribute("data-state", "done")
    assert chat.path == path
    assert chat.raw("brisk") == text
