"""Lanes live apart: one's end, failure, stop or retry leaves the others alone."""

from playwright.sync_api import expect

from tests.page.board import COMPLETED, Board


def test_a_failed_lane_offers_retry_and_the_other_goes_on(board: Board) -> None:
    board.open()
    failing, other = board.ask("Say something")
    board.write(failing, "The first words")
    end = {"code": "provider_error", "message": "The provider hung up.", "retryable": True, "state": "failed"}
    board.tell(*failing.write("message.error", **end))
    board.write(other, "Undisturbed")
    lanes = board.page.locator(".turn .lane")
    expect(lanes.first).to_contain_text("The provider hung up.")
    expect(lanes.first).to_contain_text("The first words")
    expect(board.page.locator(".lane-head").first).to_contain_text("Failed")
    expect(lanes.nth(1).locator(".prose")).to_have_text("Undisturbed")

    new_id = "0197d000-0000-7000-8000-000000000001"
    again = {"generation_id": new_id, "message_id": "m", "lane": 1, "model": "swift"}
    board.answer_http = lambda _request: {"status": 202, "json": again}
    lanes.first.get_by_role("button", name="Retry").click()
    expect(lanes.first).to_have_attribute("data-generation-id", new_id)
    expect(lanes.first).to_have_attribute("data-state", "waiting")
    expect(lanes.nth(1).locator(".prose")).to_have_text("Undisturbed")
    board.settle()
    assert board.posted[0].url.endswith(f"/v1/chat/generations/{failing.generation_id}/retry")
    assert board.sent("subscribe")[-1]["stream"] == new_id
    assert board.sent("subscribe")[-1]["after"] is None


def test_one_lane_can_be_stopped_and_keeps_its_words(board: Board) -> None:
    board.open()
    stopped, other = board.ask("Say something")
    board.write(stopped, "A partial answer")
    board.page.get_by_role("button", name="Stop Swift").click()
    board.settle()
    assert [one["generation_id"] for one in board.sent("generation.cancel")] == [stopped.generation_id]
    board.tell(*stopped.write("message.completed", **{**COMPLETED, "state": "cancelled"}))
    lane = board.page.locator(".turn .lane").first
    expect(lane).to_contain_text("Stopped by you, partial answer kept.")
    expect(lane.locator(".prose")).to_have_text("A partial answer")
    expect(board.page.get_by_role("button", name="Stop Steady")).to_be_visible()
    board.tell(*other.write("message.completed", **COMPLETED))
    expect(board.page.get_by_role("button", name="Send")).to_be_visible()


def test_a_finished_answer_is_announced_and_its_figures_shown(board: Board) -> None:
    board.open()
    first, _second = board.ask("Say something")
    board.write(first, "Done.")
    expect(board.page.locator("#announcer")).to_have_text("")
    route = {**COMPLETED["route"], "cache": {"kind": "exact"}}
    board.tell(*first.write("message.completed", **{**COMPLETED, "route": route}))
    expect(board.page.locator("#announcer")).to_have_text("Answer from Swift finished")
    foot = board.page.locator(".turn .lane").first.locator(".foot-facts")
    expect(foot).to_contain_text("0.71 s to first token")
    expect(foot).to_contain_text("52 in, 231 out")
    expect(foot).to_contain_text("Served from cache")
    expect(foot).to_contain_text("$0.0009, simulated")
    foot.get_by_role("button", name="Ask anew").click()
    board.page.wait_for_timeout(50)
    assert board.posted[0].url.endswith(f"/v1/chat/generations/{first.generation_id}/retry")


def test_another_model_in_a_later_turn_gets_a_lane_of_its_own(board: Board) -> None:
    board.open()
    for stream in board.ask("First"):
        board.tell(*stream.write("message.completed", **COMPLETED))
    board.page.get_by_role("button", name="Add a model").click()
    board.page.get_by_role("checkbox", name="Cedar").check()
    board.page.keyboard.press("Escape")
    board.ask("Second")
    expect(board.page.locator("#timeline")).to_have_attribute("data-lanes", "3")
    expect(board.page.locator(".turn").first.locator(".lane").nth(2)).to_have_text("Not asked.")
    expect(board.page.locator(".turn").nth(1).locator(".lane[data-state=waiting]")).to_have_count(3)
