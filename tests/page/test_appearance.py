"""The theme applies at once and before the first paint of the next page."""

from playwright.sync_api import expect

from tests.page.board import Board


def test_the_theme_is_kept(board: Board) -> None:
    board.open()
    board.page.get_by_role("button", name="Alice").click()
    board.page.get_by_text("Dark", exact=True).click()
    expect(board.page.locator("html")).to_have_attribute("data-theme", "dark")
    ground = board.page.evaluate("getComputedStyle(document.body).backgroundColor")
    board.page.add_init_script(
        "addEventListener('DOMContentLoaded', () => (window.early = document.documentElement.dataset.theme))"
    )
    board.open()
    assert board.page.evaluate("window.early") == "dark"
    assert board.page.evaluate("getComputedStyle(document.body).backgroundColor") == ground


def test_nothing_of_the_page_is_inline_and_nothing_comes_from_elsewhere(board: Board) -> None:
    hosts: set[str] = set()
    board.page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    board.open()
    board.ask("Hello")
    assert hosts == {"127.0.0.1:7199"}
    assert board.page.locator("[style], style, script:not([src])").count() == 0


def test_no_page_is_wider_than_a_phone(board: Board) -> None:
    board.page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/chat/", "/settings/keys/"):
        board.opens_sockets = path == "/chat/"
        board.open(path)
        assert board.page.evaluate(
            "[...document.querySelectorAll('main *')].every((one) =>"
            " one.closest('.lineup, .table, .settings-nav, pre, code, .pop')"
            " || one.getBoundingClientRect().right <= 391)"
        )
