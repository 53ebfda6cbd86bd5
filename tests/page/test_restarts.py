"""When an answer begins again, its first text goes."""

from playwright.sync_api import expect

from tests.page.board import COMPLETED, Board


def test_a_restart_drops_the_text_and_says_so(board: Board) -> None:
    board.open()
    stream, other = board.ask("Say something")
    board.write(stream, "This will be void.\n\nAll of it")
    board.write(other, "This stays")
    board.tell(*stream.write("message.restarted", reason="provider_error", keep=0))
    lane = board.page.locator(".turn .lane").first
    expect(lane.locator(".prose")).to_have_text("")
    expect(lane.locator("[data-part=restart]")).to_be_visible()
    board.write(stream, "Second try.")
    expect(lane.locator(".prose")).to_have_text("Second try.")
    expect(lane.locator("[data-part=restart]")).to_be_hidden()
    expect(board.page.locator(".turn .lane").nth(1).locator(".prose")).to_have_text("This stays")


def test_a_higher_fence_starts_anew_and_the_lower_one_is_silenced(board: Board) -> None:
    board.open()
    stream, _other = board.ask("Say something")
    board.write(stream, "From the worker that died")
    late = stream.write("token.delta", text=" and spoke up late")
    board.tell(*stream.begin_again())
    board.write(stream, "From the next worker.")
    board.tell(*late)
    board.tell(*stream.write("message.completed", **COMPLETED))
    expect(board.page.locator(".turn .lane").first.locator(".prose")).to_have_text("From the next worker.")
