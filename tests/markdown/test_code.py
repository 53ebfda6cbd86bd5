"""Code frames: copying gives the source back, whatever the language, and colour never costs too much."""

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.markdown import highlighting, render


class _CodeText(HTMLParser):
    """The text content of the first `<code>`, as a browser's `textContent` gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.depth += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "code"

    def handle_data(self, data: str) -> None:
        self.text += data if self.depth else ""


def copied(html: str) -> str:
    parser = _CodeText()
    parser.feed(html)
    parser.close()
    return parser.text


SOURCES = [
    "\n\n  leading and trailing  \n\n",
    "\ttabs\tstay\t",
    "a\u00a0b\u200b\ufeffc \x0c\x0b\u2028d",
    "\ufeffmark",
    "<script>&amp;</script>\n'\"`~\\",
    "/* open\n\"unclosed\n'''",
    "def f(x: int) -> str:\n    return f'{x!r}'\n",
]


@pytest.mark.parametrize("language", ["", "nonsense", *highlighting.languages()])
def test_copying_gives_the_source(language: str) -> None:
    for source in SOURCES:
        assert copied(render(f"````{language}\n{source}\n````")) == source


@given(
    st.text(alphabet=st.characters(exclude_characters="\r\0`", exclude_categories=["Cs"]), max_size=80),
    st.sampled_from(highlighting.languages()),
)
@settings(deadline=None, max_examples=150)
def test_copying_gives_any_source(source: str, language: str) -> None:
    assert copied(render(f"```{language}\n{source}\n```")) == source


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("", ("", "Text")),
        ("py", ("python", "Python")),
        ('TS title="a.ts"', ("typescript", "TypeScript")),
        ("{.rust}", ("rust", "Rust")),
        ("c++", ("cpp", "C++")),
        ("Brainfuck", ("brainfuck", "Brainfuck")),
        ('"><img src=x>', ("", "Text")),
    ],
)
def test_language_names(info: str, expected: tuple[str, str]) -> None:
    assert highlighting.language_of(info) == expected


def test_long_code_is_shown_without_colour() -> None:
    short, long = "x = 1\n" * 100, "x = 1\n" * 4000
    assert '<span class="mi">' in render(f"```py\n{short}```")
    assert "<span class" not in highlighting.highlight(long, "python")
    assert copied(render(f"```py\n{long}```")) == long.removesuffix("\n")


@pytest.mark.parametrize(("language", "unit"), [("csharp", "a\n"), ("c", "\n"), ("make", "a"), ("java", "a b ")])
def test_stretches_that_lexers_choke_on_have_no_colour(language: str, unit: str) -> None:
    source = unit * (18_000 // len(unit))
    began = time.process_time()
    assert highlighting.highlight(source, language) == source
    assert time.process_time() - began < 10  # seconds of CPU; a minute with the lexer
