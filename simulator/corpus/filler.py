"""Text of an exact number of tokens, different for every prompt."""

from __future__ import annotations

from simulator.tokens import tokenize

_SENTENCES = (
    "The kettle had boiled twice before anyone thought of tea.",
    "A small bridge crosses the stream behind the mill, and in spring the water nearly reaches its planks.",
    "Mara counts the swallows every evening and writes the number in a blue notebook.",
    "Nothing in the ledger was wrong, yet nothing in it was finished either.",
    "The night train stops here for four minutes, long enough to buy bread, too short to eat it.",
    "We kept the old clock because it was late by exactly the time it takes to climb the stairs.",
    "On the third shelf stood jars of nails, sorted by length and then by rust.",
    "Rain came from the west, politely at first.",
    "The map showed a road where there had only ever been a hedge.",
    "Her answer was short; her reasons filled the rest of the afternoon.",
    "Two gulls argued over the ferry timetable, and both were right.",
    "The baker measures flour by the sound it makes in the bowl.",
    "Every bolt on the tower is painted once in seven years, in an order nobody questions.",
    "He read the letter again, slowly, as if it might have changed.",
    "Behind the theatre grows a fig tree that was never planted.",
    "The lamp on the pier burns until the last boat has spoken on the radio.",
    "They built the wall with gaps in it, so that the wind would have no quarrel with them.",
    "In the drawer lay a key for a door that had been bricked up before the war.",
    "The school bell is a piece of railway track, and it is still in tune.",
    "By noon the fog had lifted from everything except the harbour.",
    "A good rope is heavier than it looks and quieter than you expect.",
    "The orchard gave eleven baskets, one fewer than the year before.",
    "Nobody remembers who first set a chair by that window, but it has never been moved.",
    "The violin was made for smaller hands and a colder room.",
)
_BANK = [tokenize(" " + sentence) for sentence in _SENTENCES]
_BANK_TOKENS = [token for sentence in _BANK for token in sentence]


def tokens(topic: str, digest: str, length: int) -> list[str]:
    """Exactly `length` tokens: the topic, the prompt's digest (16 hex digits), then quiet sentences.

    Joined and tokenised again they are the same tokens.
    """
    text = tokenize(f"On “{topic}” ({digest[:8]}).")
    start = int(digest, 16) % len(_BANK)
    for turn in range(len(_BANK)):
        if len(text) >= length:
            break
        text += _BANK[(start + turn) % len(_BANK)]
    while len(text) < length:
        text += _BANK_TOKENS
    return text[:length]
