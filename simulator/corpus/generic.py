"""Cards made on the spot, for subjects that no other card knows.

They offer a method and say so: a simulated model must not pretend to facts about a subject it has never met.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from zlib import crc32

from simulator.corpus.card import Card, Table
from simulator.corpus.question import Question

_ALTERNATIVES = re.compile(r"\s*(?:,\s*(?:and |or )?|\band\b|\bor\b|\bvs\.?\b|\bversus\b|\bwith\b)\s*", re.IGNORECASE)
_PURPOSE = re.compile(r"\s+(?:for|in|as|when|at|to)\b.*$", re.IGNORECASE)
_NAME_WORD = re.compile(r"[a-z][a-z0-9]*")
_MAX_ALTERNATIVES = 4
_NOT_A_NAME = frozenset(
    "a an the in of for to that with python function code program script rust go golang typescript javascript java "  # noqa: SIM905
    "sql bash html css class method query write".split()
)
_DOUBTS = ("does it rule out", "would you miss", "breaks first", "costs more later")


_CRITERIA = (("Fits the need", 3), ("Easy to begin", 2), ("Easy to leave", 2), ("Cost", 1))
_COUNT_SQL = """
SELECT lower(trim(item)) AS NAME, count(*) AS times
FROM items
WHERE trim(item) <> ''
GROUP BY 1
ORDER BY times DESC, 1;
"""


def card_for(asked: Question) -> Card:
    """A card about whatever was asked, shaped by the intent."""
    return _BUILDERS.get(asked.intent, _explanation)(asked)


def _title(topic: str) -> str:
    return topic[:1].upper() + topic[1:]


def _identifier(topic: str) -> str:
    skipped = _NOT_A_NAME
    names = [word for word in _NAME_WORD.findall(topic.lower()) if word not in skipped]
    return "_".join(names[:3]) or "answer"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _program(asked: Question) -> Card:
    name = _identifier(asked.topic)
    return Card(
        cue="",
        title=_title(asked.topic),
        gist=f"Here is a frame for “{asked.topic}”, with a stand-in for its middle: input checked at the door, "
        "the work in one small pure function, output at the end.",
        points=(
            ("The border", "read and check input in one place, so that the middle may trust it."),
            ("The middle", "a function without surprises: same input, same output."),
            ("The end", "say what was done and what was skipped."),
        ),
        steps=(
            "Write down two examples, with their expected results.",
            "Make the first one pass in the plainest way.",
            "Make the second one pass.",
            "Only then look at speed.",
        ),
        code=_programs(name),
        pitfalls=("Empty input, one item, and the same item twice: three cases that are always forgotten.",),
        check="Turn the two examples into a test before you change anything.",
        verdict="Small, plain, tested; then clever, if it must be.",
        is_generic=True,
    )


def _programs(name: str) -> dict[str, str]:
    camel = _camel(name)
    pascal = camel[:1].upper() + camel[1:]
    return {
        "python": f'''
from collections.abc import Iterable


def {name}(items: Iterable[str]) -> dict[str, int]:
    """How often each item occurs, most frequent first."""
    counts: dict[str, int] = {{}}
    for item in items:
        key = item.strip().lower()
        if key:
            counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


assert {name}(["b", "a", "B ", ""]) == {{"b": 2, "a": 1}}
''',
        "typescript": f"""
export function {camel}(items: readonly string[]): Map<string, number> {{
  const counts = new Map<string, number>();
  for (const item of items) {{
    const key = item.trim().toLowerCase();
    if (key) counts.set(key, (counts.get(key) ?? 0) + 1);
  }}
  return new Map([...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])));
}}
""",
        "javascript": f"""
export function {camel}(items) {{
  const counts = {{}};
  for (const item of items) {{
    const key = item.trim().toLowerCase();
    if (key) counts[key] = (counts[key] ?? 0) + 1;
  }}
  return Object.entries(counts).sort((a, b) => b[1] - a[1]);
}}
""",
        "go": f"""
func {pascal}(items []string) map[string]int {{
	counts := make(map[string]int, len(items))
	for _, item := range items {{
		if key := strings.ToLower(strings.TrimSpace(item)); key != "" {{
			counts[key]++
		}}
	}}
	return counts
}}
""",
        "rust": f"""
use std::collections::BTreeMap;

pub fn {name}<'a>(items: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, usize> {{
    let mut counts = BTreeMap::new();
    for item in items {{
        let key = item.trim().to_lowercase();
        if !key.is_empty() {{
            *counts.entry(key).or_insert(0) += 1;
        }}
    }}
    counts
}}
""",
        "java": f"""
static Map<String, Long> {camel}(List<String> items) {{
    return items.stream()
        .map(item -> item.strip().toLowerCase())
        .filter(item -> !item.isEmpty())
        .collect(Collectors.groupingBy(item -> item, TreeMap::new, Collectors.counting()));
}}
""",
        "sql": _COUNT_SQL.replace("NAME", name),
        "bash": f"""
#!/usr/bin/env bash
set -euo pipefail

{name}() {{
  tr '[:upper:]' '[:lower:]' | awk 'NF' | sort | uniq -c | sort -rn
}}

{name} < "${{1:-/dev/stdin}}"
""",
        "html": f"""
<form id="{name.replace("_", "-")}" method="post">
  <label>Item <input name="item" required autocomplete="off"></label>
  <button>Add</button>
</form>
""",
        "css": f"""
.{name.replace("_", "-")} {{
  display: grid;
  gap: 0.75rem;
  max-inline-size: 60ch;
}}
""",
    }


def _alternatives(topic: str) -> tuple[str, ...]:
    parts = [_PURPOSE.sub("", part).strip(" .,:;!?") for part in _ALTERNATIVES.split(topic)]
    names = tuple(dict.fromkeys(" ".join(part.split()[-4:]) for part in parts if len(part) > 1))
    return names[:_MAX_ALTERNATIVES] if len(names) > 1 else ("the plain way", "the thorough way", "waiting")


def _comparison(asked: Question) -> Card:
    names = _alternatives(asked.topic)
    # The figures only show how such a table is read; the note under it says so.
    rows = [
        (
            f"{what} (×{weight})",
            *(str(1 + crc32(f"{what}{name}".encode()) % 5) for name in names),
        )
        for what, weight in _CRITERIA
    ]
    sums = [
        sum(int(row[c + 1]) * weight for row, (_, weight) in zip(rows, _CRITERIA, strict=True))
        for c in range(len(names))
    ]
    rows.append(("**Sum**", *(f"**{total}**" for total in sums)))
    return Card(
        cue="",
        title=_title(" or ".join(names) if len(names) == 2 else asked.topic),
        gist=f"Between {', '.join(names[:-1])} and {names[-1]}, decide by what it costs to be wrong, "
        f"then by what it costs to begin.",
        points=(
            *((name, f"what does it make easy, and what {verb}?") for name, verb in zip(names, _DOUBTS, strict=False)),
            ("The default", "whatever is there already wins a draw."),
        ),
        table=Table(("Criterion (weight)", *names), tuple(rows)),
        steps=(
            "Name the one thing that must work.",
            "Weigh the criteria before you score anything.",
            "Score from 1 to 5, each on your own, then compare.",
            "Try the winner for a day, with something real.",
        ),
        code={"python": _decision(names)},
        pitfalls=("The figures above are an example to show the method. Put in your own.",),
        check="Change the heaviest weight by one. If the winner changes, you have not decided yet.",
        verdict="If two come out close, take the one that is easier to leave.",
        is_generic=True,
    )


def _decision(names: tuple[str, ...]) -> str:
    marks = [[1 + crc32(f"{what}{name}".encode()) % 5 for what, _ in _CRITERIA] for name in names]
    scores = "\n".join(f'    "{name}": {tuple(row)},' for name, row in zip(names, marks, strict=True))
    return f"""
weights = (3, 2, 2, 1)  # need, begin, leave, cost
scores = {{
{scores}
}}

for name, marks in sorted(scores.items(), key=lambda s: -sum(w * m for w, m in zip(weights, s[1]))):
    print(f"{{name:30}} {{sum(w * m for w, m in zip(weights, marks)):3d}}")
"""


def _mathematics(asked: Question) -> Card:
    return Card(
        cue="",
        title=_title(asked.topic),
        gist=f"For “{asked.topic}”: write down what is given, try the smallest case, then look for what "
        f"stays the same from one "
        "case to the next.",
        points=(
            ("Given", "every symbol with its range, before the first equals sign."),
            ("Small cases", "$n = 1, 2, 3$ by hand; they catch most mistakes."),
            ("Bounds", "an estimate from each side often says more than a formula."),
        ),
        maths=(
            (
                "The pattern of many such arguments is a step from one case to the next:",
                r"P(n) \Longrightarrow P(n+1)",
            ),
            (
                "together with a start, which gives all of them:",
                r"P(1) \;\wedge\; \forall n : P(n) \Rightarrow P(n+1) \;\vdash\; \forall n : P(n)",
            ),
            (
                "And an estimate that is worth trying first:",
                r"\left| \sum_{k=1}^{n} a_k \right| \le \sum_{k=1}^{n} |a_k| \le n \cdot \max_k |a_k|",
            ),
        ),
        code={
            "python": "from fractions import Fraction\n\n# Exact arithmetic on small cases shows the "
            "pattern without rounding.\n"
            "value = Fraction(0)\nfor n in range(1, 8):\n    value += Fraction(1, n * (n + 1))\n    "
            "print(n, value)"
        },
        steps=(
            "Restate it in symbols.",
            "Solve the smallest case.",
            "Find the step.",
            "Check the ends of the range.",
        ),
        pitfalls=("Dividing by something that may be zero is the commonest gap in a proof.",),
        check="Put in numbers: both sides, two cases.",
        verdict="The small cases usually know the answer before we do.",
        is_generic=True,
    )


def _text(asked: Question) -> Card:
    topic = asked.topic
    return Card(
        cue="",
        title=_title(topic),
        gist="Say the one thing in the first sentence, give it a reason, and stop when the reader has what they need.",
        points=(
            ("One reader", "write to somebody, not to everybody."),
            ("One thing", "the rest goes into a second letter."),
        ),
        steps=(
            "Write the sentence you would say aloud.",
            "Add the reason.",
            "Add what happens next.",
            "Cut a third.",
        ),
        drafts=(
            f"Hello,\n\na short word about “{topic}”: it is decided, it begins on Monday, and you need "
            f"not do anything.\n\n"
            "If that is a problem, tell me before Friday.\n\n*Mira*",
            f"Dear all,\n\n"
            f"this is about “{topic}”. We talked about it long enough to know what we want, so here it "
            f"is in plain words: we "
            "begin on Monday, in small steps, and look at it together after two weeks.\n\n"
            "Why now? Because waiting has become more work than doing it. What changes for you is "
            "little: one new page to "
            "look at, one old habit to leave.\n\n"
            "If you see something we have missed, write to me before Friday. I would rather hear it "
            "early.\n\n*Mira*",
            f"Dear friends,\n\n"
            f"for a while now, “{topic}” has been one of those things that everyone mentions on the "
            f"stairs and nobody brings to "
            "the table. I should like to bring it to the table.\n\n"
            "We begin on Monday. Not with everything, and not for ever: with one small part that can "
            "be seen and judged, and "
            "with a date, two weeks later, when we sit down and say honestly whether it was worth it.\n\n"
            "You will notice little at first. That is intended. Good changes, like good shoes, are "
            "forgotten while one is "
            "walking.\n\n"
            "Whoever sees a stone on the path is asked to point at it before Friday. My door is open, "
            "and so is this "
            "address.\n\n*Mira*",
        ),
        pitfalls=("The first paragraph is usually the one that can go.",),
        check="Read it aloud. Where you run out of breath, put a full stop.",
        verdict="Plain words, one thought, a date.",
        is_generic=True,
    )


def _explanation(asked: Question) -> Card:
    topic = asked.topic
    return Card(
        cue="",
        title=_title(topic),
        gist=f"A fair way into “{topic}” is to ask what it is for, what it is made of, and where it "
        f"stops being useful.",
        points=(
            ("What for", "the need it answers; without one, the rest is decoration."),
            ("What of", "three or four parts, seldom more, and how they lean on each other."),
            ("Where not", "the case in which it fails tells most about how it works."),
        ),
        steps=(
            "Say in one sentence what you want to be able to do afterwards.",
            "Find one small example and take it apart.",
            "Change one thing and predict what happens.",
            "Explain it to someone who will interrupt.",
        ),
        code={
            "python": f'notes = {{\n    "topic": "{topic.replace(chr(34), "")}",\n    "what_for": '
            f'None,\n    "parts": [],\n'
            '    "fails_when": None,\n}\nopen_questions = [key for key, value in notes.items() if not '
            "value]\nprint(open_questions)"
        },
        table=Table(
            ("Question", "A good answer has"),
            (
                ("What is it for?", "a person in it"),
                ("What is it made of?", "at most four parts"),
                ("When does it fail?", "a real case"),
            ),
        ),
        paragraphs=(
            "There are two ways to meet a thing like this. One is to learn its words; the other is to watch "
            "what it does and find words "
            "afterwards. The second takes longer and lasts.",
            "So begin with an example small enough to hold in the hand. Turn it round. Ask what would "
            "be missing if this part "
            "were gone, and then that one. What cannot be taken away is what it is; the rest is how "
            "it happens to look today.",
        ),
        pitfalls=("A definition that cannot be wrong does not say anything.",),
        check="If you can name a case where it does not apply, you have understood where it does.",
        verdict="Small example first, big words last.",
        is_generic=True,
    )


_BUILDERS: dict[str, Callable[[Question], Card]] = {
    "code": _program,
    "comparison": _comparison,
    "maths": _mathematics,
    "writing": _text,
}
