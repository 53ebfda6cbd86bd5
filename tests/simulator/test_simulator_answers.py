"""What the models say: the same for the same question, different from each other, shaped by what is asked."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.simulator.client import FAST, Client

CHAT_MODELS = ("demo-swift", "demo-steady", "demo-cedar", "demo-harbor", "demo-atlas", "demo-quill")


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def test_same_question_and_seed_give_the_same_answer(simulator: Client) -> None:
    asked = {"messages": ask("Explain recursion"), "seed": 7}
    first, second = [await simulator.content(f"demo-atlas+{FAST}", **asked) for _ in range(2)]
    assert first == second


async def test_seed_changes_the_answer(simulator: Client) -> None:
    answers = {
        await simulator.content(f"demo-atlas+{FAST}", messages=ask("Explain recursion"), seed=s) for s in range(8)
    }
    assert len(answers) > 1


async def test_speed_does_not_change_the_words(simulator: Client) -> None:
    paced = await simulator.stream("demo-quill+tps=5000+ttft=1+chunk=7")
    assert paced.joined() == await simulator.stream_text(f"demo-quill+{FAST}")


@pytest.mark.parametrize(
    "question",
    [
        "Announce a price rise to loyal customers, in three lanes.",
        "Find the race in this Go worker pool and fix it.",
        "Show why the harmonic series diverges, two ways.",
        "Compare five ways to store sessions, with trade-offs.",
        "How does a sewing machine work?",
    ],
)
async def test_models_answer_the_same_question_differently(simulator: Client, question: str) -> None:
    answers = await asyncio.gather(*(simulator.content(f"{m}+{FAST}", messages=ask(question)) for m in CHAT_MODELS))
    openings = {answer[:60] for answer in answers}
    assert len(set(answers)) == len(CHAT_MODELS)
    assert len(openings) >= 5
    assert all(40 < len(answer) < 8_000 for answer in answers)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Write a retry helper in TypeScript", "```typescript"),
        ("How do I retry in Python?", "```python"),
        ("Show me a window function in SQL", "```sql"),
        ("Write a function in Rust that reverses words", "```rust"),
        ("Compare tea and lemonade for a picnic", "| tea | lemonade |"),
        ("Prove that the square root of 2 is irrational", "$$\n\\sqrt2"),
        ("Write a haiku", "> The tide takes the name"),
    ],
)
async def test_markdown_fits_the_question(simulator: Client, question: str, expected: str) -> None:
    assert expected in await simulator.content(f"demo-swift+{FAST}", messages=ask(question))


async def test_every_fence_is_closed_and_every_table_row_has_its_cells(simulator: Client) -> None:
    questions = ("Compare Python and Go", "Write a rate limiter in Go", "Explain TLS", "Prove the quadratic formula")
    for model, question in itertools.product(CHAT_MODELS, questions):
        answer = await simulator.content(f"{model}+{FAST}", messages=ask(question))
        assert answer.count("```") % 2 == 0
        assert answer.count("$$") % 2 == 0
        outside = "".join(answer.split("```")[::2])
        tables = [line for line in outside.split("\n") if line.startswith("|")]
        for _, rows in itertools.groupby(tables, key=lambda line: line.count("|")):
            assert len(list(rows)) >= 3


async def test_later_turns_know_the_earlier_ones(simulator: Client) -> None:
    messages = [*ask("Explain lighthouses"), {"role": "assistant", "content": "They shine."}, *ask("And foghorns?")]
    answer = await simulator.content(f"demo-swift+{FAST}", messages=messages)
    assert "Turn 2" in answer
    assert "lighthouses" in answer


async def test_a_title_is_a_few_plain_words(simulator: Client) -> None:
    messages = ask("Write a title of at most six words for this conversation: Sorting a list in Go")
    assert await simulator.content(f"demo-steady+{FAST}", messages=messages) == "Sorting a list in Go"


async def test_markup_in_the_question_cannot_break_the_answer(simulator: Client) -> None:
    for model in CHAT_MODELS:
        answer = await simulator.content(f"{model}+{FAST}", messages=ask("Compare ```a|b and <script>` **x"))
        assert "<script>" not in answer
        assert answer.count("```") % 2 == 0


async def test_cedar_thinks_before_it_answers(simulator: Client) -> None:
    reading = await simulator.stream(f"demo-cedar+{FAST}")
    kinds = [next(iter(e["choices"][0]["delta"]), "") for e in reading.events if e["choices"]]
    assert reading.joined("reasoning_content").startswith("The question is “tea and coffee”.")
    last_thought = len(kinds) - 1 - kinds[::-1].index("reasoning_content")
    assert "content" not in kinds[1:last_thought]
    assert reading.joined() == await simulator.content(f"demo-cedar+{FAST}")


async def test_exact_length_is_exact_and_depends_on_the_prompt(simulator: Client) -> None:
    texts = []
    for question in ("One thing", "Another thing"):
        answer = await simulator.chat(f"demo-swift+{FAST}+tokens=1200", messages=ask(question))
        assert answer["usage"]["completion_tokens"] == 1200
        texts.append(answer["choices"][0]["message"]["content"])
    assert texts[0] != texts[1]
    assert texts[0].startswith("On “One thing”")


async def test_bench_models_answer_in_128_tokens(simulator: Client) -> None:
    answer = await simulator.chat("bench-b")
    assert answer["usage"]["completion_tokens"] == 128
