"""Cards that explain, and cards that plan."""

from __future__ import annotations

from simulator.corpus.card import Card, Table

_SELF = Card(
    cue=r"who are you|what are you|which model|what can you do|your name|introduce yourself|are you "
    r"(real|an ai|a real)",
    title="What answers here",
    gist="I am a simulated model. I answer from a script, at no cost, so that you can see how "
    "everything around an answer works.",
    points=(
        ("Real", "the streaming, the limits, the bill, the side-by-side view."),
        ("Not real", "knowledge. I recognise a few subjects and improvise politely about the rest."),
        ("Next", "connect a provider in the settings, and the same page talks to a real model."),
    ),
    steps=(
        "Ask several of us the same thing.",
        "Ask for code, a table or a proof.",
        "Stop one answer and watch the others go on.",
    ),
    paragraphs=(
        "Think of me as a piano that plays from a roll: the hammers are real, the strings are real, "
        "and nobody is sitting on "
        "the stool. It is a good way to find out whether you like the room.",
    ),
    pitfalls=("Do not rely on what I say about the world.",),
    check="Ask me the same question twice in a new chat: the answer is the same, word for word.",
    verdict="A stand-in, honest about being one.",
)

_SKY = Card(
    cue=r"sky (is )?blue|why is the sky|sunset|rayleigh",
    title="Why the sky is blue",
    gist="Air scatters short waves far more than long ones, so the blue part of sunlight reaches us from all sides.",
    points=(
        ("Small scatterers", "molecules of air are much smaller than the wavelength of light."),
        ("Strong preference", "blue at 450 nm is scattered about four times as much as red at 650 nm."),
        ("Not violet", "the sun sends less of it, the high air takes some, and our eyes are dull there."),
        ("Sunset", "the long way through the air has lost its blue; what arrives is red."),
    ),
    maths=(
        ("The scattered intensity goes with", r"I \propto \frac{1}{\lambda^4}"),
        ("so that blue wins by", r"\left(\frac{650}{450}\right)^4 \approx 4.4"),
    ),
    paragraphs=(
        "Look up at noon, away from the sun. The light that reaches your eye from there was not on "
        "its way to you; it was "
        "passing by, high above, and a molecule turned it aside. Short waves are turned aside far "
        "more often than long ones, "
        "and so the light that comes from nowhere in particular is blue.",
        "In the evening the sun stands low and its light has a long way through the air. The blue has "
        "been turned aside over "
        "other people's heads. What is left for you is orange.",
    ),
    pitfalls=("It is not the reflection of the sea. The sky is blue over deserts too.",),
    check="A drop of milk in a glass of water, lit from the side with a torch: bluish from the side, "
    "orange from the far end.",
    verdict="The fourth power does it.",
    link=("Rayleigh scattering", "https://en.wikipedia.org/wiki/Rayleigh_scattering"),
)

_TLS = Card(
    cue=r"\btls\b|https\b|ssl\b|certificate|handshake|encrypt",
    title="What happens before the padlock",
    gist="Two strangers agree on a secret in the open, and one of them proves with a certificate who it is.",
    points=(
        ("Hello", "the client sends its half of a key exchange and the ciphers it knows."),
        ("Proof", "the server sends its half, its certificate, and a signature over all that was said."),
        ("Check", "the client follows the certificate up to an authority it trusts."),
        ("Talk", "both derive the same keys; everything from here on is encrypted and authenticated."),
    ),
    steps=(
        "Client hello, with a key share.",
        "Server hello, certificate, signature.",
        "Client finished.",
        "Data.",
    ),
    code={
        "bash": "openssl s_client -connect example.com:443 -servername example.com -brief </dev/null\n"
        "curl -sv https://example.com/ -o /dev/null 2>&1 | grep -E 'SSL|TLS|subject|issuer'",
        "python": """
import socket
import ssl

context = ssl.create_default_context()
with socket.create_connection(("example.com", 443), timeout=5) as plain:
    with context.wrap_socket(plain, server_hostname="example.com") as secure:
        print(secure.version(), secure.cipher()[0])
""",
    },
    table=Table(
        ("", "TLS 1.2", "TLS 1.3"),
        (
            ("Round trips", "2", "1"),
            ("Forward secrecy", "optional", "always"),
            ("Old ciphers", "many", "gone"),
        ),
    ),
    pitfalls=("Switching verification off “for now” leaves encryption to whoever answers.",),
    check="Look at the certificate's names and its last day; those two cause most outages.",
    verdict="The secrecy comes from the key exchange, the trust from the certificate.",
)

_RECURSION = Card(
    cue=r"recurs(ion|ive)|base case",
    title="Recursion",
    gist="Solve the smallest case outright, and reduce every other case to a smaller one.",
    points=(
        ("Base case", "where it stops."),
        ("Step", "must come closer to it, every time."),
        ("Trust", "assume the smaller call works; that is the whole trick."),
    ),
    steps=("Name the smallest case.", "Say how a case becomes smaller.", "Combine the results."),
    code={
        "python": """
def total_size(folder):
    return sum(
        total_size(entry) if entry.is_dir() else entry.stat().st_size
        for entry in folder.iterdir()
    )
""",
        "javascript": "const depth = (node) => 1 + Math.max(0, ...node.children.map(depth));",
    },
    maths=(("It is induction, read backwards. For the factorial:", r"n! = n \cdot (n-1)!, \qquad 0! = 1"),),
    pitfalls=("Each call takes room on the stack; for depths in the thousands keep a list of your own.",),
    check="Try it on nothing, on one thing, and on something that contains itself.",
    verdict="Where it stops matters more than how it goes on.",
)

_MIGRATION = Card(
    cue=r"migrat|zero.downtime|schema change|add a column|rename a column",
    title="Changing a table while people use it",
    gist="Expand, move, contract: first add the new, then fill it, then let the old one go. Never all in one step.",
    points=(
        ("Expand", "add the column, nullable, without a rewrite of the table."),
        ("Move", "write both, copy the old rows in small batches."),
        ("Contract", "read the new one only; drop the old one a release later."),
    ),
    steps=(
        "Add the column without a default that rewrites rows.",
        "Deploy code that writes both columns and reads the old one.",
        "Copy in batches of a few thousand, with pauses.",
        "Compare counts, then deploy code that reads the new one.",
        "Wait one release. Drop the old column.",
    ),
    code={
        "sql": """
ALTER TABLE orders ADD COLUMN placed_at timestamptz;

UPDATE orders
SET placed_at = created
WHERE id IN (
    SELECT id FROM orders WHERE placed_at IS NULL ORDER BY id LIMIT 5000 FOR UPDATE SKIP LOCKED
);

CREATE INDEX CONCURRENTLY orders_placed_at ON orders (placed_at);
"""
    },
    table=Table(
        ("Step", "Lock", "Can be undone"),
        (
            ("Add column", "a moment", "yes"),
            ("Batches", "rows only", "yes"),
            ("Switch reads", "none", "yes"),
            ("Drop", "a moment", "no"),
        ),
    ),
    pitfalls=("A lock that waits makes everyone behind it wait too: set `lock_timeout` to two seconds and try again.",),
    check="Run it against a copy of production with the real number of rows, and note the minutes.",
    verdict="Three small deployments beat one brave one.",
)

_RELEASE_PLAN = Card(
    cue=r"release (check|plan)|checklist|launch|go.?live|rollout",
    title="A release in one page",
    gist="Decide beforehand what would make you turn back, and who says so.",
    points=(
        ("Before", "what must be true to begin."),
        ("During", "what you watch, and for how long."),
        ("After", "what you clean up, and when it counts as done."),
    ),
    steps=(
        "Freeze the scope and write the note for users.",
        "Restore last night's backup somewhere, to know that it is one.",
        "Release to a twentieth of the users and watch errors and latency for thirty minutes.",
        "Release to all.",
        "Remove the switch within two weeks.",
    ),
    table=Table(
        ("Signal", "Turn back when"),
        (
            ("Errors", "twice the usual for five minutes"),
            ("p95 latency", "up by a half"),
            ("Sign-ins", "down by a tenth"),
        ),
    ),
    pitfalls=("A rollback that was never tried is a hope.",),
    check="Ask the newest member of the team to run it from the page alone.",
    verdict="Boring on the day, because it was thought through before.",
)

CARDS = (_SELF, _SKY, _RECURSION, _MIGRATION, _RELEASE_PLAN, _TLS)
