"""Request ids and trace positions that come from outside are checked before they are believed."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.observability.context import TraceParent, new_request_id, request_id

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEX = st.text("0123456789abcdef", min_size=16, max_size=16).filter(lambda text: text.strip("0"))


def test_new_ids_differ_and_sort_by_time() -> None:
    ids = [new_request_id() for _ in range(100)]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("header", ["abcdefgh", "A-b_0" * 5, "x" * 64])
def test_harmless_ids_are_kept(header: str) -> None:
    assert request_id(header) == header


@pytest.mark.parametrize("header", [None, "", "short", "x" * 65, "abc\ndefghij", "<script>alert(1)", "идентификатор"])
def test_other_ids_are_replaced(header: str | None) -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}", request_id(header))


@settings(deadline=None)
@given(trace=st.tuples(HEX, HEX).map("".join), parent=HEX, sampled=st.booleans())
def test_a_position_reads_back(trace: str, parent: str, sampled: bool) -> None:
    position = TraceParent(trace, parent, sampled)
    assert TraceParent.parse(str(position)) == position


def test_the_example_of_the_standard() -> None:
    assert TraceParent.parse(f"00-{TRACE}-{PARENT}-01") == TraceParent(TRACE, PARENT, True)
    assert TraceParent.parse(f" 00-{TRACE}-{PARENT}-00 ") == TraceParent(TRACE, PARENT, False)
    assert TraceParent.parse(f"00-{TRACE}-{PARENT}-03") == TraceParent(TRACE, PARENT, True)
    # A later version may carry more; what we know of it still holds.
    assert TraceParent.parse(f"cc-{TRACE}-{PARENT}-01-what-the-future-holds") == TraceParent(TRACE, PARENT, True)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        f"cc-{TRACE}-{PARENT}-01more",
    ],
)
def test_invalid_positions_are_ignored(header: str | None) -> None:
    assert TraceParent.parse(header) is None


def test_children_stay_in_their_trace() -> None:
    parent = TraceParent.new(sampled=True)
    child = parent.child()
    assert (child.trace_id, child.sampled) == (parent.trace_id, True) and child.parent_id != parent.parent_id
    assert TraceParent.parse(str(child)) == child
