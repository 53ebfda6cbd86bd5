"""When a block opens, as what, where its visible text starts, and when it closes."""

import pytest

from apps.markdown import BlockClosed, BlockOpened, BlockStream, render
from tests.markdown.streams import cut, events_of, html_of


def fed(*pieces: str) -> list[list[BlockOpened | BlockClosed]]:
    stream = BlockStream()
    return [stream.feed(piece) for piece in pieces]


def test_a_paragraph_opens_with_its_first_letter() -> None:
    assert fed("T") == [[BlockOpened(0, "paragraph", "", 0)]]


def test_backticks_being_typed_are_no_paragraph() -> None:
    assert fed("`", "`", "`", "py", "thon", "\n") == [[], [], [], [], [], [BlockOpened(0, "fence", "Python", 10)]]


def test_inline_code_is_a_paragraph_once_that_is_sure() -> None:
    assert fed("`", "x", "`") == [[], [BlockOpened(0, "paragraph", "", 0)], []]


def test_a_fence_ends_the_paragraph_above_at_its_third_backtick() -> None:
    events = fed("Code:\n", "``", "`", "js", "\n", "x\n", "```", "\n")
    assert events[1] == []
    assert events[2] == [BlockClosed(0, "<p>Code:</p>")]
    assert events[4] == [BlockOpened(1, "fence", "JavaScript", 12)]
    assert [type(event) for batch in events[5:] for event in batch] == [BlockClosed]


def test_nothing_inside_a_fence_opens_or_closes() -> None:
    assert fed("```\n", "# a\n", "\n", "- b\n", "~~~\n", "``\n", "    ```\n")[1:] == [[], [], [], [], [], []]


def test_a_paragraph_closes_at_the_blank_line_below_it() -> None:
    assert fed("a\n", "\n")[1] == [BlockClosed(0, "<p>a</p>")]


def test_a_heading_closes_at_its_line_end() -> None:
    assert fed("## He", "re\n") == [[BlockOpened(0, "heading", "", 3)], [BlockClosed(0, "<h4>Here</h4>")]]


def test_an_underline_makes_the_open_paragraph_a_heading() -> None:
    assert fed("Title\n", "--", "-", "\n")[1:] == [[], [], [BlockClosed(0, "<h4>Title</h4>")]]


def test_a_list_stays_open_over_blank_lines() -> None:
    events = fed("- a\n", "\n", "- b\n", "\n", "  more\n", "\n", "E")
    assert events[0] == [BlockOpened(0, "list", "", 0)]
    assert events[1:6] == [[], [], [], [], []]
    closed, opened = events[6]
    assert closed == BlockClosed(0, "<ul>\n<li><p>a</p>\n</li>\n<li><p>b</p>\n<p>more</p>\n</li>\n</ul>")
    assert opened == BlockOpened(1, "paragraph", "", 18)


def test_a_lazy_line_stays_in_its_quote() -> None:
    assert fed("> a\n", "lazy\n", "\n") == [
        [BlockOpened(0, "quote", "", 2)],
        [],
        [BlockClosed(0, "<blockquote>\n<p>a\nlazy</p>\n</blockquote>")],
    ]


def test_a_table_opens_as_a_table() -> None:
    events = fed("| a |", " b |\n", "|--", "|--|\n", "| 1 |", " 2 |\n")
    assert events == [[], [], [], [BlockOpened(0, "table", "", 0)], [], []]


def test_a_line_of_bars_without_a_table_is_a_paragraph() -> None:
    assert fed("| a |\n", "b")[1] == [BlockOpened(0, "paragraph", "", 0)]


def test_a_formula_opens_on_its_own_line_and_closes_with_it() -> None:
    events = fed("\\[", "\n", "x\n", "\\]\n")
    assert events[:3] == [[], [BlockOpened(0, "math", "", 3)], []]
    assert [type(event) for event in events[3]] == [BlockClosed]


def test_dollars_that_open_no_formula_block_are_a_paragraph() -> None:
    assert fed("$$", "x$$ is inline\n") == [[], [BlockOpened(0, "paragraph", "", 0)]]


def test_a_rule_is_told_from_emphasis_and_items() -> None:
    assert fed("*", "*", "*\n")[2][0] == BlockOpened(0, "rule", "", 0)
    assert fed("*", "*b") == [[], [BlockOpened(0, "paragraph", "", 0)]]
    assert fed("*", " ", "b") == [[], [], [BlockOpened(0, "list", "", 0)]]


@pytest.mark.parametrize("first", ["😀\n\n", "é\u2028\n\n\n"])
def test_offsets_are_utf16_code_units_of_the_raw_text(first: str) -> None:
    units = len(first.encode("utf-16-le")) // 2
    assert fed(first, "# é")[1] == [BlockOpened(1, "heading", "", units + 2)]


def test_a_line_end_cut_in_two_is_one_line_end() -> None:
    events = fed("a\r", "\n\r", "\n", "b")
    assert events[-1] == [BlockOpened(1, "paragraph", "", 5)]


def test_a_definition_is_no_block() -> None:
    assert fed("[a]: https://x.y\n", "\n", "[a]\n", "\n")[-1] == [
        BlockClosed(0, '<p><a href="https://x.y" target="_blank" rel="noopener noreferrer nofollow">a</a></p>')
    ]


def test_a_paragraph_that_becomes_a_definition_closes_empty() -> None:
    events = events_of(["[two\n", "lines]:\n", "https://x.y\n", "\nEnd\n"])
    assert events[:2] == [BlockOpened(0, "paragraph", "", 0), BlockClosed(0, "")]
    assert html_of(events) == "<p>End</p>"


def test_a_definition_below_its_use_counts_only_for_the_whole() -> None:
    text = "See [a].\n\n[a]: https://x.y\n\nAnd [a].\n"
    link = '<a href="https://x.y" target="_blank" rel="noopener noreferrer nofollow">a</a>'
    assert html_of(events_of(cut(text, 4))) == f"<p>See [a].</p>\n<p>And {link}.</p>"
    assert render(text) == f"<p>See {link}.</p>\n<p>And {link}.</p>"


def test_an_answer_cut_off_in_a_fence_keeps_its_code() -> None:
    stream = BlockStream()
    stream.feed("```\na\nb")
    (closed,) = stream.finish()
    assert isinstance(closed, BlockClosed)
    assert "<code>a\nb</code>" in closed.html
    assert stream.finish() == []


def test_silence_is_no_block() -> None:
    assert events_of(["", "\n", "  \n", "\r"]) == []


def test_a_long_table_is_heavy_and_a_long_fence_only_where_it_may_end() -> None:
    table = BlockStream()
    assert not table.is_heavy("| a")
    table.feed("| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 200)
    assert table.is_heavy("| 3 | 4 |\n")
    assert table.is_heavy(None)
    code = BlockStream()
    code.feed("```python\n" + "answer = 42\n" * 200)
    assert not code.is_heavy("answer = 43\n")
    assert code.is_heavy("```\n")
    assert code.is_heavy(None)
