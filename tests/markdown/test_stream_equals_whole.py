"""However an answer is cut into pieces, its blocks' HTML is the HTML of the whole."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.markdown import render
from tests.markdown import answers
from tests.markdown.streams import cut, events_of, html_of

# fmt: off
FRAGMENTS = [
    "a", "b c", "Text here.", "1 apple", "é😀", "-", "---", "***", "===", "=", "#", "## x", ">", "`", "``", "```",
    "~~", "~~~", "$", "$$", "\\[", "\\]", "\\(", "\\)", "\\", "[", "]", "(", ")", "!", "/u", "'t", '"', "<b>", "<!--",
    "&amp;", ":", "*b*", "**", "_", "- [ ] t", "- [x] u", "https://a.b/c", "[a]", "[a][b]", "![i](https://h.i/j)",
    " ", "  ", "    ", "- ", "* ", "+ ", "1. ", "2) ", "10. ", "# ", "> ", "\t",
    "|", "| a | b |\n", "|--|--|\n", "--|--\n", "a | b\n", "```py\n", "$$\n", "\\[\n", "text\n", "\n- a\n  - b\n",
    "\r\n", "\r", "\0", "\ud83d", "\x0c", "\u2028", *["\n", "\n\n"] * 6,
]
# fmt: on
DEFINITIONS = [
    "[a]: https://x.y\n",
    "[c]: /no\n",  # is none: nobody may be led to this host. Nothing defines it, or it would be a use above
    "[b]: https://z.z 'title'\n",
    '[a]:\nhttps://x.y\n"two\nlines"\n',
    "\n",
]

bodies = st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)
# A definition below its use is the one documented deviation, so definitions come first here.
texts = st.builds(
    lambda definitions, body: "".join(definitions) + body.replace("]:", "]"),
    st.lists(st.sampled_from(DEFINITIONS), max_size=3),
    bodies,
)
cuts = st.lists(st.integers(min_value=0, max_value=200), max_size=12)
thorough = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pieces_at(text: str, positions: list[int]) -> list[str]:
    bounds = [0, *sorted(min(position, len(text)) for position in positions), len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


@given(texts, cuts)
@example("a\n10. -a | b\n--|--\n", [11])  # "10." interrupts no paragraph, a table does
@example("[a]: https://x.y\n     ( b\n===\nc )", [20])  # a title that looks like code and then like a heading
@example('- [a]: https://x.y\n"t\n- b"', [21])  # a title that continues a list item lazily
@settings(thorough, max_examples=250)
def test_any_cut_gives_the_whole(text: str, positions: list[int]) -> None:
    assert html_of(events_of(pieces_at(text, positions))) == render(text)


@given(texts)
@settings(thorough, max_examples=250)
def test_single_characters_give_the_whole(text: str) -> None:
    assert html_of(events_of(text)) == render(text)


@given(st.text(alphabet="ab \n\t`~#>-*+|=$\\[]()!:'\"<1.", max_size=60), cuts)
@settings(thorough, max_examples=250)
def test_line_noise_gives_the_whole(text: str, positions: list[int]) -> None:
    text = text.replace("]:", "]")
    assert html_of(events_of(pieces_at(text, positions))) == render(text)


@pytest.mark.parametrize("text", answers.ALL)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 50, 100_000])
def test_real_answers(text: str, size: int) -> None:
    assert html_of(events_of(cut(text, size))) == render(text)


@pytest.mark.parametrize("size", [3, 4, 11])
def test_long_answers_whose_tail_is_not_parsed_for_every_line(size: int) -> None:
    text = "".join(f"- item {number}\nlazy {number}\n" for number in range(150)) + "\n```\nx\n```\n"
    text += "> q\n" + "b\n" * 300 + "\n" + "| a | b |\n|---|---|\n" + "| c |\nd\n" * 150 + "\n1. x\n" * 50
    assert html_of(events_of(cut(text, size))) == render(text)
