"""Hostile sizes: never an exception, never unbounded time, always something to read."""

import time

import pytest

from apps.markdown import BlockStream, document, render
from tests.markdown.streams import events_of, html_of

CHARS = 200_000  # five times as many: tests/verify/test_long_texts.py


def long_texts(chars: int) -> dict[str, str]:
    """Texts whose size alone is hostile."""
    return {
        "one long line": "The quick brown fox. " * (chars // 21),
        "many lines": ("The quick **brown** fox.\n" * 5 + "\n") * (chars // 126),
        "blank lines": "\n" * chars,
        "one fence": "```py\n" + "x = 1\n" * (chars // 6) + "```\n",
    }


TEXTS = {
    **long_texts(CHARS),
    "brackets": "[" * 200_000,
    "bracket pairs": "[](" * 6_000,
    "picture openers": "![" * 6_000,
    "backticks": "`" * 10_000,
    "backticks of every length": " ".join("`" * length for length in range(1, 300)),
    "stars": "*a " * 6_000,
    "nested emphasis": "*" * 10_000 + "a" + "*" * 10_000,
    "nested quotes": ">" * 100_000 + "a",
    "nested lists": "- " * 10_000 + "a",
    "indented lists": "".join("  " * depth + "- a\n" for depth in range(100)),
    "lazy lines": "> a\n" + "b\n" * 5_000,
    "unfinished definition": "[a]: https://x.y\n'" + "tit\n" * 3_000,
    "schemes": "http:" * 9_000,
    "link brackets": "https://a" + ")" * 40_000,
    "dollars": "$a " * 5_000 + "$" * 5_000,
    "formula openers": "\\(" * 8_000,
    "deep formula": "$" + "x^{" * 900 + "}" * 900 + "$",
    "wide table": "|a" * 60 + "|\n" + "|-" * 60 + "|\n" + "|\n" * 200,
    "table of bars": "|" * 50_000 + "\n" + "|-" * 25_000 + "\n",
    "NUL": "\0" * 50_000,
    "half surrogates": "\ud800a\udc00" * 20_000,
}


@pytest.mark.parametrize("name", TEXTS)
def test_size_is_survived_in_bounded_time(name: str) -> None:
    survives(TEXTS[name])


def survives(text: str) -> None:
    """Whole and in two thousand pieces, and to the same end."""
    began = time.process_time()
    html = render(text)
    step = max(4, len(text) // 2_000)
    streamed = html_of(events_of(text[start : start + step] for start in range(0, len(text), step)))
    # Seconds of CPU, measured coverage included. Each takes about one without it; quadratic ones would take hours.
    assert time.process_time() - began < 60
    assert streamed == html
    html.encode()


def test_text_beyond_the_limit_is_shown_as_it_is() -> None:
    text = ("a" * 99 + "\n") * (document.MAX_MARKDOWN_CHARS // 100) + "b\n\n# c <b>\n"
    html = render(text)
    assert html.endswith('aaa\nb</p>\n<pre class="plain" tabindex="0"># c &lt;b&gt;\n</pre>')
    assert html_of(events_of([text[:400_001], text[400_001:400_004], text[400_004:]])) == html


def test_what_is_nested_too_deeply_is_shown_as_it_is() -> None:
    text = "> " * 60 + "a"
    assert render(text) == f'<pre class="plain" tabindex="0">{"&gt; " * 60}a</pre>'


def test_nul_and_half_surrogates_are_replaced() -> None:
    assert render("a\0b\ud83dc") == "<p>a\ufffdb\ufffdc</p>"


def test_a_renderer_that_fails_shows_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, language: str) -> str:
        raise RecursionError(source)

    monkeypatch.setattr("apps.markdown.highlighting.highlight", fail)
    text = "a\n\n```\n<b>\n```\n\nc\n"
    html = '<p>a</p>\n<pre class="plain" tabindex="0">```\n&lt;b&gt;\n```</pre>\n<p>c</p>'
    assert render(text) == html
    assert html_of(events_of(text)) == html


def test_a_parser_that_fails_shows_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr("apps.markdown.grammar.parse_blocks", fail)
    html = '<pre class="plain" tabindex="0"># a\n\nb</pre>'
    assert render("# a\n\nb") == html
    assert html_of(events_of("# a\n\nb")) == html


def test_a_stream_of_a_thousand_lines_costs_little_besides_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.markdown.rendering.render_block", lambda block, source, references: "")
    text = ("Some words in a paragraph that goes on.\n\n- item one\n- item two\n\n```py\nx = 1\ny = 2\n```\n" * 110)[
        :10_000
    ]
    began = time.process_time()
    stream = BlockStream()
    for start in range(0, len(text), 4):
        stream.feed(text[start : start + 4])
    stream.finish()
    assert time.process_time() - began < 5  # seconds of CPU; about 0.03, and minutes if it were quadratic
