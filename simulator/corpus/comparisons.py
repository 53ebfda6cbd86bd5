"""Cards that compare."""

from __future__ import annotations

from simulator.corpus.card import Card, Table

_SESSIONS = Card(
    cue=r"session",
    title="Where to keep sessions",
    gist="Keep them in the database you already have, until a measurement says otherwise; sign a "
    "cookie only if you can live "
    "without revoking it.",
    points=(
        (
            "Revocation",
            "a session on the server ends the moment you delete it; a signed cookie ends when it expires.",
        ),
        ("Loss", "memory and caches forget on restart, and everybody signs in again."),
        (
            "Cost per request",
            "a local lookup costs microseconds, a query about a millisecond, and few pages notice.",
        ),
        ("Size", "a cookie travels with every request and holds about 4 kB."),
    ),
    table=Table(
        ("Store", "Lookup", "Revoke at once", "Survives restart", "Good for"),
        (
            ("Database row", "~1 ms", "yes", "yes", "most products"),
            ("Redis", "~0.3 ms", "yes", "if persisted", "many requests, many servers"),
            ("Signed cookie", "none", "no", "yes", "small facts that may be stale"),
            ("Process memory", "none", "yes", "no", "one process, development"),
            ("Cache over database", "~0.3 ms", "yes, if evicted too", "yes", "heavy reading"),
        ),
    ),
    steps=(
        "Start with database rows and an index on the expiry.",
        "Store a hash of the token, not the token.",
        "Put a cache in front only when the query shows up in a profile.",
        "Delete on sign-out and on every change of password.",
    ),
    code={
        "python": """
def session_store(*, servers, must_revoke, requests_per_second):
    if servers == 1 and requests_per_second < 50:
        return "database"
    if not must_revoke:
        return "signed cookie"
    return "cache over database" if requests_per_second > 2_000 else "database"
"""
    },
    pitfalls=("Write the last-seen time at most once a minute, or every page view becomes a database write.",),
    check="Sign in on two devices, change the password on one, and see the other one out on its next click.",
    verdict="Database rows first; the rest is an optimisation with a price.",
)

_DATABASES = Card(
    cue=r"no-?sql|mongo|postgres|mysql|sqlite|document (store|database)|relational",
    title="Relational, document or key-value",
    gist="Choose relational unless you can name the query that it serves badly.",
    points=(
        ("Relations", "constraints catch mistakes that code forgets."),
        ("Documents", "whole objects in and out are pleasant, until someone asks a question across them."),
        ("Keys", "one lookup, very fast, nothing else."),
    ),
    table=Table(
        ("", "Relational", "Document", "Key-value"),
        (
            ("Questions not yet known", "strong", "fair", "weak"),
            ("Changes of shape", "a migration", "at every read", "not its concern"),
            ("Transactions", "across everything", "often one document", "often one key"),
            ("Growth by adding machines", "with effort", "built in", "built in"),
            ("Typical use", "orders, accounts", "catalogues, content", "sessions, counters"),
        ),
    ),
    steps=(
        "Write down the five questions the data must answer.",
        "Write down what must never be half done.",
        "Count rows and requests, in numbers.",
        "Try the relational design first and measure it.",
    ),
    code={
        "sql": """
CREATE TABLE product (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name   text NOT NULL,
    price  numeric(12, 2) NOT NULL CHECK (price >= 0),
    traits jsonb NOT NULL DEFAULT '{}'   -- the part whose shape nobody knows yet
);

CREATE INDEX product_traits ON product USING gin (traits jsonb_path_ops);
"""
    },
    pitfalls=("A schema that is not in the database is still a schema: it lives in every reader.",),
    check="Take last month's three strangest reports and try to write them against each design.",
    verdict="One relational database with a document column goes further than most expect.",
)

_APIS = Card(
    cue=r"graphql|grpc|\brest\b.{0,40}\b(api|vs|versus|or|and)\b",
    title="REST, GraphQL, gRPC",
    gist="REST for the public, GraphQL for many screens over one graph, gRPC between your own services.",
    points=(
        ("REST", "every tool speaks it, caches understand it."),
        (
            "GraphQL",
            "the screen asks for what it shows, and the server must guard against what it could ask.",
        ),
        ("gRPC", "typed, compact, streams both ways; a browser needs a proxy."),
    ),
    table=Table(
        ("", "REST", "GraphQL", "gRPC"),
        (
            ("Shape", "resources", "one graph", "procedures"),
            ("Caching", "plain HTTP", "in the client", "your own"),
            ("Contract", "OpenAPI, optional", "schema, required", "protobuf, required"),
            ("Streams", "server-sent events", "subscriptions", "built in, both ways"),
            ("Debug with", "curl", "an explorer", "grpcurl"),
        ),
    ),
    steps=(
        "List the callers.",
        "List what they fetch together.",
        "Pick one style for each border.",
        "Write the errors down first.",
    ),
    code={
        "bash": """
curl -s https://api.example.com/v1/orders/417 | jq .total

curl -s https://api.example.com/graphql \\
  -H 'Content-Type: application/json' \\
  -d '{"query": "{ order(id: 417) { total items { name } } }"}' | jq .data.order

grpcurl -d '{"id": 417}' api.example.com:443 shop.Orders/Get
"""
    },
    pitfalls=("One open query language means that limits must count cost, not requests.",),
    check="Build the busiest screen three times on paper and count the round trips.",
    verdict="The border decides, not the fashion.",
)

_LANGUAGES = Card(
    cue=r"(python|go|golang|rust|java|typescript)\s*(,|and|or|vs\.?|versus)\s*(python|go|golang|rust|java|typescript)",
    title="Python, Go or Rust",
    gist="Python to find out what to build, Go to run it as a service, Rust where a microsecond or a byte is money.",
    points=(
        ("Python", "the shortest way from a thought to a result, and a library for everything."),
        ("Go", "one binary, cheap concurrency, a language that fits into one head."),
        ("Rust", "no pauses, no data races, and a compiler that insists."),
    ),
    table=Table(
        ("", "Python", "Go", "Rust"),
        (
            ("First result", "minutes", "an hour", "a day"),
            ("CPU-bound speed", "low, unless in a library", "high", "highest"),
            ("Concurrency", "async, processes", "goroutines", "async, threads, checked"),
            ("Shipping", "an environment", "one file", "one file"),
            ("Errors found", "when it runs", "mostly when it compiles", "nearly all when it compiles"),
        ),
    ),
    steps=("Measure what is slow.", "Rewrite that part only.", "Keep the border between the two small."),
    code={
        "python": "total = sum(len(line.split()) for line in open('book.txt', encoding='utf-8'))\nprint(total)",
        "go": """
scanner := bufio.NewScanner(os.Stdin)
scanner.Split(bufio.ScanWords)
total := 0
for scanner.Scan() {
	total++
}
fmt.Println(total)
""",
        "rust": """
use std::io::Read;

fn main() -> std::io::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    println!("{}", text.split_whitespace().count());
    Ok(())
}
""",
    },
    pitfalls=("The language your team knows is faster than the one it does not, for a year at least.",),
    check="Write the hottest hundred lines twice and compare, including the time it took you.",
    verdict="Begin in Python, leave it where you must.",
)

_PUSH = Card(
    cue=r"websocket|server.sent|\bsse\b|long.?poll",
    title="WebSocket, server-sent events or polling",
    gist="Server-sent events for text that flows one way, WebSocket when both sides talk, polling "
    "when neither is worth it.",
    points=(
        ("Direction", "events flow down only; a socket carries both ways."),
        ("Resuming", "events have an id and come back by themselves; a socket leaves that to you."),
        ("Proxies", "events are plain HTTP, provided nothing buffers them."),
    ),
    table=Table(
        ("", "Server-sent events", "WebSocket", "Polling"),
        (
            ("Direction", "down", "both", "down"),
            ("Reconnect", "built in", "your code", "nothing to do"),
            ("Binary", "no", "yes", "yes"),
            ("Delay", "none", "none", "half the interval"),
            ("Idle cost", "one connection", "one connection", "requests"),
        ),
    ),
    steps=("Ask who speaks.", "Ask how stale is too stale.", "Plan the reconnect before the connect."),
    code={
        "javascript": """
const events = new EventSource("/v1/stream");

events.addEventListener("token.delta", (event) => {
  output.append(JSON.parse(event.data).text);
});
events.addEventListener("message.completed", () => events.close());
"""
    },
    pitfalls=("A stream without ids cannot be resumed without doubling or losing something.",),
    check="Pull the cable in the middle of a sentence and plug it in again. The text must have no gap and no echo.",
    verdict="Take the simplest one that is fast enough, and give every event an id.",
)

_COFFEE = Card(
    cue=r"coffee|espresso|pour.?over|french press",
    title="Four ways to make coffee",
    gist="The press forgives, the filter is clear, the moka pot is strong, espresso is a hobby.",
    points=(
        ("Grind", "it matters more than the machine; coarse for the press, fine for espresso."),
        ("Ratio", "about 60 g for a litre, espresso apart."),
        ("Water", "just off the boil, 92 to 96 °C."),
    ),
    table=Table(
        ("Method", "Grind", "Time", "Taste"),
        (
            ("French press", "coarse", "4 min", "full, a little silty"),
            ("Filter", "medium", "3 min", "clear, light"),
            ("Moka pot", "fine", "5 min", "strong, dark"),
            ("Espresso", "very fine", "30 s", "dense, sweet, unforgiving"),
        ),
    ),
    steps=("Weigh the coffee.", "Grind it just before.", "Mind the time.", "Change one thing at a time."),
    paragraphs=(
        "Coffee rewards attention in a curious way: the more expensive the machine, the less it "
        "forgives. A press asks for hot "
        "water and four minutes of patience. A filter asks for a steady hand. Espresso asks for your "
        "weekends.",
    ),
    pitfalls=("Old beans make flat coffee, whatever you do to them.",),
    check="Brew the same beans twice with a different grind. If you cannot taste it, buy the cheaper grinder.",
    verdict="Start with the press and good beans.",
)

CARDS = (_PUSH, _SESSIONS, _APIS, _LANGUAGES, _DATABASES, _COFFEE)
