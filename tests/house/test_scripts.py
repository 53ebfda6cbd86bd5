"""Scripts put text on the page as text; HTML comes from the server's allow-list, and no text becomes a script."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {path.name: path.read_text() for path in sorted((ROOT / "static/js").glob("*.js"))}
# Rendered by `apps/markdown`, or a fragment of a page that Django's templates escaped.
TAKES_HTML = {("blocks.js", "block.innerHTML = html"), ("blocks.js", "this.prose.innerHTML = html")}
TAKES_HTML |= {("request.js", "template.innerHTML = await response.text()")}


def found(pattern: str) -> set[tuple[str, str]]:
    return {
        (name, line.strip().rstrip(";"))
        for name, text in SCRIPTS.items()
        for line in text.splitlines()
        if re.search(pattern, line) and not line.lstrip().startswith(("/*", "*", "//"))
    }


def test_html_is_taken_in_the_named_places_alone() -> None:
    makes_html = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|parseFromString|srcdoc"
    )
    assert found(makes_html) == TAKES_HTML


def test_no_text_becomes_a_script() -> None:
    assert found(r"\beval\(|new Function|setTimeout\(\s*['\"`]|javascript:|import\(") == set()


def test_no_other_window_is_listened_to() -> None:
    assert found(r"postMessage|[\"']message[\"']\s*,|(?<!socket\.)onmessage|document\.domain|window\.opener") == set()


def test_no_prototype_can_be_written_to() -> None:
    """Only the attributes of elements are assigned by names, and those are our own."""
    writing = r"__proto__|\bprototype\b|setPrototypeOf|Object\.assign\((?!\w+\.dataset, \{)|for \(const \w+ in "
    assert found(writing) == set()


def test_templates_mark_nothing_as_safe() -> None:
    marked = {
        (str(path.relative_to(ROOT / "templates")), tag)
        for path in (ROOT / "templates").rglob("*.html")
        for tag in re.findall(r"\|\s*safe\b|\{%\s*autoescape off|\|\s*safeseq", path.read_text())
    }
    assert marked == SAFE_PLACES


# (template, tag) where HTML of the server's own allow-list is shown.
SAFE_PLACES: set[tuple[str, str]] = set()


def test_nothing_old_is_embedded() -> None:
    text = "".join(path.read_text() for path in (ROOT / "templates").rglob("*.html")) + "".join(SCRIPTS.values())
    assert not re.search(r"<(object|embed|applet|iframe|frame|marquee)\b|\.swf|ActiveXObject", text, re.I)
