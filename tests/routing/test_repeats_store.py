"""The life of an idempotency key in Redis: claimed by one, lengthened, kept, freed, bounded, erased."""

import asyncio
from random import Random
from uuid import uuid4

import pytest
import redis
from django.conf import settings

from apps.problems import Problem
from apps.routing import cache_clearing, durable
from apps.routing.repeats import held as holding
from apps.routing.repeats import store
from apps.routing.repeats.errors import StoreAway
from apps.routing.repeats.held import Held
from apps.routing.repeats.place import Place, place_of
from apps.routing.repeats.store import State
from apps.tenants import audit
from apps.tenants.scope import database_step

PRINT = b"p" * 32


def a_place(tenant: Place | None = None, user_id: object = None) -> Place:
    tenant_id = uuid4() if tenant is None else tenant.tenant_id
    return place_of(tenant_id, user_id or uuid4(), None, "/v1/messages", uuid4().hex)  # type: ignore[arg-type]


async def kept(place: Place, *pieces: bytes) -> None:
    held = Held(place, PRINT)
    assert (await held.claim()).state is State.NEW
    held.begin(b'{"status": 200}')
    for piece in pieces:
        held.add(piece)
    await held.keep()


async def found(place: Place) -> store.Found:
    return await store.claim(place, "somebody else", PRINT)


def memory(place: Place) -> tuple[int, int]:
    """How many keys are counted for the tenant, and how many bytes."""
    _, _, index, sizes, _ = place.names(settings.REDIS_PREFIX)
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        return int(server.zcard(index)), int(server.hget(sizes, "total") or 0)  # type: ignore[arg-type]


async def test_of_a_hundred_one_gets_the_key() -> None:
    place = a_place()
    states = [one.state for one in await asyncio.gather(*(Held(place, PRINT).claim() for _ in range(100)))]
    assert (states.count(State.NEW), states.count(State.RUNNING)) == (1, 99)


async def test_what_was_said_comes_back_in_order_and_is_counted() -> None:
    place = a_place()
    await kept(place, b"one ", b"two ", b"three")
    again = await found(place)
    assert (again.state, b"".join(again.pieces), again.head) == (State.KEPT, b"one two three", b'{"status": 200}')
    assert (await store.claim(place, "x", b"q" * 32)).state is State.OTHER
    assert memory(place)[0] == 1 and memory(place)[1] > 0
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        entry, said, *_ = place.names(settings.REDIS_PREFIX)
        assert all(86_000 < server.ttl(name) <= 86_400 for name in (entry, said))  # type: ignore[operator]


async def test_saying_it_twice_adds_nothing() -> None:
    place = a_place()
    assert (await store.claim(place, "me", PRINT)).state is State.NEW
    pieces = [store.packed(b"one "), store.packed(b"two")]
    for first, ends in ((0, False), (0, False), (1, False), (0, True), (2, True)):
        told = await store.say(place, "me", first, pieces[first:], head=b"{}", large=False, ends=ends)
        assert told is State.OK
    assert b"".join((await found(place)).pieces) == b"one two"
    assert memory(place)[1] == sum(map(len, pieces))


async def test_what_is_overtaken_by_the_end_changes_nothing() -> None:
    place = a_place()
    await store.claim(place, "me", PRINT)
    piece = [store.packed(b"all of it")]
    await store.say(place, "me", 0, piece, head=b"{}", large=False, ends=True)
    late = await store.say(place, "me", 0, piece, head=b"{}", large=False, ends=False)
    assert late is State.OK and b"".join((await found(place)).pieces) == b"all of it"
    with redis.Redis.from_url(settings.REDIS_URL) as server:
        entry, said, *_ = place.names(settings.REDIS_PREFIX)
        assert all(86_000 < server.ttl(name) <= 86_400 for name in (entry, said))  # type: ignore[operator]


async def test_a_dead_owners_key_is_free_after_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LEASE_SECONDS", 0.2)
    place = a_place()
    assert (await store.claim(place, "dead", PRINT)).state is State.NEW
    await store.say(place, "dead", 0, [store.packed(b"half")], head=b"{}", large=False, ends=False)
    assert (await found(place)).state is State.RUNNING
    await asyncio.sleep(0.3)
    assert (await store.claim(place, "next", PRINT)).state is State.NEW
    assert (await store.follow(place, "dead", 0)).state is State.GONE
    late = await store.say(place, "dead", 1, [store.packed(b" more")], head=b"{}", large=False, ends=True)
    assert late is State.LOST
    assert (await store.follow(place, "next", 0)).pieces == []
    assert memory(place) == (1, 0)


async def test_a_living_owners_lease_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LEASE_SECONDS", 0.3)
    monkeypatch.setattr(holding, "_RENEW_SECONDS", 0.1)
    held = Held(place := a_place(), PRINT)
    await held.claim()
    await asyncio.sleep(0.7)
    assert (await found(place)).state is State.RUNNING
    await held.give_up()
    assert (await found(place)).state is State.NEW


async def test_what_is_too_large_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "IDEMPOTENCY_ANSWER_MAX_BYTES", 1_000)
    place = a_place()
    await kept(place, b"x" * 900, b"y" * 200)
    assert (await found(place)).state is State.UNKEPT
    assert memory(place) == (1, 0)


async def test_a_tenants_bytes_are_bounded_and_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "IDEMPOTENCY_TENANT_MAX_BYTES", 1_000)
    noise = Random(7).randbytes(600)
    first = a_place()
    second = a_place(first)
    for place in (first, second):
        await kept(place, noise)
    assert [(await found(place)).state for place in (first, second)] == [State.KEPT, State.UNKEPT]
    other = a_place()
    await kept(other, noise)
    assert (await found(other)).state is State.KEPT


async def test_a_tenants_keys_are_bounded_until_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "IDEMPOTENCY_TENANT_MAX_KEYS", 2)
    monkeypatch.setattr(store, "LEASE_SECONDS", 0.3)
    first = a_place()
    for place in (first, a_place(first)):
        assert (await store.claim(place, "me", PRINT)).state is State.NEW
    full = await found(a_place(first))
    assert full.state is State.FULL and full.wait_seconds >= 1.0
    assert (await found(a_place())).state is State.NEW
    await asyncio.sleep(0.35)
    assert (await found(a_place(first))).state is State.NEW
    assert memory(first)[0] == 1


async def test_whoever_leaves_leaves_nothing_and_takes_nothing_of_others() -> None:
    leaving, staying = uuid4(), uuid4()
    theirs = a_place(user_id=leaving)
    others = a_place(theirs, staying)
    for place in (theirs, others):
        await kept(place, b"words")
    running = Held(a_place(theirs, leaving), PRINT)
    await running.claim()
    _, after = await database_step(cache_clearing.forget_person, theirs.tenant_id, leaving)
    await database_step(after)
    running.add(b"said after that")
    await running.keep()
    assert (await found(others)).state is State.KEPT
    assert memory(theirs)[0] == 1
    assert (await found(theirs)).state is State.NEW
    assert (await found(running._place)).state is State.RUNNING, "until its lease ends, with nothing said"
    assert (await store.follow(running._place, "", 0)).pieces == []


async def test_an_operator_may_forget_a_tenants(alice: object) -> None:
    tenant_id = alice.tenant_id  # type: ignore[attr-defined]
    place, other = place_of(tenant_id, uuid4(), None, "/", "k"), a_place()
    for one in (place, other):
        await kept(one, b"words")
    actor = audit.Actor.command("test")
    cleared = await database_step(
        cache_clearing.clear, tenant_id, model=None, kept_before=None, actor=actor, keyed=True
    )
    assert cleared.keyed == 1
    assert [(await found(one)).state for one in (place, other)] == [State.NEW, State.KEPT]


async def test_a_redis_that_is_away_refuses_and_a_running_call_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "_GATHER_SECONDS", 0.0)
    held = Held(place := a_place(), PRINT)
    await held.claim()
    held.begin(b"{}")
    with monkeypatch.context() as away:
        away.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")
        away.setattr(durable._clients, "_open", {})
        with pytest.raises(StoreAway) as refused:
            await found(place)
        assert isinstance(refused.value, Problem) and refused.value.retry_after_seconds
        held.add(b"said meanwhile, ")
        await asyncio.sleep(0.05)
    held.add(b"and after")
    await held.keep()
    assert b"".join((await found(place)).pieces) == b"said meanwhile, and after"


async def test_a_long_answer_told_at_once_is_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end comes while the pieces before it are being packed beside the event loop."""
    monkeypatch.setattr(holding, "_GATHER_SECONDS", 0.0)
    held = Held(place := a_place(), PRINT)
    await held.claim()
    held.begin(b"{}")
    pieces = [Random(number).randbytes(300_000) for number in range(4)]
    for piece in pieces:
        held.add(piece)
        await asyncio.sleep(0.001)
    await held.keep()
    assert b"".join((await found(place)).pieces) == b"".join(pieces)


async def test_what_is_given_up_is_not_claimed_again() -> None:
    place = a_place()
    for number in range(20):
        held = Held(place, PRINT)
        assert (await held.claim()).state is State.NEW
        held.begin(b"{}")
        held.add(b"words")
        await asyncio.sleep(0.004 * number)
        await held.give_up()
    assert (await found(place)).state is State.NEW
