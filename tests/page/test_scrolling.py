"""The view follows the newest words only while its reader is at the end."""

from playwright.sync_api import expect

from tests.page.board import COMPLETED, Board, Stream

PARAGRAPH = "Words upon words, until the page is long enough to scroll through at some length. " * 4 + "\n\n"
TOP = "document.getElementById('timeline').scrollTop"
GAP = """(({scrollHeight, clientHeight, scrollTop}) => scrollHeight - clientHeight - scrollTop)(
    document.getElementById('timeline'))"""


def _long_answer(board: Board) -> list[Stream]:
    board.open()
    streams = board.ask("Tell me a lot")
    board.write(streams[0], PARAGRAPH * 12, step=120)
    return streams


def _wheel(board: Board, pixels: int) -> None:
    """Turn the wheel, and wait until the view has come to rest: Chromium moves it there in steps of its own."""
    board.page.locator("#timeline").hover()
    board.page.evaluate(f"""() => {{
        const before = {TOP};
        window.atRest = false;
        document.getElementById('timeline').addEventListener('scrollend', () => (atRest ||= {TOP} !== before));
    }}""")
    board.page.mouse.wheel(0, pixels)
    board.page.wait_for_function("() => atRest")


def test_it_follows_at_the_end(board: Board) -> None:
    streams = _long_answer(board)
    assert board.page.evaluate(GAP) <= 1
    board.write(streams[0], PARAGRAPH * 4, step=120)
    assert board.page.evaluate(GAP) <= 1
    expect(board.page.locator("#jump")).to_be_hidden()


def test_a_touch_of_the_wheel_lets_go_at_once(board: Board) -> None:
    streams = _long_answer(board)
    _wheel(board, -40)
    before = board.page.evaluate(TOP)
    board.write(streams[0], PARAGRAPH * 4, step=120)
    assert board.page.evaluate(TOP) == before
    expect(board.page.locator("#jump")).to_be_visible()


def test_jump_to_latest_takes_hold_again(board: Board) -> None:
    streams = _long_answer(board)
    _wheel(board, -400)
    board.page.get_by_role("button", name="Jump to latest").click()
    board.write(streams[0], PARAGRAPH, step=120)
    assert board.page.evaluate(GAP) <= 1
    expect(board.page.locator("#jump")).to_be_hidden()


def test_the_end_of_an_answer_never_moves_the_view(board: Board) -> None:
    streams = _long_answer(board)
    followed = board.page.evaluate(TOP)
    board.tell(*streams[0].write("message.completed", **COMPLETED))
    assert board.page.evaluate(TOP) == followed
    _wheel(board, -300)
    before = board.page.evaluate(TOP)
    board.tell(*streams[1].write("message.completed", **COMPLETED))
    assert board.page.evaluate(TOP) == before
