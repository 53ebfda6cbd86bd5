"""What models are told in a chat, and what a model saw, as people meet both on the page."""

from uuid import UUID

from playwright.sync_api import expect

from apps.conversations import requests, selectors, services
from apps.conversations.contracts import TurnAccepted
from apps.conversations.models import Generation, Message
from apps.tenants import instructions
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.page.board import COMPLETED, Board


def answered(reader: Principal, message: str, conversation_id: UUID | None = None) -> TurnAccepted:
    """A question and its answer, as a worker would have left them."""
    body = {
        "message": message,
        "models": ["swift"],
        "conversation_id": str(conversation_id) if conversation_id else None,
    }
    turn = services.start_turn(reader, requests.turn_request(body, None))
    (lane,) = turn.generations
    route = {"model": "swift", "prompt": {"sha256": selectors.prompt(reader, lane.generation_id).sha256}}
    with tenant_scope(reader.tenant_id):
        Generation.objects.filter(id=lane.generation_id).update(
            state="completed", finished_at="2026-01-01T00:00Z", route=route
        )
        Message.objects.filter(id=lane.message_id).update(status="completed", text="Port is left.")
    return turn


def test_a_chats_instructions_are_written_kept_and_seen_in_the_prompt(board: Board, reader: Principal) -> None:
    turn = board.in_database(lambda: answered(reader, "Which side is port?"))
    path = f"/chat/{turn.conversation_id}/"
    board.open(path)
    opener = board.page.get_by_role("button", name="Instructions for this chat")
    opener.click()
    text = board.page.get_by_role("textbox", name="Instructions")
    text.fill("Speak as a <sailor>.\nTwice.")
    board.page.get_by_role("button", name="Save").click()
    expect(board.page.locator("#toasts")).to_contain_text("from the next question on")
    expect(text).to_be_hidden()
    kept = board.in_database(lambda: selectors.conversation(reader, turn.conversation_id).instructions)
    assert kept == "Speak as a <sailor>.\nTwice."

    board.in_database(lambda: instructions.set_own(reader, "I am left-handed."))
    board.in_database(lambda: answered(reader, "And starboard?", turn.conversation_id))
    board.open(path)
    last = board.page.locator(".turn .lane").last
    last.get_by_role("button", name="Why this model").click()
    last.get_by_text("What the model saw").click()
    messages = last.locator(".saw-list > li")
    expect(messages).to_have_count(4)
    expect(messages.locator("b")).to_have_text(["Told beforehand", "You", "Answer", "You"])
    expect(messages.locator("pre").first).to_have_text("I am left-handed.\n\nSpeak as a <sailor>.\nTwice.")
    expect(last.locator(".saw-proof")).to_contain_text("Exactly as it was sent.")


def test_a_new_chats_instructions_go_with_its_first_question_alone(board: Board) -> None:
    board.open()
    opener = board.page.get_by_role("button", name="Instructions for this chat")
    opener.click()
    board.page.get_by_role("textbox", name="Instructions").fill("  Be brief. ")
    board.page.get_by_role("button", name="Save").click()
    expect(opener).to_have_attribute("data-told", "")
    for stream in board.ask("Say something"):
        board.tell(*stream.write("message.completed", **COMPLETED))
    for stream in board.ask("And more"):
        board.tell(*stream.write("message.completed", **COMPLETED))
    first, second = board.sent("message.send")
    assert first["instructions"] == "Be brief."
    assert second.get("instructions") is None
