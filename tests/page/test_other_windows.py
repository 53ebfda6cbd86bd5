"""What was asked elsewhere appears here, and what runs is followed from its start."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import pytest
from playwright.sync_api import expect

from apps.conversations import services
from apps.conversations.contracts import TurnAccepted
from apps.conversations.requests import TurnRequest
from apps.tenants.contracts import Principal
from tests.page.board import Board, Stream

Ask = Callable[..., TurnAccepted]


@pytest.fixture
def ask_elsewhere(reader: Principal, database_thread: ThreadPoolExecutor) -> Ask:
    """Ask as the same person on another device. No worker runs, so the answers stay queued."""

    def ask(message: str, conversation_id: UUID | None = None) -> TurnAccepted:
        request = TurnRequest(message, ("swift", "steady"), conversation_id, None)
        return database_thread.submit(services.start_turn, reader, request).result()

    return ask


def _streams(board: Board, turn: TurnAccepted) -> list[Stream]:
    streams = [
        Stream(str(one.generation_id), str(turn.turn_id), str(turn.conversation_id), one.lane, one.model)
        for one in turn.generations
    ]
    board.streams |= {stream.generation_id: stream for stream in streams}
    return streams


def test_a_reload_in_mid_stream_shows_everything_and_goes_on(board: Board, ask_elsewhere: Ask) -> None:
    turn = ask_elsewhere("Explain switchboards")
    streams = _streams(board, turn)
    for stream in streams:
        stream.write("message.started", fence=1, keep=0)
        stream.write("token.delta", text=f"{stream.model} said this before,")
    board.open(f"/chat/{turn.conversation_id}/")
    prose = board.page.locator(".turn .lane .prose")
    expect(prose).to_have_text(["swift said this before,", "steady said this before,"])
    assert {one["after"] for one in board.sent("subscribe")} == {None}
    for stream in streams:
        board.write(stream, " and this now.")
    expect(prose).to_have_text(["swift said this before, and this now.", "steady said this before, and this now."])
    expect(board.page.get_by_role("button", name="Stop all answers")).to_be_visible()


def test_a_hint_draws_the_turn_of_another_window_once(board: Board, reader: Principal, ask_elsewhere: Ask) -> None:
    first = ask_elsewhere("Explain switchboards")
    for one in first.generations:
        board.in_database(partial(services.cancel, reader, one.generation_id))
    board.open(f"/chat/{first.conversation_id}/")
    expect(board.page.locator(".turn .lane").first).to_contain_text("Stopped before the first word.")

    second = ask_elsewhere("And telephones?", first.conversation_id)
    streams = _streams(board, second)
    hint = {
        "type": "conversation.changed",
        "conversation_id": str(second.conversation_id),
        "what": "message",
        "turn_id": str(second.turn_id),
    }
    board.tell(hint, hint)
    expect(board.page.locator(".ask")).to_have_text(["Explain switchboards", "And telephones?"])
    board.tell(*streams[0].write("message.started", fence=1, keep=0))
    board.write(streams[0], "Live here too.")
    expect(board.page.locator(".turn").nth(1).locator(".prose").first).to_have_text("Live here too.")


def test_a_list_that_is_drawn_anew_leaves_a_pressed_button_in_its_place(board: Board, ask_elsewhere: Ask) -> None:
    turn = ask_elsewhere("Explain switchboards")
    board.open(f"/chat/{turn.conversation_id}/")
    board.page.locator(".chat-row").hover()
    board.page.get_by_role("button", name="Rename or delete").hover()
    board.page.mouse.down()
    board.tell({"type": "conversation.changed", "conversation_id": str(turn.conversation_id), "what": "finished"})
    board.page.wait_for_timeout(400)  # more than the pause before the list is asked for
    board.page.mouse.up()
    expect(board.page.get_by_role("button", name="Rename", exact=True)).to_be_visible()
    with board.page.expect_response("**/chat/list*"):  # what was put off comes now
        board.page.keyboard.press("Escape")


def test_a_chat_is_renamed_in_its_place(board: Board, ask_elsewhere: Ask) -> None:
    turn = ask_elsewhere("Explain switchboards")
    board.open(f"/chat/{turn.conversation_id}/")
    board.page.locator(".chat-row").hover()
    board.page.get_by_role("button", name="Rename or delete").click()
    board.page.get_by_role("button", name="Rename", exact=True).click()
    board.page.get_by_label("Title").fill("Cords and jacks")
    board.page.keyboard.press("Enter")
    expect(board.page.locator(".chat-title")).to_have_text("Cords and jacks")
    expect(board.page.locator("#chat-title")).to_have_text("Cords and jacks")
    board.page.reload()
    expect(board.page.locator("#chat-title")).to_have_text("Cords and jacks")


def test_a_deleted_chat_can_be_brought_back(board: Board, ask_elsewhere: Ask) -> None:
    turn = ask_elsewhere("Explain switchboards")
    board.open(f"/chat/{turn.conversation_id}/")
    board.page.locator(".chat-row").hover()
    board.page.get_by_role("button", name="Rename or delete").click()
    board.page.get_by_role("button", name="Delete", exact=True).click()
    expect(board.page).to_have_url("http://127.0.0.1:7199/chat/")
    expect(board.page.locator(".chat-row")).to_have_count(0)
    board.page.get_by_role("button", name="Undo").click()
    expect(board.page.locator(".chat-title")).to_have_text("Explain switchboards")
