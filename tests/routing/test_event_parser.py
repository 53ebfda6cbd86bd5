"""Server-sent events, however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.routing.providers.sse import EventParser, EventTooLarge

_TEXT = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=20)


def _parsed(pieces: list[bytes]) -> list[bytes]:
    parser = EventParser()
    return [payload for piece in pieces for payload in parser.feed(piece)] + parser.rest()


@given(
    events=st.lists(st.lists(_TEXT, min_size=1, max_size=3), max_size=6),
    noise=st.sampled_from(["", ": a comment\n", "event: delta\nid: 7\nretry: 10\n", "\n", ": a\n\n"]),
    space=st.sampled_from(["", " "]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    is_closed=st.booleans(),
    cuts=st.lists(st.integers(0, 400)),
)
def test_no_cut_of_the_input_changes_the_events(
    events: list[list[str]], noise: str, space: str, newline: str, mark: bytes, is_closed: bool, cuts: list[int]
) -> None:
    # A value that begins with a space needs one before it, which the parser takes away.
    blocks = [
        noise + "".join(f"data:{space or ' ' * line.startswith(' ')}{line}\n" for line in lines) for lines in events
    ]
    text = "\n".join(blocks) + ("\n" if is_closed else "")
    wire = mark + text.replace("\n", newline).encode()
    edges = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]
    whole = [b"\n".join(line.encode() for line in lines) for lines in events]
    assert _parsed([wire[start:end] for start, end in pairwise(edges)]) == whole
    assert _parsed([wire[place : place + 1] for place in range(len(wire))]) == whole


def test_an_event_is_given_as_soon_as_its_blank_line_is_there() -> None:
    parser = EventParser()
    assert parser.feed(b"data: one\n") == []
    assert parser.feed(b"\ndata: two\r\n\r") == [b"one", b"two"]
    assert parser.feed(b"\ndata: thr") == []
    assert parser.feed(b"ee\n\n") == [b"three"]
    assert parser.rest() == []


def test_an_event_without_end_is_refused() -> None:
    parser = EventParser(max_event_bytes=100)
    assert parser.feed(b"data: " + b"x" * 90) == []
    with pytest.raises(EventTooLarge):
        parser.feed(b"x" * 20)
