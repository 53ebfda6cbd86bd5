"""What tells two questions apart however alike they look, and the figures that a measurement is made of."""

from time import process_time

import pytest

from apps.routing.caches import guards, measure
from apps.routing.caches.measure import Pair, Share
from apps.routing.contracts import CacheRules


@pytest.mark.parametrize(
    ("one", "other", "respect"),
    [
        ("How do I boil 2 eggs?", "How do I boil 12 eggs?", "numbers"),
        ("Name three rivers.", "Name five rivers.", "numbers"),
        ("What is -5 °C in Fahrenheit?", "What is 5 °C in Fahrenheit?", "numbers"),
        ("Is x ≤ y?", "Is x ≥ y?", "quoted"),
        ("How do I get € for gold?", "How do I get £ for gold?", "quoted"),
        ("What is the capital of France?", "What is the capital of France? 🏴‍☠️", "quoted"),
        ("दिन का अर्थ क्या है", "दीन का अर्थ क्या है", "quoted"),
        ("Translate “yes”.", "Translate “no”.", "quoted"),
        ("What is max_retries?", "What is max_entries?", "quoted"),
        ("Is it open?", "Isn't it open?", "negations"),
        ("Darf ich Sport machen?", "Darf ich keinen Sport machen?", "negations"),
        ("Why do cats purr?", "How do cats purr?", "asking"),
        ("Who is president?", "Who was president?", "asking"),
        ("Who is Anna?", "Who is Marie?", "names"),
        ("What is AI?", "What is it?", "names"),
        ("Is coffee healthy?", "Is tea healthy?", "content"),
        ("How do I zoom in?", "How do I zoom out?", "content"),
        ("How do I convert miles to kilometres?", "How do I convert kilometres to miles?", "order"),
        ("Did Germany attack France?", "Did France attack Germany?", "order"),
        ("Can you?", "Can you?", "content"),
        ("What can you do?", "What can I do?", "content"),
        ("x" * 1_001, "x" * 1_001, "length"),
    ],
)
def test_what_differs(one: str, other: str, respect: str) -> None:
    assert guards.refusal(one, other) == guards.refusal(other, one) == respect
    assert guards.signature(one) is None or guards.signature(one) != guards.signature(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the boiling point of ethanol?", "Please tell me what the boiling point of ethanol is."),
        ("What is 5 °C in Fahrenheit?", "Please: what is 5 °C – in Fahrenheit …?"),
        ("Wie lösche ich mein Konto?", "Wie kann ich mein Konto löschen?"),
        ("Pourquoi le ciel est-il bleu ?", "Pourquoi est-ce que le ciel est bleu ?"),
        ("¿Cómo cambio mi contraseña?", "¿Cómo puedo cambiar mi contraseña?"),
    ],
)
def test_what_may_share_an_answer(one: str, other: str) -> None:
    assert guards.refusal(one, other) is None
    assert guards.signature(one) == guards.signature(other) is not None


def test_the_pairs_are_many_well_mixed_and_split_evenly() -> None:
    found = measure.pairs()
    assert len(found) >= 240
    assert len({(pair.one, pair.other) for pair in found}) == len(found)
    assert len({pair.language for pair in found}) >= 3
    same = sum(pair.same for pair in found)
    assert 0.4 < same / len(found) < 0.6
    tuning, held_out = measure.halves(found)
    assert not set(tuning) & set(held_out)
    assert abs(len(tuning) - len(held_out)) < 20
    assert {pair.kind for pair in held_out} == {pair.kind for pair in found}


def test_no_hard_negative_passes_the_guards_whatever_a_model_thinks_of_it() -> None:
    passed = [pair for pair in measure.pairs() if not pair.same and guards.refusal(pair.one, pair.other) is None]
    assert passed == []


def test_shares_have_wilsons_interval() -> None:
    low, high = Share(45, 50).interval
    assert (round(low, 3), round(high, 3)) == (0.786, 0.957)
    assert Share(0, 0).value is None
    assert Share(50, 50).interval[1] == 1.0


def test_the_threshold_is_chosen_on_one_half_and_judged_on_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"right": 0.95, "close": 0.85, "wrong": 0.9, "worse": 0.97}

    def report(*pairs: tuple[str, str]) -> dict[str, object]:
        found = [Pair("en", kind, "Is it red?", f"Is it red? {name}") for kind, name in pairs]
        monkeypatch.setattr(measure, "pairs", lambda: found)
        monkeypatch.setattr(guards, "refusal", lambda one, other: None)
        return measure.report(lambda one, other: values[other.split()[-1]], "m@1")

    fine = report(("same", "right"), ("same", "right"), ("number", "wrong"), ("number", "wrong"))
    assert (fine["threshold"], fine["passes"]) == (0.92, True)
    bad = report(("same", "right"), ("same", "right"), ("number", "wrong"), ("number", "worse"))
    assert (bad["threshold"], bad["passes"]) == (0.92, False)
    none = report(("same", "close"), ("same", "close"), ("number", "worse"), ("number", "worse"))
    assert (none["threshold"], none["passes"]) == (None, False)


def test_what_the_default_threshold_gives_is_told_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"right": 0.95, "close": 0.85, "wrong": 0.9, "far": 0.2}
    found = [Pair("en", "same" if name in ("right", "close") else "number", name, name) for name in values]
    monkeypatch.setattr(measure, "pairs", lambda: found)
    monkeypatch.setattr(guards, "refusal", lambda one, other: None)
    told = measure.report(lambda one, other: values[one], "m@1")["by_default"]
    everything = told["all"]
    assert everything["threshold"] == CacheRules().threshold
    shares = [(everything[name]["part"], everything[name]["whole"]) for name in ("hits", "precision", "recall")]
    assert shares == [(2, 4), (1, 2), (1, 2)]
    assert told["tuning"]["hits"]["whole"] + told["held_out"]["hits"]["whole"] == 4


@pytest.mark.parametrize("unit", ["5-", "a-", "'", '"', "€ ", "aA", "a1 ", "n't ", "a."])
def test_no_question_takes_long_to_read(unit: str) -> None:
    began = process_time()
    for times in range(10):
        guards.marks(f"{times}" + (unit * 1_000)[:990])
    assert process_time() - began < 0.2  # it was a second, for the worst of them
