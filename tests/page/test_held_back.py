"""An answer that the workspace's rules cut says so quietly, and keeps what was shown."""

from playwright.sync_api import expect

from tests.page.board import COMPLETED, Board


def test_a_cut_answer_keeps_its_text_and_says_whose_rules_hold_back_the_rest(board: Board) -> None:
    board.open()
    stream, other = board.ask("Who is it?")
    board.write(stream, "The address is ")
    board.tell(
        *stream.write("message.completed", **{**COMPLETED, "state": "partial", "finish_reason": "content_filter"})
    )
    board.tell(*other.write("message.completed", **{**COMPLETED, "state": "partial", "finish_reason": "interrupted"}))
    cut, broken = board.page.locator(".turn .lane").first, board.page.locator(".turn .lane").nth(1)
    expect(cut.locator(".prose")).to_have_text("The address is")
    expect(cut.locator("[data-part=outcome]")).to_contain_text("safety rules hold back the rest")
    expect(broken.locator("[data-part=outcome]")).to_contain_text("broke off here")
