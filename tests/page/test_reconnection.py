"""A lost connection loses nothing: streams go on where they stood, questions go out again under their own id."""

import json
from typing import Any

from playwright.sync_api import Request, expect

from tests.page.board import Board, Stream


def test_live_streams_are_resumed_after_the_last_event_drawn(board: Board) -> None:
    board.open()
    first, second = board.ask("Say something")
    board.write(first, "Before the cut", step=50)
    board.sockets[-1].close(code=1012)
    first.write("token.delta", text=" and after it.")
    lanes = board.page.locator(".turn .lane")
    expect(lanes.first.locator(".prose")).to_have_text("Before the cut and after it.")
    board.settle()
    resumed = {message["stream"]: message["after"] for message in board.sent("subscribe")}
    assert resumed == {first.generation_id: "1-1", second.generation_id: "1-0"}


def test_an_unanswered_question_is_sent_again_with_the_same_id(board: Board) -> None:
    board.accepts = False
    board.open()
    board.page.get_by_label("Message", exact=True).fill("Are you there?")
    board.page.keyboard.press("Enter")
    board.settle()
    board.accepts = True
    board.sockets[-1].close(code=1012)
    expect(board.page.locator(".turn .lane[data-generation-id]")).to_have_count(2)
    first, second = board.sent("message.send")
    assert first == second
    expect(board.page.locator(".turn")).to_have_count(1)


def test_without_websockets_questions_and_streams_go_by_http(board: Board) -> None:
    board.opens_sockets = False

    def events(generation_id: str) -> str:
        stream = Stream(generation_id, "", "", 1, "swift")
        frames = [
            *stream.write("message.started", fence=1),
            *stream.write("token.delta", text="By HTTP."),
            *stream.write("message.completed", state="completed"),
        ]
        return "".join(f"event: {one['type']}\nid: {one['id']}\ndata: {json.dumps(one)}\n\n" for one in frames)

    def answer(request: Request) -> dict[str, Any]:
        if request.method == "POST":
            body = board.accept(dict(request.post_data_json or {}))
            return {"status": 202, "json": body}
        generation_id = request.url.split("/streams/")[1].split("?")[0]
        return {"status": 200, "content_type": "text/event-stream", "body": events(generation_id)}

    board.answer_http = answer
    board.open()
    board.page.get_by_label("Message", exact=True).fill("Any way?")
    board.page.keyboard.press("Enter")
    expect(board.page.locator(".turn .lane[data-state=done] .prose")).to_have_text(["By HTTP.", "By HTTP."])
    question = board.posted[0]
    assert question.headers["prefer"] == "respond-async"
    assert len(question.headers["idempotency-key"]) == 36
    assert "render=html" in board.posted[1].url
