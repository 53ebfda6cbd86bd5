"""One's own question stands on the page at once, before the server has seen it."""

from playwright.sync_api import expect

from tests.page.board import Board


def test_own_question_and_waiting_lanes_appear_within_a_tenth_of_a_second(board: Board) -> None:
    board.accepts = False
    board.open()
    board.page.get_by_label("Message", exact=True).fill("What is a switchboard?")
    elapsed_ms = board.page.evaluate(
        """() => {
            const began = performance.now();
            document.getElementById("composer").requestSubmit();
            return document.querySelectorAll(".turn .lane[data-state=waiting]").length === 2
                && document.querySelector(".ask").textContent === "What is a switchboard?"
                ? performance.now() - began : Infinity;
        }"""
    )
    assert elapsed_ms < 100


def test_acceptance_gives_the_chat_its_address_and_title(board: Board) -> None:
    board.open()
    board.ask("What is a switchboard?")
    conversation_id = board.sent("message.send")[0]["conversation_id"]
    assert conversation_id is None
    stream = board.asked[0]
    expect(board.page).to_have_url(f"http://127.0.0.1:7199/chat/{stream.log[0]['conversation_id']}/")
    expect(board.page.locator("#chat-title")).to_have_text("What is a switchboard?")


def test_the_question_names_tenant_models_and_html(board: Board) -> None:
    board.open()
    board.ask("Hello")
    message = board.sent("message.send")[0]
    assert message["tenant_id"] == board.page.evaluate("document.body.dataset.tenantId")
    assert message["models"] == ["swift", "steady"]
    assert message["render"] == "html"
    assert len(message["client_id"]) == 36
