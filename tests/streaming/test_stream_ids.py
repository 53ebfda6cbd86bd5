"""Positions that clients send back: exact, or refused."""

import pytest

from apps.streaming.ids import EventId, TurnCursor


def test_an_event_id_reads_what_it_wrote() -> None:
    assert EventId.parse("3-0") == EventId(3, 0)
    assert str(EventId(12, 345)) == "12-345"
    assert EventId.parse("999999999999999-999999999999999").seq == 999_999_999_999_999


def test_event_ids_are_ordered_by_fence_and_then_by_seq() -> None:
    assert EventId(1, 10) < EventId(2, 0) < EventId(2, 1)


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "1-", "-1", "0-1", "01-1", "1-01", "1-1 ", " 1-1", "1-1\n", "+1-1", "1--1", "1-1-1", "a-1", "١-1"),
        *("1" * 16 + "-1", "1-" + "1" * 16),
    ],
)
def test_everything_else_is_no_event_id(text: str) -> None:
    with pytest.raises(ValueError, match="event id"):
        EventId.parse(text)


def test_a_turn_cursor_reads_what_it_wrote() -> None:
    cursor = TurnCursor({2: EventId(1, 9), 1: EventId(1, 15)})
    assert str(cursor) == "1:1-15,2:1-9"
    assert TurnCursor.parse("1:1-15,2:1-9") == cursor
    assert TurnCursor.parse("7:2-0").positions == {7: EventId(2, 0)}


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "1:1-1,", "2:1-1,1:1-1", "1:1-1,1:1-2", "0:1-1", "1:0-1", "1", "1-1", "1:1-1;2:1-1", "1:1-1, 2:1-1"),
        "1:1-1," * 1_000,
    ],
)
def test_everything_else_is_no_turn_cursor(text: str) -> None:
    with pytest.raises(ValueError, match=r"turn cursor|event id"):
        TurnCursor.parse(text)
