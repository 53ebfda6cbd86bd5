"""Writing a question: keys, growth, draft and choice of models."""

from playwright.sync_api import Route, expect

from tests.page.board import ORIGIN, Board

BOX = "#message"


def test_enter_sends_and_shift_enter_breaks_the_line(board: Board) -> None:
    board.open()
    board.page.locator(BOX).press_sequentially("one")
    board.page.keyboard.press("Shift+Enter")
    board.page.locator(BOX).press_sequentially("two")
    board.settle()
    assert board.sent("message.send") == []
    board.page.keyboard.press("Enter")
    expect(board.page.locator(".ask")).to_have_text("one\ntwo", use_inner_text=True)
    board.settle()
    assert board.sent("message.send")[0]["message"] == "one\ntwo"


def test_a_question_that_is_sent_before_the_scripts_are_there_is_sent_once_they_are(board: Board) -> None:
    held: list[Route] = []
    board.page.route("**/js/chat.js", lambda route: held.append(route))
    board.page.goto(f"{ORIGIN}/chat/", wait_until="commit")
    board.page.locator(BOX).press_sequentially("Are you there?")
    board.page.keyboard.press("Enter")
    expect(board.page.locator(BOX)).to_have_value("Are you there?")
    held.pop().fallback()
    expect(board.page.locator(".ask")).to_have_text("Are you there?")
    board.settle()
    assert [sent["message"] for sent in board.sent("message.send")] == ["Are you there?"]


def test_enter_that_ends_a_composition_never_sends(board: Board) -> None:
    board.open()
    board.page.locator(BOX).fill("にほん")
    for detail in ({"key": "Enter", "isComposing": True}, {"key": "Enter", "keyCode": 229}):
        board.page.locator(BOX).dispatch_event("keydown", {**detail, "bubbles": True, "cancelable": True})
    board.settle()
    assert board.sent("message.send") == []
    expect(board.page.locator(BOX)).to_have_value("にほん")


def test_the_box_grows_to_a_cap_and_then_scrolls(board: Board) -> None:
    board.open()
    heights = []
    for lines in (1, 5, 40, 80):
        board.page.locator(BOX).fill("line\n" * lines)
        heights.append(board.page.evaluate("document.getElementById('message').clientHeight"))
    assert heights[0] < heights[1] < heights[2] == heights[3] == 240
    assert board.page.evaluate("document.getElementById('message').scrollHeight") > 240


def test_text_and_models_survive_a_reload(board: Board) -> None:
    board.open()
    board.page.locator(BOX).fill("Half a thought")
    board.page.get_by_role("button", name="Remove Steady").click()
    board.page.get_by_role("button", name="Add a model").click()
    board.page.get_by_role("checkbox", name="Cedar").check()
    board.open()
    expect(board.page.locator(BOX)).to_have_value("Half a thought")
    expect(board.page.locator("#lineup [data-part=name]")).to_have_text(["Swift", "Cedar"])


def test_the_last_model_cannot_be_removed(board: Board) -> None:
    board.open()
    board.page.get_by_role("button", name="Remove Steady").click()
    expect(board.page.get_by_role("button", name="Remove Swift")).to_be_hidden()
    board.page.get_by_role("button", name="Add a model").click()
    expect(board.page.get_by_role("checkbox", name="Swift")).to_be_disabled()


def test_send_becomes_stop_and_escape_stops_every_lane(board: Board) -> None:
    board.open()
    streams = board.ask("A long story, please")
    expect(board.page.get_by_role("button", name="Stop all answers")).to_be_visible()
    expect(board.page.get_by_role("button", name="Send")).to_be_hidden()
    board.page.keyboard.press("Escape")
    board.settle()
    stopped = [message["generation_id"] for message in board.sent("generation.cancel")]
    assert stopped == [stream.generation_id for stream in streams]


def test_enter_while_answers_stream_keeps_the_text(board: Board) -> None:
    board.open()
    board.ask("First")
    board.page.locator(BOX).fill("Second")
    board.page.keyboard.press("Enter")
    board.settle()
    expect(board.page.locator(BOX)).to_have_value("Second")
    assert len(board.sent("message.send")) == 1


def test_a_refused_question_comes_back_with_its_reason(board: Board) -> None:
    board.accepts = False
    board.open()
    board.page.locator(BOX).fill("Too dear a question")
    board.page.keyboard.press("Enter")
    board.settle()
    first = board.sent("message.send")[0]
    refusal = {"code": "insufficient_quota", "message": "The budget is used up.", "retryable": False, "status": 429}
    board.tell({"type": "error", "client_id": first["client_id"], **refusal})
    expect(board.page.locator("#not-sent")).to_contain_text("the budget is used up.")
    expect(board.page.locator(BOX)).to_have_value("Too dear a question")
    expect(board.page.locator(".turn")).to_have_count(0)
    board.accepts = True
    board.page.get_by_role("button", name="Retry").click()
    expect(board.page.locator(".turn .lane[data-generation-id]")).to_have_count(2)
    assert board.sent("message.send")[1] == first
    expect(board.page.locator("#not-sent")).to_be_hidden()


def test_a_question_that_cannot_be_accepted_as_it_is_offers_no_retry(board: Board) -> None:
    board.accepts = False
    board.open()
    board.page.locator(BOX).fill("Something that is blocked")
    board.page.keyboard.press("Enter")
    board.page.wait_for_timeout(100)
    sent = board.sent("message.send")[0]
    refusal = {"code": "prompt_blocked", "message": "Your workspace blocks it.", "retryable": False, "status": 400}
    board.tell({"type": "error", "client_id": sent["client_id"], **refusal})
    expect(board.page.locator("#not-sent")).to_contain_text("Not sent: your workspace blocks it.")
    expect(board.page.get_by_role("button", name="Retry")).to_be_hidden()
    expect(board.page.locator(BOX)).to_have_value("Something that is blocked")
