"""Deltas joined into frames: nothing is lost or turned round, and nothing waits for long."""

import asyncio
import itertools

from hypothesis import given
from hypothesis import strategies as st

from apps.routing.contracts import ReasoningDelta, TextDelta, ToolCallCompleted, ToolCallStarted
from apps.routing.providers.base import Delta
from apps.routing.providers.frames import Frames

_DELTAS: st.SearchStrategy[Delta] = st.one_of(
    st.text(min_size=1, max_size=3).map(TextDelta),
    st.text(min_size=1, max_size=3).map(ReasoningDelta),
    st.text(max_size=2).map(lambda name: ToolCallStarted("1", name)),
    st.text(max_size=2).map(lambda name: ToolCallCompleted("1", name, "{}")),
)


def _flat(deltas: list[Delta]) -> list[object]:
    """Character by character, so that only the joints differ."""
    flat: list[object] = []
    for delta in deltas:
        if isinstance(delta, TextDelta | ReasoningDelta):
            flat += [(type(delta), character) for character in delta.text]
        else:
            flat.append(delta)
    return flat


@given(st.lists(_DELTAS, max_size=12))
def test_joining_changes_nothing_but_the_joints(deltas: list[Delta]) -> None:
    frames = Frames()
    frames.put(deltas)
    joined = frames.take()
    assert _flat(joined) == _flat(deltas)
    kinds = [type(delta) for delta in joined]
    for one, following in itertools.pairwise(kinds):
        assert one is not following or one not in (TextDelta, ReasoningDelta), "neighbours of one kind are one"
    assert frames.take() == []


async def test_the_first_goes_at_once_and_the_next_wait_for_their_frame() -> None:
    frames = Frames(frame_seconds=0.1)
    now = asyncio.get_running_loop().time
    began = now()
    frames.put([TextDelta("a")])
    assert await frames.next() == [TextDelta("a")]
    assert now() - began < 0.05
    frames.put([TextDelta("b")])
    frames.put([TextDelta("c"), ReasoningDelta("d")])
    assert await frames.next() == [TextDelta("bc"), ReasoningDelta("d")]
    assert 0.09 <= now() - began < 0.2


async def test_the_end_waits_for_no_frame() -> None:
    frames = Frames(frame_seconds=5)
    frames.put([TextDelta("a")])
    assert await frames.next() == [TextDelta("a")]
    frames.put([TextDelta("b")])
    frames.end()
    assert await asyncio.wait_for(frames.next(), 1) == [TextDelta("b")]
    assert await asyncio.wait_for(frames.next(), 1) is None
    assert await asyncio.wait_for(frames.next(), 1) is None


async def test_joined_text_keeps_the_likelihoods_of_all_its_tokens() -> None:
    one, other = {"token": "a"}, {"token": "b"}
    frames = Frames()
    frames.put([TextDelta("a", (one,)), TextDelta("b", (other,)), ReasoningDelta("c"), TextDelta("d")])
    assert await frames.next() == [TextDelta("ab", (one, other)), ReasoningDelta("c"), TextDelta("d")]
