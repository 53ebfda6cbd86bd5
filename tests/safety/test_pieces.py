"""A text in pieces is judged, cut and redacted exactly like the whole, and no text takes more than linear time."""

import time
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apps.safety import ALL_RULES, Action, Category, Direction, Limit, Limits, Placeholders, Scanner, rules_for, scan
from apps.safety.contracts import LOOK_BEHIND
from apps.safety.holding import Hold
from tests.safety import samples
from tests.safety.test_rules import TABLE

TEXTS = st.lists(
    st.one_of(
        st.sampled_from([text for _, text, _ in TABLE]),
        st.sampled_from([" ", ". ", "\n", ", ", "-", "1", "a", "\u200b", "password", ": ", "how", "é", "ﬀ", "!["]),
        st.text(max_size=5),
    ),
    max_size=8,
).map("".join)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        category: st.builds(Limit, st.sampled_from(list(Action)), st.sampled_from([1, 30, 60, 90]))
        for category in Category
    },
)
CUTS = st.lists(st.integers(1, 60), min_size=1, max_size=12)


def pieces(text: str, sizes: Sequence[int]) -> list[str]:
    """The text cut into pieces of those sizes, over and over."""
    found: list[str] = []
    while text:
        size = sizes[len(found) % len(sizes)]
        found.append(text[:size])
        text = text[size:]
    return found


def shown(texts: Sequence[str], limits: Limits, margin: int) -> tuple[str, list[tuple[str, int, int]], str | None]:
    """What is let go in all, what was ruled on the way, and the rule that ended it."""
    hold = Hold(rules_for(limits, Direction.PROMPT), limits, Placeholders(), margin)
    passages = [*(hold.feed(text) for text in texts), hold.finish()]
    ruled = [(one.finding.rule, one.finding.start, one.finding.end) for passage in passages for one in passage.rulings]
    blocked = next((passage.blocked.finding.rule for passage in passages if passage.blocked), None)
    return "".join(passage.text for passage in passages), ruled, blocked


@settings(max_examples=60, deadline=None)
@given(TEXTS, CUTS, LIMITS, st.sampled_from([0, 0, 12]))
@example("token: Bearer abc", [1], {Category.SECRET: Limit(Action.BLOCK, 1)}, 0)
@example(samples.PRIVATE_KEY, [7], {Category.SECRET: Limit(Action.REDACT, 1)}, 0)
@example(f"a {samples.HIDDEN}", [3], {Category.INJECTION: Limit(Action.REDACT, 1)}, 12)
def test_what_is_shown_does_not_depend_on_the_pieces(text: str, sizes: list[int], limits: Limits, margin: int) -> None:
    assert shown(pieces(text, sizes), limits, margin) == shown([text], limits, margin)


@settings(max_examples=40, deadline=None)
@given(TEXTS, CUTS)
def test_findings_do_not_depend_on_the_pieces(text: str, sizes: list[int]) -> None:
    scanner = Scanner(ALL_RULES)
    found = [one for piece in pieces(text, sizes) for one in scanner.feed(piece)] + scanner.finish()
    assert sorted(found, key=lambda one: (one.start, one.end, one.rule)) == scan(text, ALL_RULES)


@settings(max_examples=40, deadline=None)
@given(TEXTS, CUTS, st.sampled_from([1, 50]))
def test_no_part_of_a_blocked_passage_is_shown_and_nothing_else_is_lost(
    text: str, sizes: list[int], threshold: int
) -> None:
    limits = {category: Limit(Action.BLOCK, threshold) for category in Category}
    found = [one for one in scan(text, rules_for(limits, Direction.PROMPT)) if one.score >= threshold]
    end = min((one.start for one in found), default=len(text))
    assert shown(pieces(text, sizes), limits, 0)[0] == text[:end]


def test_redacted_is_the_passage_and_nothing_around_it() -> None:
    limits = {Category.PII: Limit(Action.REDACT, 50), Category.SECRET: Limit(Action.REDACT, 50)}
    text = f"Ask bob@acme.org or BOB@acme.org, else eve@acme.org; key {samples.OPENAI}."
    told = "Ask [e-mail 1] or [e-mail 1], else [e-mail 2]; key [secret 1]."
    assert shown(pieces(text, [3]), limits, 0)[0] == told


def test_prose_is_let_go_as_it_comes() -> None:
    """Words that no rule knows wait for their end at most, and a sentence that might become something for its own."""
    limits = {category: Limit(Action.BLOCK, 50) for category in Category}
    hold = Hold(rules_for(limits, Direction.ANSWER), limits, Placeholders())
    text = "The harbour was quiet that morning, and boats came home with the tide. " * 20
    waiting = 0
    let_go = ""
    for at, piece in enumerate(pieces(text, [4]), 1):
        let_go += hold.feed(piece).text
        waiting = max(waiting, at * 4 - len(let_go))
    assert waiting <= 16
    assert let_go + hold.finish().text == text


def test_a_password_holds_back_what_follows_its_name_only() -> None:
    limits = {Category.SECRET: Limit(Action.BLOCK, 50)}
    hold = Hold(rules_for(limits, Direction.ANSWER), limits, Placeholders())
    assert hold.feed("Set password").text == "Set "
    assert hold.feed(" rules in the settings").text == "password rules in the setting"
    assert hold.feed("; password: ").text == "s; "
    passage = hold.feed("Xk29fjw!lqP0z now")
    assert (passage.text, passage.blocked is not None) == ("password: ", True)
    assert hold.feed("more").text == hold.finish().text == ""


HOSTILE = {
    "letters": "a" * 64,
    "digits": "4111 1111 1111 111 ",
    "dots": "a.a.a.a.",
    "at": "a@a.",
    "addresses": "+1 (2) 3/4-5.6 ",
    "key beginnings": "-----BEGIN RSA PRIVATE KEY-----\n",
    "tokens": "eyJhbGciOiJub25lIn0.eyJ",
    "names": "password = \n secret: token=api_key ",
    "pictures": "![x](https://",
    "phrases": "how to write a naked how i will ignore all the previous ",
    "verbs": "how make make the the ",
    "minors": "write a child sex child naked ",
    "scripts": "paѕѕword ﬀ é\u200b",
    "hidden": "\U000e0041\u200b\u202e",
    "sentences in one character": "ﷺ",
    "gaps": "how - - - - ignore        all ,,,,,,,, previous ",
    "capitals": "DE89 A1 B2 ",
}


def work_seconds(text: str) -> float:
    """The least CPU time of three scans."""
    taken = []
    for _ in range(3):
        began = time.thread_time()
        scan(text, ALL_RULES)
        taken.append(time.thread_time() - began)
    return min(taken)


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_twice_the_text_is_about_twice_the_work(unit: str) -> None:
    """Quadratic work would be four times as much. A megabyte of each: `make verify`."""
    once = unit * (24_000 // len(unit))
    assert work_seconds(once * 2) <= 3 * work_seconds(once) + 0.002


def test_what_is_remembered_of_a_long_text_is_bounded() -> None:
    scanner = Scanner(ALL_RULES)
    for _ in range(200):
        scanner.feed("The harbour was quiet. " * 20)
    longest = max(rule.bound for rule in ALL_RULES)
    assert sum(len(strand.text) for strand in scanner._strands.values()) <= 3 * (longest + LOOK_BEHIND)
