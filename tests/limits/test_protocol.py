"""Commands and values, before anything reaches Redis; and the calendar that Lua has to work out by itself."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from apps.limits import protocol
from apps.limits.contracts import (
    MAX_NANOUSD,
    Call,
    Counter,
    Level,
    Projection,
    Scope,
    ScopeLimits,
    SettledCall,
    Wanted,
)
from apps.limits.errors import OutOfRange
from tests.limits.records import ALICE, TENANT, budget, calls


def test_all_keys_of_a_tenant_share_one_hash_tag() -> None:
    command = protocol.admit("box1:", "t-1", [ScopeLimits(TENANT)], calls("a"), lease_seconds=5, epoch=None)
    assert len(set(command.keys)) == 10
    assert all(key.startswith("box1:{t:t-1}:limits") for key in command.keys)


def test_no_key_leaves_the_tag_by_a_crafted_tenant() -> None:
    with pytest.raises(OutOfRange):
        protocol.bump_epoch("", "x}:{t:other")


@pytest.mark.parametrize("id", ["", "two words", "a|b", "ü", "x" * 81, "new\nline"])
def test_ids_that_could_be_mistaken_for_separators_are_refused(id: str) -> None:
    with pytest.raises(OutOfRange):
        Scope(Level.USER, id)
    with pytest.raises(OutOfRange):
        Call(id, 1)


def test_amounts_beyond_exact_doubles_are_refused() -> None:
    assert Call("a", MAX_NANOUSD).amount_nanousd < 2**53
    for build in (
        lambda: Call("a", MAX_NANOUSD + 1),
        lambda: Call("a", -1),
        lambda: budget(TENANT, month=MAX_NANOUSD + 1),
        lambda: budget(TENANT, day=-1),
        lambda: ScopeLimits(TENANT, requests_per_minute=-1),
        lambda: protocol.settle("", "t", [TENANT], "a", MAX_NANOUSD + 1, None),
    ):
        with pytest.raises(OutOfRange):
            build()


def test_a_set_whose_sum_cannot_be_counted_is_refused() -> None:
    with pytest.raises(OutOfRange):
        protocol.admit("", "t", [], calls("a", "b", amount=MAX_NANOUSD), lease_seconds=5, epoch=None)


@pytest.mark.parametrize(("names", "scopes"), [([], [TENANT]), (["a", "a"], [TENANT]), (["a"], [TENANT, TENANT])])
def test_sets_are_sets(names: list[str], scopes: list[Scope]) -> None:
    with pytest.raises(OutOfRange):
        protocol.admit("", "t", [ScopeLimits(s) for s in scopes], calls(*names), lease_seconds=5, epoch=None)


@pytest.mark.parametrize("seconds", [0, -1, 7 * 86_400])
def test_leases_have_bounds(seconds: float) -> None:
    with pytest.raises(OutOfRange):
        protocol.renew("", "t", ["a"], seconds)


def test_a_projection_must_hold_what_was_wanted() -> None:
    wanted = Counter(ALICE, "2026-11")
    begun = protocol.Begun(Wanted((wanted,), whole=False), ())
    with pytest.raises(OutOfRange, match=r"user:alice\|2026-11"):
        protocol.install("", "t", "token", begun, Projection(spent={}), 5)


def test_counters_and_scopes_read_back() -> None:
    counter = Counter(Scope(Level.KEY, "a:b"), "2026-11-21")
    assert Counter.parse(str(counter)) == counter
    assert counter.starts_at == datetime(2026, 11, 21, tzinfo=UTC)
    assert Counter(TENANT, "2026-02").starts_at == datetime(2026, 2, 1, tzinfo=UTC)
    with pytest.raises(OutOfRange):
        Counter(TENANT, "November")


def test_a_settled_call_needs_a_time_zone() -> None:
    with pytest.raises(OutOfRange):
        SettledCall("a", 1, (TENANT,), datetime(2026, 1, 1))


@settings(max_examples=150, deadline=None)
@given(moments=st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2400, 12, 31)), min_size=1, max_size=20))
def test_lua_knows_the_calendar(redis_url: str, moments: list[datetime]) -> None:
    prelude = protocol.PEEK.text.split("-- ARGV: scopes")[0]
    program = prelude + (
        "local out = {}\nfor index, ms in ipairs(ARGV) do\nlocal days, month = calendar(tonumber(ms))\n"
        "local day_name, month_name = named(tonumber(ms))\n"
        "out[index] = table.concat({day_name, month_name, int(days), int(month), int(days_before(month + 1))}, ' ')\n"
        "end\nreturn out"
    )
    epoch = datetime(1970, 1, 1)
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        times = [(moment - epoch) // timedelta(milliseconds=1) for moment in moments]
        told = cast(list[str], cast(Any, redis).eval(program, 10, *"123456789x", *times))
    for moment, line in zip(moments, told, strict=True):
        next_month = (datetime(moment.year, moment.month, 1) + timedelta(days=31)).replace(day=1)
        day, month = protocol._periods(moment.replace(tzinfo=UTC))
        assert line == f"{moment:%Y-%m-%d} {moment:%Y-%m} {day} {month} {(next_month - epoch).days}"
