"""How often the semantic cache would be right: measured on written pairs, with and without its guards.

Half of the pairs ask the same in other words; the others look alike and ask something else. The threshold is chosen on
one half of each kind and judged on the other, which nothing was chosen by.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apps.routing.caches import guards
from apps.routing.contracts import CacheRules

# One wrong answer in a hundred served is the most that a cache may give unasked. It is a point estimate: the interval
# around it is in the report.
TARGET = 0.99
# Below it, two questions without one wrong guard between them are about different things all the same.
THRESHOLDS = tuple(step / 100 for step in range(70, 100, 2))
LEAST_THRESHOLD = 0.80
_FILE = Path(__file__).parent / "pairs.tsv"
_Z = 1.96

Similarity = Callable[[str, str], float]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions. `kind` is `same`, or in which respect they differ."""

    language: str
    kind: str
    one: str
    other: str

    @property
    def same(self) -> bool:
        return self.kind == "same"


@dataclass(frozen=True, slots=True)
class Share:
    """`part` of `whole`, with Wilson's interval of 95 %."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> tuple[float, float]:
        if not self.whole:
            return 0.0, 1.0
        share, spread = self.part / self.whole, _Z**2 / self.whole
        centre = (share + spread / 2) / (1 + spread)
        width = _Z / (1 + spread) * math.sqrt(share * (1 - share) / self.whole + spread / (4 * self.whole))
        return max(0.0, centre - width), min(1.0, centre + width)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "value": self.value, "interval": self.interval}


@dataclass(frozen=True, slots=True)
class Row:
    """What a threshold gives: `hits` of all pairs, how many of them are right, how many of the same are found."""

    threshold: float
    hits: Share
    precision: Share
    recall: Share

    @property
    def reaches_target(self) -> bool:
        return self.precision.value is not None and self.precision.value >= TARGET

    def to_json(self) -> dict[str, Any]:
        shares = {name: getattr(self, name).to_json() for name in ("hits", "precision", "recall")}
        return {"threshold": self.threshold, **shares}


def pairs() -> list[Pair]:
    """The pairs that come with the product."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    return [Pair(*line.split("\t")) for line in lines]


def halves(found: Iterable[Pair]) -> tuple[list[Pair], list[Pair]]:
    """For tuning and for judging: of each language and kind every other one."""
    seen: Counter[tuple[str, str]] = Counter()
    tuning: list[Pair] = []
    held_out: list[Pair] = []
    for pair in found:
        kind = pair.language, pair.kind
        (held_out if seen[kind] % 2 else tuning).append(pair)
        seen[kind] += 1
    return tuning, held_out


def rows(found: Sequence[Pair], similarity: Similarity, *, guarded: bool = True) -> list[Row]:
    """A row for each threshold."""
    told = [
        (pair.same, -1.0 if guarded and guards.refusal(pair.one, pair.other) else similarity(pair.one, pair.other))
        for pair in found
    ]
    made = []
    for threshold in THRESHOLDS:
        right = sum(same and value >= threshold for same, value in told)
        hits = sum(value >= threshold for _, value in told)
        same = sum(same for same, _ in told)
        made.append(Row(threshold, Share(hits, len(told)), Share(right, hits), Share(right, same)))
    return made


def chosen(tuning: Sequence[Row]) -> float | None:
    """The least threshold from which on the tuning half stays at the target; None where none does."""
    found = None
    for row in sorted(tuning, key=lambda row: -row.threshold):
        if row.threshold < LEAST_THRESHOLD:
            break
        if row.precision.whole and not row.reaches_target:
            break
        if row.precision.whole:
            found = row.threshold
    return found


def report(similarity: Similarity, fingerprint: str) -> dict[str, Any]:
    """The measurement as it is stored and printed. `passes`: the chosen threshold reaches the target where it was not
    chosen. `by_default`: what the default threshold gives, which nobody chose by these pairs, over all of them too."""
    default = CacheRules().threshold
    tuning, held_out = halves(pairs())
    threshold = chosen(rows(tuning, similarity))
    judged = rows(held_out, similarity)
    row = next((one for one in judged if one.threshold == threshold), None)
    return {
        "fingerprint": fingerprint,
        "guards": guards.VERSION,
        "pairs_sha256": pairs_sha256(),
        "target": TARGET,
        "threshold": threshold,
        "passes": row is not None and row.reaches_target,
        "held_out": None if row is None else row.to_json(),
        "by_default": {
            name: _at(default, found, similarity).to_json()
            for name, found in (("all", [*tuning, *held_out]), ("tuning", tuning), ("held_out", held_out))
        },
        "by_threshold": {
            "tuning": [one.to_json() for one in rows(tuning, similarity)],
            "held_out": [one.to_json() for one in judged],
            "held_out_without_guards": [one.to_json() for one in rows(held_out, similarity, guarded=False)],
        },
    }


def _at(threshold: float, found: Sequence[Pair], similarity: Similarity) -> Row:
    return min(rows(found, similarity), key=lambda row: abs(row.threshold - threshold))


def pairs_sha256() -> str:
    return hashlib.sha256(_FILE.read_bytes()).hexdigest()
