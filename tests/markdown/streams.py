"""Feeding a text in pieces, and the rules that every stream of block events keeps."""

from collections.abc import Iterable, Sequence

from apps.markdown import BlockClosed, BlockEvent, BlockOpened, BlockStream


def events_of(pieces: Iterable[str]) -> list[BlockEvent]:
    """All events of a stream, `finish` included, after checking their order and offsets."""
    stream = BlockStream()
    events: list[BlockEvent] = []
    units = 0
    open_index: int | None = None
    opened = 0
    for batch, text in [*((stream.feed(piece), piece) for piece in pieces), (stream.finish(), "")]:
        units += len(text.encode("utf-16-le", "surrogatepass")) // 2
        for event in batch:
            if isinstance(event, BlockOpened):
                assert open_index is None, "two blocks open at once"
                assert event.index == opened, "indices are consecutive"
                assert 0 <= event.start <= units, "the visible text lies in what has arrived"
                open_index, opened = event.index, opened + 1
            else:
                assert event.index == open_index, "only the open block closes"
                open_index = None
        events += batch
    assert open_index is None, "every block closes"
    return events


def html_of(events: Sequence[BlockEvent]) -> str:
    """The HTML of all closed blocks, joined as `render` joins them."""
    return "\n".join(event.html for event in events if isinstance(event, BlockClosed) and event.html)


def cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
