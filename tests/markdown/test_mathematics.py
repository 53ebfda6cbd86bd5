"""Formulas in every notation models use; what is no formula, or broken, shows its source."""

import pytest

from apps.markdown import render

X2 = "<mrow><msup><mi>x</mi><mn>2</mn></msup></mrow>"
INLINE = f'<math display="inline">{X2}</math>'
BLOCK = (
    f'<div class="math-block" tabindex="0" role="group" aria-label="Formula"><math display="block">{X2}</math></div>'
)


@pytest.mark.parametrize("text", ["$x^2$", "\\(x^2\\)", "\\( x^2 \\)"])
def test_inline_formulas(text: str) -> None:
    assert render(f"a {text}, b") == f"<p>a {INLINE}, b</p>"


@pytest.mark.parametrize(
    "text",
    ["$$x^2$$", "$$ x^2 $$", "$$\nx^2\n$$", "$$x^2\n$$", "\\[x^2\\]", "\\[\nx^2\n\\]", "\\[\n\nx^2\n\n\\]"],
)
def test_formula_blocks_also_right_below_text(text: str) -> None:
    assert render(text) == BLOCK
    assert render(f"a:\n{text}\nb") == f"<p>a:</p>\n{BLOCK}\n<p>b</p>"


def test_display_formulas_inside_a_line() -> None:
    assert render("$$x^2$$ is it") == f'<p><math display="block">{X2}</math> is it</p>'


def test_formulas_in_lists_tables_and_quotes() -> None:
    assert render("- a\n  $$\n  x^2\n  $$") == f"<ul>\n<li>a{BLOCK}\n</li>\n</ul>"
    assert render("> \\[\n> x^2\n> \\]") == f"<blockquote>\n{BLOCK}\n</blockquote>"
    assert f"<td>{INLINE}</td>" in render("| a |\n|---|\n| $x^2$ |")


@pytest.mark.parametrize("text", ["It costs $5 and $10.", "$5-$10", "a $ b $ c", "\\$x\\$", "`$x$`", "$$$", "$x"])
def test_money_is_no_mathematics(text: str) -> None:
    assert "<math" not in render(text)
    assert "math-source" not in render(text)


def test_a_formula_first_and_a_digit_last() -> None:
    assert render("$x^2$ costs 5") == f"<p>{INLINE} costs 5</p>"


BROKEN = [
    r"\frac{a}{b",
    r"\frac{a}",
    "x^",
    r"\sqrt",
    r"\left(a",
    r"\begin{matrix}a",
    r"\begin{nonsense}a\end{nonsense}",
    "a}b{",
    r"\def\a{\a\a}\a",
    r"\newcommand{\a}{b}\a",
    "{" * 1500 + "}" * 1500,
]


@pytest.mark.parametrize("source", BROKEN)
def test_a_broken_formula_shows_its_source(source: str) -> None:
    shown = f'<code class="math-source math-broken">{source}</code>'
    assert render(f"a ${source}$ b") == f"<p>a {shown} b</p>"
    assert shown in render(f"$$\n{source}\n$$")


def test_a_formula_that_is_too_long_shows_its_source() -> None:
    source = "x+" * 2500 + "x"
    assert f'<code class="math-source math-broken">{source}</code>' in render(f"$$\n{source}\n$$")


def test_a_formula_cut_off_shows_its_source() -> None:
    assert '<code class="math-source math-broken">\\frac{a}</code>' in render("$$\n\\frac{a}")


@pytest.mark.parametrize("name", ["aligned", "align", "align*", "gather", "split", "cases", "pmatrix", "eqnarray"])
def test_environments_keep_their_rows(name: str) -> None:
    html = render(f"$$\n\\begin{{{name}}}\na &= b \\\\\nc &= d\n\\end{{{name}}}\n$$")
    assert html.count("<mtr>") == 2
    assert "&amp;" not in html


def test_signs_that_are_markup_elsewhere() -> None:
    html = render(r"$a < b \text{ <img src=x> &lt;b&gt; }$")
    assert "<mo>&lt;</mo>" in html
    assert "<img" not in html and "<b>" not in html
