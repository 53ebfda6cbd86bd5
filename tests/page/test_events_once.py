"""Whatever order events come in, and however often, each is drawn once."""

import random

import pytest
from playwright.sync_api import expect

from tests.page.board import COMPLETED, Board

TEXT = """First paragraph, quite short.

```python
print("hello")
```

- one
- two

Last words.
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_duplicated_and_shuffled_events_draw_the_same_answer(board: Board, seed: int) -> None:
    board.open()
    ordered, shuffled = board.ask("Say something")
    for stream in (ordered, shuffled):
        for at in range(0, len(TEXT), 9):
            stream.write("token.delta", text=TEXT[at : at + 9])
        stream.write("message.completed", **COMPLETED)
    board.tell(*ordered.log)
    frames = shuffled.log * 2
    random.Random(seed).shuffle(frames)
    board.tell(*frames)
    lanes = board.page.locator(".turn .lane")
    expect(lanes.nth(1)).to_have_attribute("data-state", "done")
    drawn = [lanes.nth(lane).locator(".prose").inner_html() for lane in (0, 1)]
    assert drawn[0] == drawn[1]
    assert drawn[0].count("Last words.") == 1
    raw = board.page.evaluate(
        "[...document.querySelectorAll('template[data-part=raw]')].map((one) => one.content.textContent)"
    )
    assert raw == [TEXT, TEXT]


def test_a_gap_is_asked_for_again(board: Board) -> None:
    board.open()
    stream, _other = board.ask("Say something")
    stream.write("token.delta", text="lost ")
    board.tell(*stream.write("token.delta", text="and found"))
    expect(board.page.locator(".turn .lane").first.locator(".prose")).to_have_text("lost and found")
    assert board.sent("subscribe")[-1] == {
        "type": "subscribe",
        "stream": stream.generation_id,
        "after": "1-0",
        "render": "html",
    }


def test_a_snapshot_replaces_everything(board: Board) -> None:
    board.open()
    stream, _other = board.ask("Say something")
    board.write(stream, "half of")
    stream.write("token.delta", text=" it, lost")
    snapshot = stream.write("message.snapshot", text="The whole text.", reasoning="", html="<p>The whole text.</p>")
    end = stream.write("message.completed", **COMPLETED)
    end[-1]["id"] = snapshot[-1]["id"]  # as doors do: both carry the last id
    board.tell(*snapshot, end[-1])
    lane = board.page.locator(".turn .lane").first
    expect(lane.locator(".prose")).to_have_text("The whole text.")
    expect(lane).to_have_attribute("data-state", "done")
