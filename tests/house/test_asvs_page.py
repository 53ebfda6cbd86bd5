"""docs/asvs.md lists every requirement of OWASP ASVS 5.0.0, levels 1 and 2, once, and claims nothing without a test."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/asvs.md").read_text()
ROWS = re.findall(r"^\| (\d+\.\d+\.\d+) \| ([12]) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, flags=re.MULTILINE)
STATUSES = {"holds", "partly", "not", "not applicable"}

# The standard's own list: each section, and the levels of its requirements in order (3 is not ours).
LEVELS = {
    "1.1": "22",
    "1.2": "1111122223",
    "1.3": "112222222223",
    "1.4": "222",
    "1.5": "123",
    "2.1": "122",
    "2.2": "112",
    "2.3": "12223",
    "2.4": "23",
    "3.1": "3",
    "3.2": "113",
    "3.3": "12223",
    "3.4": "11222233",
    "3.5": "11122333",
    "3.6": "3",
    "3.7": "22333",
    "4.1": "12233",
    "4.2": "23333",
    "4.3": "22",
    "4.4": "1222",
    "5.1": "2",
    "5.2": "112333",
    "5.3": "113",
    "5.4": "222",
    "6.1": "122",
    "6.2": "111111112222",
    "6.3": "11223333",
    "6.4": "112233",
    "6.5": "22222333",
    "6.6": "2223",
    "6.7": "33",
    "6.8": "2222",
    "7.1": "222",
    "7.2": "1111",
    "7.3": "22",
    "7.4": "11222",
    "7.5": "223",
    "7.6": "22",
    "8.1": "1233",
    "8.2": "1123",
    "8.3": "133",
    "8.4": "23",
    "9.1": "111",
    "9.2": "1222",
    "10.1": "22",
    "10.2": "223",
    "10.3": "22223",
    "10.4": "1111122222233333",
    "10.5": "22222",
    "10.6": "22",
    "10.7": "222",
    "11.1": "2233",
    "11.2": "22233",
    "11.3": "11233",
    "11.4": "1222",
    "11.5": "23",
    "11.6": "23",
    "11.7": "33",
    "12.1": "12233",
    "12.2": "11",
    "12.3": "22223",
    "13.1": "2333",
    "13.2": "222223",
    "13.3": "2233",
    "13.4": "1222233",
    "14.1": "22",
    "14.2": "12223333",
    "14.3": "122",
    "15.1": "12233",
    "15.2": "12233",
    "15.3": "1222222",
    "15.4": "3333",
    "16.1": "2",
    "16.2": "22222",
    "16.3": "2222",
    "16.4": "222",
    "16.5": "2223",
    "17.1": "23",
    "17.2": "22223333",
    "17.3": "22",
}
EXPECTED = {
    f"{section}.{number}": level
    for section, levels in LEVELS.items()
    for number, level in enumerate(levels, start=1)
    if level != "3"
}


@cache
def functions(path: str) -> frozenset[str]:
    """The tests of a file, by name."""
    file = ROOT / path
    if not file.exists():
        return frozenset()
    tree = ast.parse(file.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_"))


def named(cell: str) -> list[tuple[str, str]]:
    return re.findall(r"`([\w/]+\.py)::(\w+)`", cell)


def reason(cell: str) -> str:
    return re.sub(r"`[\w/]+\.py::\w+`|<br>", "", cell).strip()


def test_every_requirement_is_listed_once_with_its_level() -> None:
    assert len(EXPECTED) == 253
    assert Counter(EXPECTED.values()) == {"1": 70, "2": 183}
    assert [number for number, times in Counter(row[0] for row in ROWS).items() if times > 1] == []
    assert {row[0]: row[1] for row in ROWS} == EXPECTED
    assert len(re.findall(r"^\| \d", PAGE, flags=re.MULTILINE)) == len(ROWS), "every row was read"
    assert [row[0] for row in ROWS if row[3] not in STATUSES] == []


def test_every_named_test_exists() -> None:
    tests = {one for row in ROWS for one in named(row[4])}
    assert len(tests) > 150
    assert [f"{path}::{name}" for path, name in sorted(tests) if name not in functions(path)] == []
    assert not any(path.startswith("tests/verify/") for path, _ in tests), "what is proven is proven by `make test`"


def test_every_test_that_the_threat_model_names_exists() -> None:
    tests = named((ROOT / "docs/security.md").read_text())
    assert len(tests) > 5
    assert [f"{path}::{name}" for path, name in tests if name not in functions(path)] == []


def test_what_is_said_to_hold_names_its_tests() -> None:
    assert [row[0] for row in ROWS if row[3] == "holds" and not named(row[4])] == []


def test_what_does_not_hold_says_why() -> None:
    assert [row[0] for row in ROWS if row[3] != "holds" and len(reason(row[4])) < 15] == []
    assert [row[0] for row in ROWS if row[3] in ("not", "not applicable") and named(row[4])] == []


def test_the_sums_are_right() -> None:
    counted = Counter((row[1], row[3]) for row in ROWS)
    for level, words in (("1", "Level 1"), ("2", "Level 2 adds")):
        (told,) = re.findall(rf"^\| {words} \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, flags=re.MULTILINE)
        each = [counted[level, status] for status in ("holds", "partly", "not", "not applicable")]
        assert [int(number) for number in told] == [sum(each), *each]


def test_security_and_safeguards_lead_here() -> None:
    assert "(asvs.md)" in (ROOT / "docs/security.md").read_text()
    assert "(asvs.md)" in (ROOT / "docs/safeguards.md").read_text()
    assert "(docs/security.md)" in (ROOT / "SECURITY.md").read_text()
