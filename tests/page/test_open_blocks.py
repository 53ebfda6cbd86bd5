"""A block that is still growing stands in its final frame, and nothing of its markup flickers by."""

from playwright.sync_api import expect

from tests.page.board import COMPLETED, Board

COPIED = "navigator.clipboard.readText()"


def test_a_code_block_looks_like_code_from_its_first_line(board: Board) -> None:
    board.open()
    stream, _other = board.ask("Some code")
    board.write(stream, "```python\nprint(1)\n")
    lane = board.page.locator(".turn .lane").first
    expect(lane.locator("figure.code .code-lang")).to_have_text("Python")
    expect(lane.locator("figure.code code")).to_have_text("print(1)")


def test_the_closing_fence_is_never_seen(board: Board) -> None:
    board.open()
    stream, _other = board.ask("Some code")
    board.write(stream, "```python\nprint(1)\n")
    seen = []
    for piece in ("`", "`", "`", "\n", "\nAfterwards"):
        board.write(stream, piece)
        seen.append(board.page.locator(".turn .lane").first.locator(".prose").inner_text())
    assert not any("`" in text for text in seen)


def test_a_closed_code_block_can_be_copied(board: Board) -> None:
    board.open()
    stream, _other = board.ask("Some code")
    board.write(stream, "```python\nprint(1)\nprint(2)\n```\n\nThat is all.")
    board.tell(*stream.write("message.completed", **COMPLETED))
    lane = board.page.locator(".turn .lane").first
    lane.get_by_role("button", name="Copy the Python code").click()
    board.page.wait_for_function(f"async () => await {COPIED} === 'print(1)\\nprint(2)'")
    lane.get_by_role("button", name="Copy the answer").click()
    expect(board.page.locator("#announcer")).to_contain_text("Copied")
    board.page.wait_for_function(f"async () => (await {COPIED}).startsWith('```python\\nprint(1)')")


def test_reasoning_folds_away(board: Board) -> None:
    board.open()
    stream, _other = board.ask("Think")
    board.tell(*stream.write("reasoning.delta", text="Let me think."))
    fold = board.page.locator(".turn .lane").first.locator("details[data-part=reasoning]")
    expect(fold.locator("summary")).to_have_text("Thinking")
    expect(fold.locator(".fold-body")).to_be_hidden()
    board.write(stream, "The answer.")
    expect(fold.locator("summary")).to_have_text("Thought first")
    fold.locator("summary").click()
    expect(fold.locator(".fold-body")).to_have_text("Let me think.")


def test_markup_of_an_answer_cannot_run(board: Board) -> None:
    board.open()
    stream, _other = board.ask("Attack")
    board.write(stream, "<img src=x onerror=\"document.title='owned'\"> <script>document.title='owned'</script>\n\nEnd")
    board.tell(*stream.write("message.completed", **COMPLETED))
    lane = board.page.locator(".turn .lane").first
    expect(lane.locator(".prose img, .prose script")).to_have_count(0)
    expect(lane.locator(".prose")).to_contain_text("<script>")
    assert "owned" not in board.page.title()
