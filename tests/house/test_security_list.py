"""docs/security.md claims nothing that no test proves."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
LINES = re.findall(r"^\| (V\d+\.\d+) \| .+ \| (.+) \|$", PAGE, flags=re.MULTILINE)


def test_every_named_test_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 30
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).exists() or not re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.M)
    ]
    assert missing == []


def test_every_line_names_its_test_or_says_that_it_has_none() -> None:
    assert len(LINES) == len(re.findall(r"^\| V\d", PAGE, flags=re.MULTILINE)) > 40
    honest = re.compile(r"`tests/[\w/]+\.py::\w+`|not proven.*|not applicable, because .+")
    assert [line for line in LINES if not honest.fullmatch(line[1])] == []


def test_the_policy_for_reports_links_it() -> None:
    assert "(docs/security.md)" in (ROOT / "SECURITY.md").read_text()
