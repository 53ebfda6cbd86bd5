"""Cards about everyday programs: queries, caches, patterns, pages."""

from __future__ import annotations

from simulator.corpus.card import Card, Table

_RUNNING_TOTAL = Card(
    cue=r"window function|running total|top \w+ per|per group|latest "
    r"(row|order|record)|\bsql\b.*(query|select|join)|sql query",
    title="Window functions: per group, without losing the rows",
    gist="`GROUP BY` folds rows together; a window function keeps each row and lets it see its neighbours.",
    points=(
        ("`PARTITION BY`", "says which rows belong together."),
        ("`ORDER BY` inside `OVER`", "says what comes before what, for totals and ranks."),
        (
            "The frame",
            "says how far a row can see; with an order it reaches from the start to the current row.",
        ),
    ),
    steps=(
        "Write the plain query first and look at its rows.",
        "Add `row_number() OVER (PARTITION BY ... ORDER BY ...)` as a column.",
        "Wrap it in a common table expression, because a window cannot stand in `WHERE`.",
        "Filter on the number outside.",
    ),
    code={
        "sql": """
WITH ranked AS (
    SELECT
        customer_id,
        ordered_at,
        amount,
        sum(amount) OVER (PARTITION BY customer_id ORDER BY ordered_at, id) AS running_total,
        row_number() OVER (PARTITION BY customer_id ORDER BY ordered_at DESC, id DESC) AS recency
    FROM orders
)
SELECT customer_id, ordered_at, amount, running_total
FROM ranked
WHERE recency <= 3
ORDER BY customer_id, ordered_at;
""",
        "python": """
from collections import defaultdict
from itertools import accumulate


def running_totals(orders):
    by_customer = defaultdict(list)
    for order in sorted(orders, key=lambda o: (o.ordered_at, o.id)):
        by_customer[order.customer_id].append(order.amount)
    return {customer: list(accumulate(amounts)) for customer, amounts in by_customer.items()}
""",
    },
    pitfalls=(
        "Ties: without a unique column in the order, equal times share one total and the ranks are arbitrary.",
        "An index on `(customer_id, ordered_at)` saves the sort.",
    ),
    check="Take one customer with five orders and add them up by hand.",
    verdict="If you need the rows and the sum, you need a window.",
)

_LRU = Card(
    cue=r"\blru\b|cache (class|implementation)|least recently",
    title="An LRU cache",
    gist="A map for finding, an order for forgetting. When it is full, the entry that was used longest ago goes.",
    points=(
        ("Get", "moves the entry to the young end."),
        ("Put", "adds at the young end and drops from the old one."),
        ("Constant time", "both need no search, whatever the size."),
    ),
    steps=(
        "Choose the size.",
        "Move what is read.",
        "Drop what is old.",
        "Count hits and misses from the first day.",
    ),
    code={
        "python": """
from collections import OrderedDict


class LruCache:
    def __init__(self, capacity):
        self._capacity = capacity
        self._items = OrderedDict()

    def get(self, key, default=None):
        if key not in self._items:
            return default
        self._items.move_to_end(key)
        return self._items[key]

    def put(self, key, value):
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._capacity:
            self._items.popitem(last=False)
""",
        "typescript": """
export class LruCache<K, V> {
  private items = new Map<K, V>(); // a Map keeps its order of insertion

  constructor(private readonly capacity: number) {}

  get(key: K): V | undefined {
    const value = this.items.get(key);
    if (value !== undefined) {
      this.items.delete(key);
      this.items.set(key, value);
    }
    return value;
  }

  set(key: K, value: V): void {
    this.items.delete(key);
    this.items.set(key, value);
    if (this.items.size > this.capacity) {
      this.items.delete(this.items.keys().next().value as K);
    }
  }
}
""",
    },
    brief={
        "python": """
from functools import lru_cache


@lru_cache(maxsize=1024)
def lookup(key):
    return slow_lookup(key)


print(lookup.cache_info())
""",
    },
    pitfalls=(
        "One pass over a large table empties the cache of everything useful.",
        "It is not safe across threads by itself.",
    ),
    check="With room for two: put a, put b, get a, put c. Now b is gone and a is not.",
    verdict="For a pure function, the cache of your language's standard library will do.",
)

_INVOICE_REGEX = Card(
    cue=r"\bregex|regular expression|pattern (for|that match)",
    title="A regular expression one can still read next year",
    gist="Name the parts, anchor both ends, and keep the examples next to the pattern.",
    points=(
        ("Anchors", "`fullmatch`, or `^` and `$`, keep it from matching in the middle of something else."),
        ("Named groups", "`(?P<year>...)` explains itself and survives reordering."),
        ("Verbose mode", "lets you break the line and comment it."),
    ),
    steps=(
        "Collect ten real examples.",
        "Collect five that must not match.",
        "Write the pattern.",
        "Turn both lists into a test.",
    ),
    code={
        "python": """
import re

INVOICE = re.compile(
    r\"\"\"
    (?P<series>[A-Z]{2,4})   # INV, RE, CRN
    -(?P<year>20\\d\\d)
    -(?P<number>\\d{4,6})
    (?:/(?P<part>\\d+))?      # a partial invoice
    \"\"\",
    re.VERBOSE,
)

for text in ("INV-2026-00417", "RE-2025-1034/2", "INV-26-1"):
    match = INVOICE.fullmatch(text)
    print(text, "->", match.groupdict() if match else "no match")
""",
        "javascript": """
const INVOICE = /^(?<series>[A-Z]{2,4})-(?<year>20\\d\\d)-(?<number>\\d{4,6})(?:\\/(?<part>\\d+))?$/;

for (const text of ["INV-2026-00417", "RE-2025-1034/2", "INV-26-1"]) {
  console.log(text, "->", INVOICE.exec(text)?.groups ?? "no match");
}
""",
    },
    table=Table(
        ("Text", "Matches", "Because"),
        (
            ("INV-2026-00417", "yes", "series, year, number"),
            ("RE-2025-1034/2", "yes", "with a part"),
            ("INV-26-1", "no", "short year, short number"),
        ),
    ),
    pitfalls=("Nested repetition such as `(a+)+` can take exponential time on text that almost matches.",),
    check="Run the two lists of examples through it in a test, not in your head.",
    verdict="A pattern without examples is a riddle.",
)

_CENTRE = Card(
    cue=r"\bcss\b|cent(er|re) a|flexbox|grid layout",
    title="Centred, in both directions",
    gist="Make the parent a grid and say `place-items: center`. That is all there is to it.",
    points=(
        ("Grid", "one line centres in both directions."),
        ("Flex", "the same in two lines, better when several items stand in a row."),
        ("Height", "the parent needs some, or there is nothing to be centred in."),
    ),
    steps=("Give the parent a height.", "Make it a grid.", "Place the items.", "Check it at 320 px."),
    code={
        "css": """
.stage {
  display: grid;
  place-items: center;
  min-block-size: 100dvh;
}

.card {
  max-inline-size: 60ch;
  padding: 1.5rem;
}
""",
        "html": """
<main class="stage">
  <section class="card">
    <h1>Hello</h1>
    <p>Centred, whatever the window does.</p>
  </section>
</main>
""",
    },
    brief={"css": ".stage { display: grid; place-items: center; min-block-size: 100dvh; }"},
    pitfalls=("`100vh` is taller than the visible page on many phones; `100dvh` follows the real height.",),
    check="Shrink the window until the text wraps. It should stay in the middle and never be cut off at the top.",
    verdict="Grid for the one thing in the middle, flex for a row of things.",
)

CARDS = (_RUNNING_TOTAL, _LRU, _INVOICE_REGEX, _CENTRE)
