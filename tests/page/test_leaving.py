"""Signing out takes along what the browser holds of a person, and leaves the look of the page alone."""

from tests.page.board import Board

KEPT = "Object.entries(localStorage).filter(([name]) => name.startsWith('switchboard:')).map(([name]) => name)"


def test_signing_out_takes_drafts_along(board: Board) -> None:
    board.open()
    board.page.get_by_role("button", name="Alice").click()
    board.page.get_by_text("Dark", exact=True).click()
    board.page.keyboard.press("Escape")
    board.page.locator("#message").fill("Nobody's business")
    board.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    assert len(board.page.evaluate(KEPT)) > 1
    board.page.get_by_role("button", name="Alice").click()
    board.page.evaluate(
        "document.querySelector('form[data-leaves]').addEventListener('submit', (e) => e.preventDefault())"
    )
    board.page.get_by_role("button", name="Sign out").click()
    board.page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    assert board.page.evaluate(KEPT) == ["switchboard:theme"]
