"""The head that says where answers come from: one member per lane, whatever names hold."""

import re
from dataclasses import replace
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from apps.conversations.contracts import GenerationAccepted
from apps.conversations.edge import route_header

LANE = GenerationAccepted(uuid4(), uuid4(), 1, "cheapest", "Cheapest", 1, "demo-swift", "Simulator")
# RFC 9651: an item with its parameters. No name can hold what ends it.
STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
DISPLAY = r'%"(?:[ !#-$&-~]|%[0-9a-f]{2})*"'
MEMBER = rf"(?:{STRING}|{DISPLAY})(?:;[a-z]+=(?:{STRING}|{DISPLAY}|\d+))*"


def test_what_is_planned_names_who_is_asked_first() -> None:
    other = replace(LANE, lane=2, model="demo-atlas", first_model="demo-atlas")
    assert route_header.planned([LANE, other]) == {
        "X-Switchboard-Route": '"demo-swift";lane=1;asked="cheapest";provider="Simulator";state="planned", '
        '"demo-atlas";lane=2;asked="demo-atlas";provider="Simulator";state="planned"'
    }


@given(model=st.text(), provider=st.text())
def test_no_name_breaks_out_of_its_place(model: str, provider: str) -> None:
    lane = replace(LANE, first_model=model, first_provider=provider)
    told = route_header.planned([lane, lane])["X-Switchboard-Route"]
    assert told.isascii() and told.isprintable()
    assert re.fullmatch(rf"({MEMBER}), \1", told)


def test_names_that_are_not_ascii_are_display_strings() -> None:
    told = route_header.planned([replace(LANE, first_provider="Café")])["X-Switchboard-Route"]
    assert ';provider=%"Caf%c3%a9";' in told
